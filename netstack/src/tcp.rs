//! TCP in user space: smoltcp as a pure state machine, for DNS over TCP and for flows that no kernel can carry.
//!
//! Packets, time and the seed come in by calls; packets, events and the next deadline are fetched. After any call:
//! [`TcpStack::poll_packet`] until `None`, [`TcpStack::poll_event`] until `None`, then sleep until
//! [`TcpStack::poll_timeout`] and call [`TcpStack::handle_timeout`].
//!
//! smoltcp keeps the streams; what is lost, what is repeated, and how much may be under way is decided in `recovery`, since
//! its own sender knows neither SACK nor a time-out below a second.
//!
//! The cost is in proportion to the flows that do something. smoltcp walks all sockets of a set for each packet, so
//! every flow has a set of its own under one shared interface; packets find theirs by link and addresses, and each flow
//! has one entry in an ordered map of deadlines.
mod clock;
mod counters;
mod device;
mod egress;
mod error;
mod event;
mod flow;
mod ingress;
mod lifecycle;
mod limits;
mod outbox;
mod pace;
mod queue;
mod recovery;
mod segment;
mod steering;
mod table;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use smoltcp::iface::{Config, Interface};
use smoltcp::wire::HardwareAddress;

use clock::Clock;
use device::Device;
use flow::{Flow, Sizes};
use limits::{BUFFER_RANGE, MAX_MTU, MIN_MTU};
use outbox::Outbox;
use queue::FlowQueue;
use segment::{is_endpoint, plain};
use table::{FlowKey, FlowTable};
use timers::Timers;

pub use counters::Counters;
pub use error::ConnectError;
pub use event::Event;
pub use limits::Limits;
pub use table::FlowId;

/// Many TCP flows over many links. A link is an opaque number that says where packets come from and go to; the same
/// addresses on two links are two flows.
pub struct TcpStack {
    limits: Limits,
    mtu: usize,
    rng: ChaCha12Rng,
    clock: Clock,
    interface: Interface,
    listeners: BTreeSet<(u32, SocketAddr)>,
    table: FlowTable,
    timers: Timers,
    outbox: Outbox,
    /// Flows that smoltcp is to be asked about.
    ready: FlowQueue,
    /// Flows whose owner has something to hear.
    events: FlowQueue,
    /// Flows of listeners whose handshake is not done, oldest first.
    half_open: FlowQueue,
    /// Flows that are only there to answer late segments, oldest first.
    time_wait: FlowQueue,
    counters: Counters,
}

impl TcpStack {
    /// A stack without flows. `seed` decides the initial sequence numbers and must be secret; `mtu` is the size in
    /// bytes of the largest IP packet that any link takes.
    pub fn new(seed: [u8; 32], mtu: usize, limits: Limits, now: Instant) -> Self {
        let mtu = mtu.clamp(MIN_MTU, MAX_MTU);
        let limits = Limits {
            max_flows: limits.max_flows.max(1),
            buffer_bytes: in_range(limits.buffer_bytes),
            pace_packets: limits.pace_packets.max(1),
            ..limits
        };
        let clock = Clock::new(now);
        Self {
            limits,
            mtu,
            rng: ChaCha12Rng::from_seed(seed),
            interface: new_interface(0, mtu, &clock),
            clock,
            listeners: BTreeSet::new(),
            table: FlowTable::new(limits.max_flows),
            timers: Timers::default(),
            outbox: Outbox::default(),
            ready: FlowQueue::default(),
            events: FlowQueue::default(),
            half_open: FlowQueue::default(),
            time_wait: FlowQueue::default(),
            counters: Counters::default(),
        }
    }

    /// From now on new flows have buffers of so many bytes, instead of [`Limits::buffer_bytes`].
    pub fn set_buffer_bytes(&mut self, bytes: usize) {
        self.limits.buffer_bytes = in_range(bytes);
    }

    /// Takes connections to `local` on `link` from now on.
    pub fn listen(&mut self, link: u32, local: SocketAddr) {
        self.listeners.insert((link, plain(local)));
    }

    /// Takes no new connections to `local` on `link`; open flows go on.
    pub fn unlisten(&mut self, link: u32, local: SocketAddr) {
        self.listeners.remove(&(link, plain(local)));
    }

