//! The side of the network: sockets toward gateways, written and read in batches.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use netstack::Datapath;
use platform::udp::{RecvMeta, UdpEndpoint, UdpFacts};
use tokio::io::unix::AsyncFd;

use crate::watch::{Room, clear_read, readable};

/// Receive buffers of one call on a socket. Each holds up to 64 datagrams where the system joins them, else one: then
/// only many together make super-packets for the TUN. Memory is touched only as far as it is used.
pub(super) const RECEIVE_BUFFERS: usize = 32;

/// The sockets.
pub(in crate::connector::engine) struct Network {
    sockets: Vec<AsyncFd<UdpEndpoint>>,
    /// Index of the socket of each family: IPv4, IPv6.
    by_family: [Option<usize>; 2],
    /// A socket would take no more; the device is not read until it does.
    blocked: Option<Room>,
    /// Datagrams that the system refused to send, and its last reason.
    pub(in crate::connector::engine) refused: u64,
    pub(in crate::connector::engine) last_error: Option<String>,
}

impl Network {
    pub(super) fn new(sockets: Vec<UdpEndpoint>) -> std::io::Result<Self> {
        let by_family = by_family(&sockets);
        let sockets = sockets.into_iter().map(readable).collect::<std::io::Result<_>>()?;
        Ok(Self { by_family, sockets, blocked: None, refused: 0, last_error: None })
    }

    /// What the sockets got from the system, and what they lost since.
    pub(in crate::connector::engine) fn facts(&self) -> Vec<UdpFacts> {
        self.sockets.iter().map(|socket| socket.get_ref().facts()).collect()
    }

    /// Whether a socket would take no more.
    pub(in crate::connector::engine) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// The socket that was full takes datagrams again.
    pub(super) fn unblock(&mut self) {
        self.blocked = None;
    }

    /// Whether the socket that was full takes datagrams again.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.blocked {
            Some(room) => room.poll(context),
            None => Poll::Pending,
        }
    }

    /// A socket with something to read.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<usize> {
        match self.sockets.iter().position(|socket| socket.poll_read_ready(context).is_ready()) {
            Some(index) => Poll::Ready(index),
            None => Poll::Pending,
        }
    }

    /// Sends all that waits, until a socket is full.
    pub(in crate::connector::engine) fn flush(&mut self, datapath: &mut Datapath) {
        if self.is_blocked() {
            return;
        }
        while let Some(transmit) = datapath.poll_transmit() {
            let Some(index) = self.by_family[usize::from(transmit.destination.is_ipv6())] else {
                self.refused += 1;
                continue;
            };
            let endpoint = self.sockets[index].get_ref();
            match endpoint.send(transmit.destination, transmit.contents, transmit.segment_size, None) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    datapath.retry_transmit();
                    self.block(index);
                    return;
                }
                Err(error) => {
                    self.refused += 1;
                    self.last_error = Some(error.to_string());
                }
            }
        }
    }

    /// Reads one batch from a socket: how many of `buffers` were filled, and how. `None`: nothing is left.
    pub(super) fn read(
        &mut self,
        index: usize,
        buffers: &mut [Box<[u8]>],
        metas: &mut [RecvMeta; RECEIVE_BUFFERS],
    ) -> Option<usize> {
        let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        match self.sockets[index].get_ref().recv(&mut slices, metas) {
            Ok(count) => {
                if count < RECEIVE_BUFFERS {
                    clear_read(&self.sockets[index]); // it gave all it had; what comes now is news
                }
                Some(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                clear_read(&self.sockets[index]);
                None
            }
            // an ICMP error that came back for an earlier datagram: the handshake's own timer deals with it
            Err(error) => {
                self.last_error = Some(error.to_string());
                Some(0)
            }
        }
    }

    /// A socket that cannot be watched is tried again at the next turn.
    fn block(&mut self, index: usize) {
        match Room::of(self.sockets[index].get_ref()) {
            Ok(room) => self.blocked = Some(room),
            Err(error) => self.last_error = Some(error.to_string()),
        }
    }
}

/// Index of the socket of each family: IPv4, IPv6.
fn by_family(sockets: &[UdpEndpoint]) -> [Option<usize>; 2] {
    let has_family = |socket: &UdpEndpoint, is_ipv4| {
        socket.local_address().is_ok_and(|local: SocketAddr| local.is_ipv4() == is_ipv4)
    };
    [true, false].map(|is_ipv4| sockets.iter().position(|socket| has_family(socket, is_ipv4)))
}
