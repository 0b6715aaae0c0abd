//! What a client of a proxy wants to reach: a host as it was written, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::NamePattern;
use crate::dialer::Host;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name in lower case without a trailing dot, or an address; an IPv4 address within IPv6 as the IPv4 address.
    pub host: Host,
    /// The port; never 0.
    pub port: u16,
}

/// What cannot be reached because it is no host, or port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the name or address of a host with a port")]
pub struct NotATarget;

impl Target {
    /// Reads a host as text: a name, or an address, which IPv6 may have in brackets.
    ///
    /// # Errors
    /// When it is neither, or the port is 0.
    pub fn parse(host: &str, port: u16) -> Result<Self, NotATarget> {
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(inner) = bracketed {
            let address: Ipv6Addr = inner.parse().map_err(|_| NotATarget)?;
            return Self::address(address.into(), port);
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::address(address, port);
        }
        match NamePattern::parse_host(host) {
            Ok(NamePattern::Exact(name)) if port > 0 => Ok(Self { host: Host::Name(name.into()), port }),
            Ok(NamePattern::Exact(_) | NamePattern::Wildcard(_) | NamePattern::Suffix(_)) | Err(_) => {
                Err(NotATarget)
            }
        }
    }

    /// The same for an address.
    ///
    /// # Errors
    /// When the port is 0.
    pub fn address(address: IpAddr, port: u16) -> Result<Self, NotATarget> {
        if port == 0 {
            return Err(NotATarget);
        }
        Ok(Self { host: Host::Address(address.to_canonical()), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_every_spelling() {
        for (text, shown) in [
            ("Wiki.Corp.example.com.", "wiki.corp.example.com:443"),
            ("wiki", "wiki:443"),
            ("10.77.0.5", "10.77.0.5:443"),
            ("::ffff:10.77.0.5", "10.77.0.5:443"),
            ("fd00::1", "[fd00::1]:443"),
            ("[fd00::1]", "[fd00::1]:443"),
        ] {
            assert_eq!(Target::parse(text, 443).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a.".repeat(128);
        for text in
            ["", ".", "*.corp", "a b", "a/b", "[10.0.0.1]", "[::1", "fe80::1%eth0", "bücher.example", &long]
        {
            assert_eq!(Target::parse(text, 443), Err(NotATarget), "{text}");
        }
        assert_eq!(Target::parse("wiki", 0), Err(NotATarget));
    }
}
