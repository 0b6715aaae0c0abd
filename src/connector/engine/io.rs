//! Reading and writing: the TUN and the sockets toward gateways, in batches, never blocking.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use anyhow::Context;
use netstack::Datapath;
use platform::tun::Tun;
use platform::udp::{RecvMeta, UdpEndpoint};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Engine;

/// A socket may be full; the TUN never is.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// Largest thing that the TUN or a socket gives at once: a super-packet with its header.
const BUFFER: usize = 65_536 + 16;
/// Receive buffers of one call on a socket. Each holds up to 64 datagrams where the system joins them, else one: then
/// only many together make super-packets for the TUN. Memory is touched only as far as it is used.
const RECEIVE_BUFFERS: usize = 32;
/// Reads of one source before others get their turn, so that timers and names stay on time.
const BUDGET: usize = 32;
/// Receive calls on a socket before others get their turn.
const RECEIVE_CALLS: usize = 2;
/// Frames that may wait for the TUN while further datagrams join them; the batch holds 256.
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

/// The device and the sockets.
pub(super) struct Io {
    tun: AsyncFd<Tun>,
    sockets: Vec<AsyncFd<UdpEndpoint>>,
    /// Index of the socket of each family: IPv4, IPv6.
    by_family: [Option<usize>; 2],
    /// The network was read last: the TUN has the next turn.
    is_tun_next: bool,
    tun_buffer: Box<[u8]>,
    receive_buffers: Vec<Box<[u8]>>,
    /// The socket that would take no more; the TUN is not read until it does.
    blocked: Option<usize>,
    /// Datagrams that the system refused to send, and its last reason.
    pub(super) refused: u64,
    pub(super) last_error: Option<String>,
}

impl Io {
    pub(super) fn new(tun: Tun, sockets: Vec<UdpEndpoint>) -> std::io::Result<Self> {
        Ok(Self {
            by_family: by_family(&sockets),
            is_tun_next: false,
            tun: watched(tun, Interest::READABLE)?,
            sockets: all_watched(sockets)?,
            tun_buffer: vec![0; BUFFER].into_boxed_slice(),
            receive_buffers: (0..RECEIVE_BUFFERS).map(|_| vec![0; BUFFER].into_boxed_slice()).collect(),
            blocked: None,
            refused: 0,
            last_error: None,
        })
    }

    /// Puts other sockets in the place of the present ones, which are closed.
    ///
    /// # Errors
    /// When the runtime cannot watch one of them; then nothing is changed.
    pub(super) fn rebind(&mut self, sockets: Vec<UdpEndpoint>) -> std::io::Result<()> {
        let by_family = by_family(&sockets);
        self.sockets = all_watched(sockets)?;
        (self.by_family, self.blocked) = (by_family, None);
        (self.refused, self.last_error) = (0, None); // they speak of another network
        Ok(())
    }

    /// Waits until something can be done; TUN and network take turns when both can be read.
    pub(super) async fn ready(&mut self) -> Ready {
        let ready = std::future::poll_fn(|context| {
            if let Some(socket) = self.blocked.and_then(|index| self.sockets.get(index))
                && socket.poll_write_ready(context).is_ready()
            {
                return Poll::Ready(Ready::Writable);
            }
            // a link that was taken away is an error condition, which the runtime calls "closed for writing"
            if self.tun.poll_write_ready(context).is_ready() {
                return Poll::Ready(Ready::Tun);
            }
            let can_read_tun = self.blocked.is_none() && self.tun.poll_read_ready(context).is_ready();
            if can_read_tun && self.is_tun_next {
                return Poll::Ready(Ready::Tun);
            }
            let socket = self.sockets.iter().position(|socket| socket.poll_read_ready(context).is_ready());
            match socket {
                Some(index) => Poll::Ready(Ready::Socket(index)),
                None if can_read_tun => Poll::Ready(Ready::Tun),
                None => Poll::Pending,
            }
        })
        .await;
        self.is_tun_next = matches!(ready, Ready::Socket(_));
        ready
    }

    /// Sends and writes all that waits.
    pub(super) fn flush(&mut self, datapath: &mut Datapath) {
        self.flush_network(datapath);
        self.flush_tun(datapath);
    }

