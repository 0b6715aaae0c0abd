//! Where events go: a syslog receiver, an HTTP Event Collector, or a file.

use std::fmt;
use std::path::PathBuf;

use super::endpoint::Endpoint;

/// RFC 5426 section 3.3, and what receivers of syslog over TCP usually take as well.
const SYSLOG_PORT: u16 = 514;
/// RFC 5425 section 4.1.
const SYSLOG_TLS_PORT: u16 = 6514;
/// The port of Splunk's HTTP Event Collector unless its owner has changed it.
const HEC_PORT: u16 = 8088;
/// The path that takes events with their metadata.
const HEC_PATH: &str = "/services/collector";

/// `[logging] siem_destination`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiemDestination {
    /// Messages of RFC 5424.
    Syslog {
        /// What carries them.
        transport: SyslogTransport,
        /// Who takes them.
        endpoint: Endpoint,
    },
    /// Splunk's HTTP Event Collector.
    Hec {
        /// `https`.
        is_tls: bool,
        /// Who takes them.
        endpoint: Endpoint,
        /// Begins with `/`.
        path: String,
    },
    /// Lines of a file that is rotated, for a forwarder on this device.
    File(PathBuf),
}

/// What carries syslog messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    /// A datagram each (RFC 5426).
    Udp,
    /// A stream, each message behind its length (RFC 6587 section 3.4.1).
    Tcp,
    /// The same inside TLS (RFC 5425).
    Tls,
}

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// No scheme, or an unknown one.
    #[error("`{0}` does not begin with a known scheme")]
    Scheme(String),
    /// No host, or more than host and port.
    #[error("`{0}` is not a host with a port")]
    Host(String),
    /// Not the path of an HTTP Event Collector.
    #[error("`{0}` is not the path of an HTTP Event Collector")]
    Path(String),
    /// A relative path, or none.
    #[error("`{0}` is not the whole path of a file")]
    File(String),
}

impl DestinationError {
    /// What the person can do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Scheme(_) => {
                "write syslog://HOST:514 (UDP), syslog+tcp://HOST:514, syslog+tls://HOST:6514, \
                 https://HOST:8088/services/collector/event or file:///var/log/openztna/events.json"
            }
            Self::Host(_) => "write HOST:PORT behind the scheme, and an IPv6 address in brackets",
            Self::Path(_) => "write https://HOST:8088/services/collector/event",
            Self::File(_) => "write file:// and the whole path: file:///var/log/openztna/events.json",
        }
    }
}

impl SiemDestination {
    /// Reads a URL; a port that is left out is the usual one of the scheme.
    ///
    /// # Errors
    /// When it is none of the known forms.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let unknown = || DestinationError::Scheme(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        match scheme.to_ascii_lowercase().as_str() {
            "syslog" | "syslog+udp" => syslog(SyslogTransport::Udp, rest, SYSLOG_PORT),
            "syslog+tcp" => syslog(SyslogTransport::Tcp, rest, SYSLOG_PORT),
            "syslog+tls" => syslog(SyslogTransport::Tls, rest, SYSLOG_TLS_PORT),
            "http" => hec(false, rest),
            "https" => hec(true, rest),
            "file" if rest.starts_with('/') && !rest.ends_with('/') => Ok(Self::File(rest.into())),
            "file" => Err(DestinationError::File(rest.to_owned())),
            _ => Err(unknown()),
        }
    }

    /// Who takes the events, unless it is this device.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Syslog { endpoint, .. } | Self::Hec { endpoint, .. } => Some(endpoint),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for SiemDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syslog { transport, endpoint } => {
                let scheme = match transport {
                    SyslogTransport::Udp => "syslog",
                    SyslogTransport::Tcp => "syslog+tcp",
                    SyslogTransport::Tls => "syslog+tls",
                };
                write!(f, "{scheme}://{endpoint}")
            }
            Self::Hec { is_tls, endpoint, path } => {
                write!(f, "{}://{endpoint}{path}", if *is_tls { "https" } else { "http" })
            }
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

fn syslog(transport: SyslogTransport, rest: &str, port: u16) -> Result<SiemDestination, DestinationError> {
    let endpoint = host_and_port(rest.strip_suffix('/').unwrap_or(rest), port)?;
    Ok(SiemDestination::Syslog { transport, endpoint })
}

fn hec(is_tls: bool, rest: &str) -> Result<SiemDestination, DestinationError> {
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let endpoint = host_and_port(host, HEC_PORT)?;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
    if !is_plain || !path.contains(HEC_PATH) || path.ends_with("/raw") {
        return Err(DestinationError::Path(path.to_owned()));
    }
    Ok(SiemDestination::Hec { is_tls, endpoint, path: path.to_owned() })
}

/// Reads `host`, `host:port`, `[address]` or `[address]:port`.
pub(super) fn host_and_port(text: &str, port: u16) -> Result<Endpoint, DestinationError> {
    let has_port = !text.ends_with(']') && text.contains(':');
    let whole = if has_port { text.to_owned() } else { format!("{text}:{port}") };
    Endpoint::parse(&whole).map_err(|_| DestinationError::Host(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_shown_with_its_port() {
        for (text, shown) in [
            ("syslog://siem.example.com:514", "syslog://siem.example.com:514"),
            ("syslog://siem.example.com", "syslog://siem.example.com:514"),
            ("SYSLOG+UDP://10.0.0.1:5514/", "syslog://10.0.0.1:5514"),
            ("syslog+tcp://[2001:db8::1]", "syslog+tcp://[2001:db8::1]:514"),
            ("syslog+tls://siem.example.com", "syslog+tls://siem.example.com:6514"),
            (
                "http://splunk.example.com:8088/services/collector/event",
                "http://splunk.example.com:8088/services/collector/event",
            ),
            ("https://splunk/services/collector", "https://splunk:8088/services/collector"),
            (
                "https://[::1]:443/splunk/services/collector/event",
                "https://[::1]:443/splunk/services/collector/event",
            ),
            ("file:///var/log/openztna/events.json", "file:///var/log/openztna/events.json"),
        ] {
            assert_eq!(SiemDestination::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_none_has_a_hint() {
        let host = |text: &str| DestinationError::Host(text.to_owned());
        let path = |text: &str| DestinationError::Path(text.to_owned());
        for (text, error) in [
            ("siem.example.com:514", DestinationError::Scheme("siem.example.com:514".to_owned())),
            ("ftp://siem", DestinationError::Scheme("ftp://siem".to_owned())),
            ("syslog://", host("")),
            ("syslog://user@siem", host("user@siem")),
            ("syslog://siem:99999", host("siem:99999")),
            ("syslog://siem/x", host("siem/x")),
            ("http://splunk:8088", path("")),
            ("https://splunk:8088/services/collector/raw", path("/services/collector/raw")),
            ("https://splunk:8088/services/collector/event?a=b", path("/services/collector/event?a=b")),
            ("file://events.json", DestinationError::File("events.json".to_owned())),
            ("file:///var/log/", DestinationError::File("/var/log/".to_owned())),
        ] {
            assert_eq!(SiemDestination::parse(text), Err(error.clone()), "{text}");
            assert!(!error.hint().is_empty());
        }
    }
}
