//! Reading and writing: the peers' sockets and the inner side, in batches, never blocking.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::Context as _;
use netstack::gateway::Gateway;
use platform::udp::{RecvMeta, UdpEndpoint};
use tokio::io::unix::AsyncFd;

use super::Engine;
use super::device::Device;
use crate::watch::{Room, clear_read, readable};

/// Largest thing that the TUN or a socket gives at once: a super-packet with its header.
const BUFFER: usize = 65_536 + 16;
/// Receive buffers of one call on a socket. Memory is touched only as far as it is used.
const RECEIVE_BUFFERS: usize = 32;
/// Reads of the TUN before others get their turn.
const BUDGET: usize = 32;
/// Receive calls on a socket before others get their turn.
const RECEIVE_CALLS: usize = 2;
/// Frames that may wait for the inner side while further datagrams join them; the batch holds 256.
const MOST_FRAMES: usize = 128;
/// A frame longer than this is worth a send of its own: it fills most of a batch.
const FLUSH_ABOVE: usize = 16 * 1024;

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// The TUN.
    Tun,
    /// The socket of that index.
    Socket(usize),
    /// A socket that was full takes datagrams again.
    Writable,
}

/// The sockets and the inner side.
pub(super) struct Io {
    pub(super) device: Device,
    sockets: Vec<AsyncFd<UdpEndpoint>>,
    /// Index of the socket of each family: IPv4, IPv6.
    by_family: [Option<usize>; 2],
    /// The network was read last: the TUN has the next turn.
    is_tun_next: bool,
    tun_buffer: Box<[u8]>,
    receive_buffers: Vec<Box<[u8]>>,
    /// A socket would take no more; the TUN is not read until it does.
    blocked: Option<Room>,
}

impl Io {
    pub(super) fn new(device: Device, sockets: Vec<UdpEndpoint>) -> std::io::Result<Self> {
        let of_family = |is_ipv4: bool| {
            let is_it = |socket: &UdpEndpoint| socket.local_address().is_ok_and(|at| at.is_ipv4() == is_ipv4);
            sockets.iter().position(is_it)
        };
        let by_family = [of_family(true), of_family(false)];
        let sockets = sockets.into_iter().map(readable);
        Ok(Self {
            device,
            sockets: sockets.collect::<std::io::Result<_>>()?,
            by_family,
            is_tun_next: false,
            tun_buffer: vec![0; BUFFER].into_boxed_slice(),
            receive_buffers: (0..RECEIVE_BUFFERS).map(|_| vec![0; BUFFER].into_boxed_slice()).collect(),
            blocked: None,
        })
    }

    /// Waits until something can be done; TUN and network take turns when both can be read.
    pub(super) async fn ready(&mut self) -> Ready {
        let ready = std::future::poll_fn(|context| self.poll_ready(context)).await;
        self.is_tun_next = matches!(ready, Ready::Socket(_));
        ready
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Ready> {
        if self.blocked.as_ref().is_some_and(|room| room.poll(context).is_ready()) {
            return Poll::Ready(Ready::Writable);
        }
        let can_read_tun = self.blocked.is_none() && self.device.poll_readable(context);
        if can_read_tun && self.is_tun_next {
            return Poll::Ready(Ready::Tun);
        }
        let socket = self.sockets.iter().position(|socket| socket.poll_read_ready(context).is_ready());
        match socket {
            Some(index) => Poll::Ready(Ready::Socket(index)),
            None if can_read_tun => Poll::Ready(Ready::Tun),
            None => Poll::Pending,
        }
    }

    /// Lets the machine and the inner side talk until neither has something new.
    pub(super) fn exchange(&mut self, gateway: &mut Gateway, now: Instant) {
        self.device.exchange(gateway, now);
    }

    /// Sends and writes all that waits.
    pub(super) fn flush(&mut self, gateway: &mut Gateway, now: Instant) {
        self.exchange(gateway, now);
        self.flush_network(gateway);
    }

    fn flush_network(&mut self, gateway: &mut Gateway) {
        if self.blocked.is_some() {
            return;
        }
        while let Some(transmit) = gateway.poll_transmit() {
            let Some(index) = self.by_family[usize::from(transmit.destination.is_ipv6())] else { continue };
            let endpoint = self.sockets[index].get_ref();
            match endpoint.send(transmit.destination, transmit.contents, transmit.segment_size, None) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    gateway.retry_transmit();
                    return self.block(index);
                }
                // it concerns this peer's address only: its handshake's timer deals with it
                Err(error) => tracing::debug!("failed to send to a peer: {error}"),
            }
        }
    }

    /// A socket that cannot be watched is tried again at the next turn.
    fn block(&mut self, index: usize) {
        match Room::of(self.sockets[index].get_ref()) {
            Ok(room) => self.blocked = Some(room),
            Err(error) => tracing::debug!("failed to wait for room in a socket: {error}"),
        }
    }
}

impl Engine {
    pub(super) fn handle_ready(&mut self, ready: Ready, now: Instant) -> anyhow::Result<()> {
        match ready {
            Ready::Tun => self.read_tun(now),
            Ready::Socket(index) => {
                self.read_socket(index, now);
                Ok(())
            }
            Ready::Writable => {
                self.io.blocked = None;
                Ok(())
            }
        }
    }

    fn read_tun(&mut self, now: Instant) -> anyhow::Result<()> {
        let Io { device, tun_buffer, .. } = &mut self.io;
        let Device::Tun(tun) = device else { return Ok(()) }; // the stack is read when all is settled
        let mut is_full = false;
        for _ in 0..BUDGET {
            match tun.get_ref().recv(tun_buffer) {
                Ok(length) => {
                    self.gateway.handle_inner_frame(&mut tun_buffer[..length], now);
                    is_full |= length > FLUSH_ABOVE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clear_read(tun);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error).context("failed to read from the TUN: the link was taken away");
                }
            }
            if is_full {
                break;
            }
        }
        self.io.flush_network(&mut self.gateway);
        Ok(())
    }

    fn read_socket(&mut self, index: usize, now: Instant) {
        let mut buffers = std::mem::take(&mut self.io.receive_buffers);
        for _ in 0..RECEIVE_CALLS {
            let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
            match receive(self.io.sockets[index].get_ref(), &mut buffers, &mut metas) {
                Ok(count) => {
                    for (meta, buffer) in metas[..count].iter().zip(&buffers) {
                        self.handle_datagrams(meta.addr, &buffer[..meta.len], meta.stride, now);
                    }
                    if count < RECEIVE_BUFFERS {
                        clear_read(&self.io.sockets[index]); // it gave all it had; what comes now is news
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clear_read(&self.io.sockets[index]);
                    break;
                }
                // an ICMP error that came back for an earlier datagram
                Err(error) => tracing::debug!("failed to receive from peers: {error}"),
            }
        }
        self.io.receive_buffers = buffers;
    }

    fn handle_datagrams(&mut self, from: SocketAddr, datagrams: &[u8], stride: usize, now: Instant) {
        self.gateway.handle_network_input(from, datagrams, stride, now);
        self.pump_events(now); // content waits in a bounded buffer
        if self.gateway.frames_waiting() > MOST_FRAMES {
            self.io.exchange(&mut self.gateway, now);
        }
    }
}

fn receive(
    endpoint: &UdpEndpoint,
    buffers: &mut [Box<[u8]>],
    metas: &mut [RecvMeta; RECEIVE_BUFFERS],
) -> std::io::Result<usize> {
    let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
    let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
        std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
    endpoint.recv(&mut slices, metas)
}
