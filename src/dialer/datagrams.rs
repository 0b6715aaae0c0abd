//! A socket for datagrams to protected destinations, whatever carries them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use platform::private_namespace::Kind;
use tokio::io::ReadBuf;
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

    /// As [`Self::recv_from`], for hand-made futures; one task at a time is woken.
    ///
    /// # Errors
    /// As there.
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = ReadBuf::new(buffer);
                let from = ready!(socket.poll_recv_from(context, &mut buffer))?;
                Poll::Ready(Ok((buffer.filled().len(), from)))
            }
            Self::Flow(datagrams) => datagrams.poll_recv_from(context, buffer),
        }
    }

    /// Waits for a datagram; longer ones than `buffer` are cut.
    ///
    /// # Errors
    /// What the system says of an earlier datagram; the socket stays of use.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        std::future::poll_fn(|context| self.poll_recv_from(context, buffer)).await
    }
}
