//! Why a flow was not opened.

use std::io;

use super::Refusal;

/// Why a flow was not opened. Each has its own reply of SOCKS and of HTTP.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Policy says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The name does not exist, or has no address.
    #[error("the name does not exist, or has no address")]
    NotFound,
    /// No server of the name's zone gave an answer.
    #[error("the name could not be resolved: no server of its zone answered")]
    NameServerFailed,
    /// The host refused the connection.
    #[error("the host refused the connection")]
    ConnectionRefused,
    /// There is no way to the network.
    #[error("the network is unreachable")]
    NetworkUnreachable,
    /// There is no way to the host.
    #[error("the host is unreachable")]
    HostUnreachable,
    /// The host did not answer.
    #[error("the host did not answer in time")]
    TimedOut,
    /// The connector is not connected.
    #[error("the connector is not connected")]
    Disconnected,
    /// A limit is reached.
    #[error("too many connections at one time")]
    Busy,
    /// Anything else that the system says.
    #[error("failed to open the connection: {0}")]
    Io(#[source] io::Error),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the standard library adds to its kinds")]
impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Self::NetworkUnreachable,
            // an ICMP error "prohibited" is EHOSTUNREACH or EACCES, as the code has it
            io::ErrorKind::HostUnreachable | io::ErrorKind::PermissionDenied => Self::HostUnreachable,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::NotConnected => Self::Disconnected,
            io::ErrorKind::QuotaExceeded | io::ErrorKind::ResourceBusy => Self::Busy,
            _ => Self::Io(error),
        }
    }
}