    fn flush_tun(&mut self, datapath: &mut Datapath) {
        while let Some(frame) = datapath.poll_frame() {
            // the TUN takes what it can; what it does not is a lost packet, as on any link
            let _ = self.tun.get_ref().send(frame);
        }
    }

    fn flush_network(&mut self, datapath: &mut Datapath) {
        if self.blocked.is_some() {
            return;
        }
        while let Some(transmit) = datapath.poll_transmit() {
            let Some(index) = self.socket_for(transmit.destination) else {
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

    fn block(&mut self, index: usize) {
        self.blocked = Some(index);
        let socket = &self.sockets[index];
        let waker = std::task::Waker::noop();
        if let Poll::Ready(Ok(mut guard)) =
            socket.poll_write_ready(&mut std::task::Context::from_waker(waker))
        {
            guard.clear_ready();
        }
    }

    fn socket_for(&self, destination: SocketAddr) -> Option<usize> {
        self.by_family[usize::from(destination.is_ipv6())]
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
        let mut buffer = std::mem::take(&mut self.io.tun_buffer);
        let mut result = Ok(());
        for _ in 0..BUDGET {
            match self.io.tun.get_ref().recv(&mut buffer) {
                Ok(length) => self.handle_frame(&mut buffer[..length], now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clear_read(&self.io.tun);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error).context("failed to read from the TUN: the link was taken away");
                    break;
                }
            }
            if self.io.blocked.is_some() {
                break;
            }
        }
        self.io.tun_buffer = buffer;
        result
    }

    fn handle_frame(&mut self, frame: &mut [u8], now: Instant) {
        match self.datapath.handle_tun_input(frame, now) {
            netstack::datapath::Handled::Done => {
                if frame.len() > FLUSH_ABOVE {
                    self.io.flush_network(&mut self.datapath);
                }
            }
            netstack::datapath::Handled::Query { source, local, payload } => {
                self.handle_query(source, local, &frame[payload], now);
            }
        }
    }

    fn read_socket(&mut self, index: usize, now: Instant) {
        let mut buffers = std::mem::take(&mut self.io.receive_buffers);
        for _ in 0..RECEIVE_CALLS {
            let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
            let received = {
                let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
                let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
                    std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                self.io.sockets[index].get_ref().recv(&mut slices, &mut metas)
            };
            match received {
                Ok(count) => {
                    for (meta, buffer) in metas[..count].iter().zip(&buffers) {
                        self.datapath.handle_network_input(meta.addr, &buffer[..meta.len], meta.stride, now);
                        if self.datapath.frames_waiting() > MOST_FRAMES {
                            self.io.flush_tun(&mut self.datapath);
                        }
                    }
                    self.io.flush_tun(&mut self.datapath);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clear_read(&self.io.sockets[index]);
                    break;
                }
                // an ICMP error that came back for an earlier datagram: the handshake's own timer deals with it
                Err(error) => self.io.last_error = Some(error.to_string()),
            }
        }
        self.io.receive_buffers = buffers;
    }
}

/// Index of the socket of each family: IPv4, IPv6.
fn by_family(sockets: &[UdpEndpoint]) -> [Option<usize>; 2] {
    [true, false].map(|is_ipv4| {
        sockets.iter().position(|socket| socket.local_address().is_ok_and(|local| local.is_ipv4() == is_ipv4))
    })
}

fn all_watched(sockets: Vec<UdpEndpoint>) -> std::io::Result<Vec<AsyncFd<UdpEndpoint>>> {
    sockets.into_iter().map(|socket| watched(socket, BOTH)).collect()
}

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe; our types own their descriptor and never change it"
)]
fn watched<T: std::os::fd::AsRawFd>(source: T, interest: Interest) -> std::io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(source, interest)
}

/// Says that nothing is left to read, so that the next wait really waits.
fn clear_read<T: std::os::fd::AsRawFd>(source: &AsyncFd<T>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if let Poll::Ready(Ok(mut guard)) = source.poll_read_ready(&mut context) {
        guard.clear_ready();
    }
}
