//! TCP and UDP in user space, for where no kernel can carry a flow: the packet side is frames as a TUN gives and takes
//! them, the other side is streams that programs' tasks use on whichever thread they run.
//!
//! The stack belongs to one thread, which hands in frames and takes them out. A stream and the stack share two bounded
//! rings of bytes and nothing else; a stream rings the stack's bell when it has something, so that a flow that does
//! nothing costs nothing.

mod bell;
mod datagrams;
mod flow;
mod frame;
mod parts;
mod pipes;
mod ports;
mod ring;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use netstack::packet::virtio::HEADER_LEN;
use netstack::tcp::{ConnectError, Event, FlowId, Limits, TcpStack};
use tokio::sync::oneshot;

use bell::{Bell, Caller};
use flow::Flow;
use frame::FrameBuffer;
use parts::Parts;
use pipes::End;
use ports::Ports;
use ring::Spares;

pub use datagrams::FlowDatagrams;
pub use stream::FlowStream;

/// All packets come from and go to the same side.
const LINK: u32 = 0;
/// Flows that are idle for so long are ended: what RFC 5382, REQ-5 asks at least.
const IDLE: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
/// Tries for a local port that no flow to the same place holds.
const PORT_TRIES: usize = 16;
/// What the flows' buffers may hold, by how many flows there are: bytes either way. A few may fill a long fat path
/// (1 MiB is 170 Mbit/s at 50 ms), ten thousand must fit into memory.
const BUFFERS: [(usize, usize); 3] = [(64, 1 << 20), (512, 256 << 10), (usize::MAX, 32 << 10)];
/// Packets that one flow may send in a millisecond: 1.7 Gbit/s. How many may be under way the stack finds out by itself;
/// this only keeps a window that opens at once from leaving at once.
const PACE_PACKETS: u32 = 160;
/// Accepted flows that wait to be fetched; more are reset.
const MOST_ACCEPTED: usize = 1_024;

/// What a stack must know from the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Seeds ports and sequence numbers; secret.
    pub seed: [u8; 32],
    /// Bytes of the largest IP packet.
    pub mtu: usize,
    /// Our addresses, IPv4 and IPv6, from which flows are opened.
    pub addresses: [Option<IpAddr>; 2],
    /// Most flows at one time.
    pub most_flows: usize,
}

/// A flow that somebody opened to a listener.
#[derive(Debug)]
pub struct Accepted {
    /// The listener's address.
    pub local: SocketAddr,
    /// Who opened it.
    pub remote: SocketAddr,
    /// It.
    pub stream: FlowStream,
}

/// Who waits for a flow to open.
type Opening = oneshot::Sender<io::Result<FlowStream>>;

/// The stack.
pub struct UserStack {
    tcp: TcpStack,
    addresses: [Option<IpAddr>; 2],
    ports: Ports,
    opening: BTreeMap<FlowId, Opening>,
    flows: BTreeMap<FlowId, Flow>,
    accepted: VecDeque<Accepted>,
    bell: Arc<Bell>,
    spares: Arc<Spares>,
    callers: Vec<Caller>,
    frame: FrameBuffer,
    parts: Parts,
}

impl UserStack {
    /// A stack without flows.
    pub fn new(config: &Config, now: Instant) -> Self {
        let limits = Limits {
            max_flows: config.most_flows,
            buffer_bytes: buffer_bytes(0),
            idle_timeout: IDLE,
            pace_packets: PACE_PACKETS,
        };
        Self {
            tcp: TcpStack::new(config.seed, config.mtu, limits, now),
            addresses: config.addresses,
            ports: Ports::new(config.seed),
            opening: BTreeMap::new(),
            flows: BTreeMap::new(),
            accepted: VecDeque::new(),
            bell: Arc::default(),
            spares: Arc::default(),
            callers: Vec::new(),
            frame: FrameBuffer::default(),
            parts: Parts::new(first_id(&config.seed)),
        }
    }

    /// Opens flows from these addresses, IPv4 and IPv6, from now on.
    pub fn set_addresses(&mut self, addresses: [Option<IpAddr>; 2]) {
        self.addresses = addresses;
    }

