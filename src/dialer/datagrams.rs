//! A socket for datagrams to protected destinations, whatever carries them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// A socket for datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// The kernel's.
    Udp(UdpSocket),
}

impl Datagrams {
    pub(super) async fn bind(is_ipv6: bool) -> io::Result<Self> {
        let any: SocketAddr = match is_ipv6 {
            true => (Ipv6Addr::UNSPECIFIED, 0).into(),
            false => (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        UdpSocket::bind(any).await.map(Self::Udp)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// What the system says of an earlier datagram or of this one; the socket stays of use.
    pub async fn send_to(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send_to(payload, destination).await,
        }
    }

    /// Waits for a datagram; longer ones than `buffer` are cut.
    ///
    /// # Errors
    /// What the system says of an earlier datagram; the socket stays of use.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.recv_from(buffer).await,
        }
    }
}