    /// Opens a connection; [`Event::Connected`] or an end follows.
    pub fn connect(
        &mut self,
        link: u32,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<FlowId, ConnectError> {
        self.clock.advance(now);
        let key = FlowKey { link, local: plain(local), remote: plain(remote) };
        if !is_endpoint(&local) || !is_endpoint(&remote) {
            return Err(ConnectError::Unaddressable { local, remote });
        }
        if self.table.find(&key).is_some() {
            return Err(ConnectError::InUse { local, remote });
        }
        if !self.make_room() {
            return Err(ConnectError::Full { remote, max_flows: self.limits.max_flows });
        }
        self.renew_interface();
        let flow = Flow::connecting(key, self.sizes(), self.clock.now(), &mut self.interface)
            .ok_or(ConnectError::Unaddressable { local, remote })?;
        let full = ConnectError::Full { remote, max_flows: self.limits.max_flows };
        let id = self.table.insert(flow).ok_or(full)?;
        self.make_ready(id);
        Ok(id)
    }

    /// Handles a complete IP packet of `link`. `false` means that it is not ours and nothing was done: no TCP, a
    /// fragment, or neither of an open flow nor for a listener. The caller then refuses or drops it, or decides that
    /// it may pass, calls [`Self::listen`] and hands it in again.
    pub fn handle_packet(&mut self, link: u32, packet: &[u8], now: Instant) -> bool {
        self.ingest(link, packet, now, |segment| segment.checksums_ok())
    }

    /// As [`Self::handle_packet`], for a packet whose checksums were verified before: that of a super-packet is open.
    pub fn handle_verified_packet(&mut self, link: u32, packet: &[u8], now: Instant) -> bool {
        self.ingest(link, packet, now, |_| true)
    }

    /// The next thing that happened. An id is good until its end is fetched here, or [`Self::abort`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.next_event()
    }

    /// Moves received bytes into `buffer`; tells how many. 0: none yet, none any more, or no such flow.
    pub fn recv(&mut self, flow: FlowId, buffer: &mut [u8]) -> usize {
        let taken = self.owned(flow).map_or(0, |flow| flow.recv(buffer));
        if taken > 0 {
            self.make_ready(flow);
            self.settle(flow);
        }
        taken
    }

    /// Queues bytes; tells how many were taken. If fewer than given, [`Event::Writable`] follows. 0 before the flow is
    /// open, after [`Self::close`], and for no such flow.
    pub fn send(&mut self, flow: FlowId, data: &[u8]) -> usize {
        let taken = self.owned(flow).map_or(0, |flow| flow.send(data));
        if taken > 0 {
            self.make_ready(flow);
        }
        taken
    }

    /// Closes our half after what is queued; receiving goes on and an end follows. Before the flow is open this is
    /// [`Self::abort`].
    pub fn close(&mut self, flow: FlowId) {
        let Some(owned) = self.owned(flow) else {
            return;
        };
        if !owned.is_open() {
            return self.abort(flow);
        }
        owned.close();
        self.make_ready(flow);
    }

    /// Ends the flow at once, with a reset to the peer if it is open. The id is dead; no event follows.
    pub fn abort(&mut self, flow: FlowId) {
        let Some(owned) = self.owned(flow) else {
            return;
        };
        owned.abort();
        self.make_ready(flow);
        self.release(flow);
    }

    /// The next packet to send out and its link; all checksums are filled in.
    pub fn poll_packet(&mut self, now: Instant) -> Option<(u32, Vec<u8>)> {
        self.clock.advance(now);
        self.fill_outbox();
        self.outbox.pop()
    }

    /// When to call [`Self::handle_timeout`] at the latest; in the past while packets wait to be fetched.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.outbox.len() > 0 || self.ready.front().is_some() {
            return Some(self.clock.now());
        }
        self.timers.next()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.clock.advance(now);
        while let Some(id) = self.timers.due(self.clock.now()) {
            self.wake(id);
        }
    }

    /// Flows in any state, TIME-WAIT included.
    pub fn flow_count(&self) -> usize {
        self.table.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters { outbox_full: self.outbox.dropped, ..self.counters }
    }

    fn sizes(&self) -> Sizes {
        Sizes { buffer_bytes: self.limits.buffer_bytes, mtu: self.mtu }
    }

    fn owned(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.table.get_mut(id).filter(|flow| !flow.released)
    }

    /// smoltcp draws sequence numbers from a small generator that a few of its outputs give away, and seeds it only
    /// when an interface is made. An interface holds nothing else that lasts, so each connection gets a new one with a
    /// seed of a real generator (RFC 6528 §3 wants them unpredictable).
    fn renew_interface(&mut self) {
        self.interface = new_interface(self.rng.next_u64(), self.mtu, &self.clock);
    }
}

fn in_range(buffer_bytes: usize) -> usize {
    buffer_bytes.clamp(*BUFFER_RANGE.start(), *BUFFER_RANGE.end())
}

fn new_interface(random_seed: u64, mtu: usize, clock: &Clock) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    let mut outbox = Outbox::default();
    let mut device = Device::new(&mut outbox, 0, mtu, clock.now());
    let mut interface = Interface::new(config, &mut device, clock.stack_now(Duration::ZERO));
    // Flows were chosen by their addresses before smoltcp sees a packet.
    interface.set_any_ip(true);
    interface
}