    /// Opens a flow; `reply` hears when it is open, or why not.
    pub fn connect(&mut self, remote: SocketAddr, reply: Opening, now: Instant) {
        match self.try_connect(remote, now) {
            Ok(flow) => {
                self.opening.insert(flow, reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error)); // who asked may be gone
            }
        }
    }

    /// Takes flows to `local` from now on; see [`Self::poll_accepted`].
    pub fn listen(&mut self, local: SocketAddr) {
        self.tcp.listen(LINK, local);
    }

    /// Takes no new flows to `local`; open ones go on.
    pub fn unlisten(&mut self, local: SocketAddr) {
        self.tcp.unlisten(LINK, local);
    }

    /// The next flow that a listener took.
    pub fn poll_accepted(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }

    /// A socket for datagrams at a port that is free.
    ///
    /// # Errors
    /// Without an address of that family, or when too many are bound.
    pub fn bind_udp(&mut self, is_ipv6: bool) -> io::Result<FlowDatagrams> {
        let address = self.addresses[usize::from(is_ipv6)].ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.ports.bind(address, &self.bell)
    }

    /// Handles a frame: virtio header and a packet, or a TCP super-packet whose segments' checksums were verified when
    /// they were joined. False: it is for none of our flows or listeners.
    pub fn handle_frame(&mut self, frame: &[u8], now: Instant) -> bool {
        let Some((packet, is_verified)) = frame::read(frame) else { return false };
        let is_taken = match is_verified {
            true => self.tcp.handle_verified_packet(LINK, packet, now),
            false => self.tcp.handle_packet(LINK, packet, now),
        };
        if is_taken || self.ports.handle_packet(packet) {
            return true;
        }
        let whole = self.parts.join(packet, now);
        whole.is_some_and(|whole| self.ports.handle_packet(&whole))
    }

    /// Moves what streams and sockets have for us, and tells them what happened. To be called when the bell rang and
    /// after frames were handed in; frames to fetch may follow.
    pub fn carry(&mut self, now: Instant) {
        while let Some(event) = self.tcp.poll_event() {
            self.handle_event(event);
        }
        let mut callers = std::mem::take(&mut self.callers);
        self.bell.take(&mut callers);
        for caller in callers.drain(..) {
            match caller {
                Caller::Flow(flow) => self.serve(flow),
                Caller::Port(port) => self.ports.answer_bell(port),
            }
        }
        self.callers = callers;
        self.tcp.handle_timeout(now);
        self.parts.handle_timeout(now);
        self.tcp.set_buffer_bytes(buffer_bytes(self.tcp.flow_count()));
    }

    /// The next frame to hand to the other side: a whole packet behind an empty virtio header.
    pub fn poll_frame(&mut self, now: Instant) -> Option<&mut [u8]> {
        if let Some(part) = self.parts.poll() {
            return Some(self.frame.write(&part));
        }
        if let Some((source, datagram)) = self.ports.poll_datagram() {
            let id = self.parts.next_id() as u16;
            let frame = self.frame.write_datagram(source, datagram.address, &datagram.payload, id)?;
            return match self.parts.cut(&frame[HEADER_LEN..]) {
                true => self.parts.poll().map(|part| self.frame.write(&part)),
                false => Some(self.frame.whole()),
            };
        }
        let (_, packet) = self.tcp.poll_packet(now)?;
        Some(self.frame.write(&packet))
    }

    /// Whether the bell rang since [`Self::carry`]; if not, the task is woken when it does.
    pub fn poll_bell(&self, context: &mut Context<'_>) -> Poll<()> {
        self.bell.poll(context)
    }

    /// When [`Self::carry`] is due though no bell rings and no frame comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tcp.poll_timeout().into_iter().chain(self.parts.poll_timeout()).min()
    }

    /// Flows in any state.
    pub fn flow_count(&self) -> usize {
        self.tcp.flow_count()
    }

    fn try_connect(&mut self, remote: SocketAddr, now: Instant) -> io::Result<FlowId> {
        let address =
            self.addresses[usize::from(remote.is_ipv6())].ok_or(io::ErrorKind::NetworkUnreachable)?;
        self.tcp.set_buffer_bytes(buffer_bytes(self.tcp.flow_count()));
        for _ in 0..PORT_TRIES {
            let local = SocketAddr::new(address, self.ports.random());
            match self.tcp.connect(LINK, local, remote, now) {
                Ok(flow) => return Ok(flow),
                Err(ConnectError::InUse { .. }) => {}
                Err(ConnectError::Full { .. }) => return Err(io::ErrorKind::QuotaExceeded.into()),
                Err(ConnectError::Unaddressable { .. }) => {
                    return Err(io::ErrorKind::NetworkUnreachable.into());
                }
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Accepted { flow, local, remote, .. } => self.accept(flow, local, remote),
            Event::Connected(flow) => {
                if let Some(reply) = self.opening.remove(&flow) {
                    let stream = self.open(flow);
                    let _ = reply.send(Ok(stream)); // a stream that nobody wants any more is dropped, and so closed
                }
            }
            Event::Readable(flow) | Event::Writable(flow) => self.serve(flow),
            Event::Finished(flow) => {
                if let Some(known) = self.flows.get_mut(&flow) {
                    known.peer_has_finished();
                    self.serve(flow);
                }
            }
            Event::Closed(flow) => self.end(flow, End::Finished),
            Event::Reset(flow) => self.end(flow, End::Reset),
            Event::TimedOut(flow) => self.end(flow, End::TimedOut),
        }
    }

    fn accept(&mut self, flow: FlowId, local: SocketAddr, remote: SocketAddr) {
        if self.accepted.len() >= MOST_ACCEPTED {
            return self.tcp.abort(flow);
        }
        let stream = self.open(flow);
        self.accepted.push_back(Accepted { local, remote, stream });
    }

    fn open(&mut self, flow: FlowId) -> FlowStream {
        let (known, stream) = flow::open(flow, &self.bell, &self.spares);
        self.flows.insert(flow, known);
        stream
    }

    fn serve(&mut self, flow: FlowId) {
        let Some(known) = self.flows.get_mut(&flow) else { return };
        if known.serve(flow, &mut self.tcp) {
            self.flows.remove(&flow);
        }
    }

    fn end(&mut self, flow: FlowId, end: End) {
        if let Some(known) = self.flows.remove(&flow) {
            known.ended(end);
        }
        if let Some(reply) = self.opening.remove(&flow) {
            let kind = match end {
                End::Finished | End::Reset => io::ErrorKind::ConnectionRefused,
                End::TimedOut => io::ErrorKind::TimedOut,
            };
            let _ = reply.send(Err(kind.into())); // likewise
        }
    }
}

impl Drop for UserStack {
    fn drop(&mut self) {
        for (_, flow) in std::mem::take(&mut self.flows) {
            flow.ended(End::Reset);
        }
    }
}

/// Not the bytes that other secrets are made of first.
fn first_id(seed: &[u8; 32]) -> u32 {
    u32::from_le_bytes([seed[28], seed[29], seed[30], seed[31]]).rotate_left(7)
}

/// Bytes of a new flow's buffers while there are that many others.
fn buffer_bytes(flows: usize) -> usize {
    let fitting = BUFFERS.iter().find(|(most, _)| flows < *most);
    fitting.map_or(BUFFERS[BUFFERS.len() - 1].1, |(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests;
