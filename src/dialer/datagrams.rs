//! A socket for datagrams to protected destinations, whatever carries them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use platform::private_namespace::Kind;
use tokio::net::UdpSocket;

use super::{Line, Way, connect};
use crate::user_stack::FlowDatagrams;

/// A socket for datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// The kernel's.
    Udp(UdpSocket),
    /// Those of the stack in user space.
    Flow(FlowDatagrams),
}

impl Datagrams {
    pub(super) async fn bind(line: &Line, is_ipv6: bool) -> io::Result<Self> {
        let any: SocketAddr = match is_ipv6 {
            true => (Ipv6Addr::UNSPECIFIED, 0).into(),
            false => (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        match &line.way {
            Way::Kernel => UdpSocket::bind(any).await.map(Self::Udp),
            Way::Namespace(broker) => {
                let socket = broker.socket(Kind::Udp, connect::family(is_ipv6))?;
                UdpSocket::from_std(socket.into()).map(Self::Udp)
            }
            Way::Stack => line.bind(is_ipv6).await.map(Self::Flow),
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// What the system says of an earlier datagram or of this one; the socket stays of use.
    pub async fn send_to(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send_to(payload, destination).await,
            Self::Flow(datagrams) => datagrams.send_to(payload, destination),
        }
    }

    /// Waits for a datagram; longer ones than `buffer` are cut.
    ///
    /// # Errors
    /// What the system says of an earlier datagram; the socket stays of use.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.recv_from(buffer).await,
            Self::Flow(datagrams) => {
                std::future::poll_fn(|context| datagrams.poll_recv_from(context, buffer)).await
            }
        }
    }
}
