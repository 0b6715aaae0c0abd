//! SOCKS5 (RFC 1928, 1929), SOCKS4 and SOCKS4a: a handshake and datagrams as pure functions, and who drives them.

pub mod address;
pub mod datagram;
pub mod handshake;
pub mod reply;

mod associate;
mod connection;

pub(super) use connection::serve;
