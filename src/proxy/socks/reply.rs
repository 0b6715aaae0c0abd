//! Replies of SOCKS5 (RFC 1928, section 6) and of SOCKS4.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::address;
use super::handshake::Version;

/// Why a request is granted or not. SOCKS4 knows only that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Granted.
    Succeeded = 0,
    /// Anything that has no code of its own.
    GeneralFailure = 1,
    /// Policy says no.
    NotAllowed = 2,
    /// No way to the network.
    NetworkUnreachable = 3,
    /// No way to the host, or no such name.
    HostUnreachable = 4,
    /// The host says no.
    ConnectionRefused = 5,
    /// The host did not answer in time: a packet's life is a time in RFC 791.
    TtlExpired = 6,
    /// Neither CONNECT nor UDP ASSOCIATE.
    CommandNotSupported = 7,
    /// A type of address that nobody knows.
    AddressTypeNotSupported = 8,
}

/// Where a flow begins, when a client has no use for it.
pub const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// The reply; `bound` is where the client's datagrams go, or [`NOWHERE`].
#[must_use]
pub fn encode(version: Version, code: Code, bound: SocketAddr) -> Vec<u8> {
    match version {
        Version::Five => {
            let mut reply = vec![5, code as u8, 0];
            address::write(bound, &mut reply);
            reply
        }
        Version::Four => {
            let granted = if code == Code::Succeeded { 90 } else { 91 };
            vec![0, granted, 0, 0, 0, 0, 0, 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_as_the_documents_say() {
        let failed = encode(Version::Five, Code::NotAllowed, NOWHERE);
        assert_eq!(failed, [5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
        let bound = encode(Version::Five, Code::Succeeded, "127.0.0.1:4660".parse().unwrap());
        assert_eq!(bound, [5, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x34]);
        assert_eq!(encode(Version::Four, Code::Succeeded, NOWHERE), [0, 90, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(Version::Four, Code::TtlExpired, NOWHERE), [0, 91, 0, 0, 0, 0, 0, 0]);
    }
}
