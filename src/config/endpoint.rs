//! Where a gateway listens, and where a DNS server does.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::host::parse_name;

/// DNS over UDP and TCP, RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// The outer address of a gateway: a name or an address, and a UDP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What to connect to.
    pub host: EndpointHost,
    /// UDP port.
    pub port: u16,
}

/// The host part of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointHost {
    /// An address.
    Address(IpAddr),
    /// A name, resolved outside the tunnel.
    Name(Box<str>),
}

/// Why a text is no endpoint or no DNS server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `host:port`.
    #[error("`{0}` is not `host:port`")]
    Form(String),
    /// No address, with or without a port.
    #[error("`{0}` is not an address of a DNS server")]
    Server(String),
}

impl Endpoint {
    /// Reads `198.51.100.7:51820`, `[2001:db8::7]:51820` or `gateway.example.com:51820`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Form(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            let port = Some(address.port()).filter(|port| *port > 0).ok_or_else(wrong)?;
            return Ok(Self { host: EndpointHost::Address(address.ip()), port });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let name = parse_name(text, host).map_err(|_| wrong())?;
        // An address that did not parse above, such as 300.1.1.1.
        if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || port.starts_with('+') {
            return Err(wrong());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { host: EndpointHost::Name(name), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            EndpointHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            EndpointHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Reads the address of a DNS server, with an optional port: `10.77.0.53` or `10.77.0.53:5353`.
///
/// # Errors
/// When it is neither.
pub fn parse_dns_server(text: &str) -> Result<SocketAddr, EndpointError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    let server = text.parse::<SocketAddr>().ok().filter(|server| server.port() > 0);
    server.ok_or_else(|| EndpointError::Server(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_names() {
        for text in ["198.51.100.7:51820", "[2001:db8::7]:51820", "gateway.example.com:51820"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_has_no_port_or_no_host() {
        for text in [
            "",
            "198.51.100.7",
            "198.51.100.7:0",
            "gw:0",
            "gw:70000",
            "gw:+1",
            ":1",
            "300.1.1.1:1",
            "2001:db8::7:1",
            "a b:1",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Form(text.to_owned())));
        }
    }

    #[test]
    fn dns_servers_have_port_53_unless_told() {
        assert_eq!(parse_dns_server("10.77.0.53"), Ok("10.77.0.53:53".parse().unwrap()));
        assert_eq!(parse_dns_server("fd00::53"), Ok("[fd00::53]:53".parse().unwrap()));
        assert_eq!(parse_dns_server("10.77.0.53:5353"), Ok("10.77.0.53:5353".parse().unwrap()));
        assert!(parse_dns_server("dns.corp").is_err());
        assert!(parse_dns_server("10.77.0.53:0").is_err());
    }
}
