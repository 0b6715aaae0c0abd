//! What an application allows: protocols and ranges of ports.

use std::fmt;

/// One allowance of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortSpec {
    /// TCP to the ports `first..=last`.
    Tcp {
        /// Lowest allowed port.
        first: u16,
        /// Highest allowed port.
        last: u16,
    },
    /// UDP to the ports `first..=last`.
    Udp {
        /// Lowest allowed port.
        first: u16,
        /// Highest allowed port.
        last: u16,
    },
    /// ICMP echo of the host's family.
    Icmp,
}

/// Everything: all ports of TCP and UDP, and ICMP; written `*`.
pub const ALL_PORTS: [PortSpec; 3] =
    [PortSpec::Tcp { first: 1, last: u16::MAX }, PortSpec::Udp { first: 1, last: u16::MAX }, PortSpec::Icmp];

/// How a port is written, for hints.
pub(crate) const FORMS: &str =
    "write `tcp/443`, `tcp/8000-8100`, `tcp/*`, `udp/*`, `icmp`, or `*` for everything";

/// Why a text is no allowance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// No `protocol/ports`, or a protocol that is none of TCP, UDP and ICMP.
    #[error("`{0}` is not a port specification")]
    Form(String),
    /// A number that is no port.
    #[error("`{0}` has a port that is not between 1 and 65535")]
    Port(String),
    /// A range that ends before it starts.
    #[error("`{0}` is a range that ends before it starts")]
    Backwards(String),
}

impl PortSpec {
    /// Reads `tcp/443`, `tcp/8000-8100`, `tcp/*`, `udp/53`, `icmp` or `*`, and adds what it means to `ports`.
    ///
    /// # Errors
    /// When the text is none of these, or a port is out of range.
    pub fn parse_into(text: &str, ports: &mut Vec<Self>) -> Result<(), PortError> {
        match text.split_once('/') {
            None if text == "*" => ports.extend(ALL_PORTS),
            None if text == "icmp" => ports.push(Self::Icmp),
            Some(("tcp", range)) => {
                let (first, last) = parse_range(text, range)?;
                ports.push(Self::Tcp { first, last });
            }
            Some(("udp", range)) => {
                let (first, last) = parse_range(text, range)?;
                ports.push(Self::Udp { first, last });
            }
            Some(_) | None => return Err(PortError::Form(text.to_owned())),
        }
        Ok(())
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, first, last) = match self {
            Self::Tcp { first, last } => ("tcp", first, last),
            Self::Udp { first, last } => ("udp", first, last),
            Self::Icmp => return f.write_str("icmp"),
        };
        match (*first, *last) {
            (1, u16::MAX) => write!(f, "{protocol}/*"),
            (first, last) if first == last => write!(f, "{protocol}/{first}"),
            (first, last) => write!(f, "{protocol}/{first}-{last}"),
        }
    }
}

fn parse_range(text: &str, range: &str) -> Result<(u16, u16), PortError> {
    if range == "*" {
        return Ok((1, u16::MAX));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (parse_port(text, first)?, parse_port(text, last)?);
    if first > last {
        return Err(PortError::Backwards(text.to_owned()));
    }
    Ok((first, last))
}

fn parse_port(text: &str, port: &str) -> Result<u16, PortError> {
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PortError::Form(text.to_owned()));
    }
    port.parse().ok().filter(|port| *port > 0).ok_or_else(|| PortError::Port(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, shown) in [
            ("tcp/443", "tcp/443"),
            ("tcp/8000-8100", "tcp/8000-8100"),
            ("tcp/*", "tcp/*"),
            ("udp/53", "udp/53"),
            ("udp/*", "udp/*"),
            ("icmp", "icmp"),
            ("*", "tcp/* udp/* icmp"),
        ] {
            let mut ports = Vec::new();
            PortSpec::parse_into(text, &mut ports).unwrap();
            let all: Vec<String> = ports.iter().map(ToString::to_string).collect();
            assert_eq!(all.join(" "), shown);
        }
    }

    #[test]
    fn refuses_each_wrong_form_with_its_reason() {
        let form = |text: &str| PortError::Form(text.to_owned());
        let port = |text: &str| PortError::Port(text.to_owned());
        for (text, error) in [
            ("", form("")),
            ("443", form("443")),
            ("sctp/1", form("sctp/1")),
            ("TCP/1", form("TCP/1")),
            ("tcp/", form("tcp/")),
            ("tcp/+1", form("tcp/+1")),
            ("tcp/1-", form("tcp/1-")),
            ("tcp/0", port("tcp/0")),
            ("tcp/65536", port("tcp/65536")),
            ("udp/9-8", PortError::Backwards("udp/9-8".to_owned())),
        ] {
            assert_eq!(PortSpec::parse_into(text, &mut Vec::new()), Err(error), "{text}");
        }
    }
}
