//! The gateway's packet machine: datagrams of many devices in, what they may send out on the inner side, and back.
//!
//! It is to the gateway what [`crate::Datapath`] is to the connector. The inner side is a TUN, a stack in user space, or
//! the caller itself: with userspace egress TCP comes out as frames, once the caller has admitted the connection, and
//! UDP and echoes as content; with kernel egress everything comes out as frames. The caller hands in what came, then
//! drains [`Gateway::poll_event`], [`Gateway::poll_datagram`], [`Gateway::poll_transmit`] and [`Gateway::poll_frame`],
//! and sleeps until [`Gateway::poll_timeout`]. One `now` per batch.

mod admission;
mod alarms;
mod content;
mod event;
mod flow;
mod flows;
mod fragmented;
mod from_inner;
mod from_peer;
mod inbox;
mod lifecycle;
mod names;
mod pace;
mod peers;
mod policy;
mod prefixes;
mod quoted;
mod refusing;
mod revocation;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::counters::{Counters, DropReason};
use crate::packet::facts::Facts;
use crate::reassembly::Reassembly;
use crate::sealing::{Parts, Sealer};
use crate::send_batch::{SendBatch, Transmit};
use crate::tun_batch::{CanJoin, TunBatch};
use crate::wireguard::Front;

pub use event::{Content, EndReason, Event, FlowFacts, FlowId, Refusal};
pub use lifecycle::Close;
pub use peers::PeerStats;
pub use policy::{Application, Destination, Network, PeerConfig, Policy};

/// Largest packet that is cut or made at a time: any IP packet.
const SCRATCH: usize = 65_535 + 64;

/// What carries flows on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// The caller's own sockets: flows end on the inner side.
    Userspace,
    /// The kernel, which forwards packets.
    Kernel,
}

/// How much a device may have, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flows of all devices at one time; each takes about 500 bytes.
    pub flows: usize,
    /// Flows of one device at one time.
    pub flows_per_peer: u32,
    /// TCP connections of one device that are not open yet.
    pub half_open_per_peer: u32,
    /// Queries over UDP of one device in a second.
    pub queries_per_second: u32,
    /// Handshakes in a second from which on an address must prove itself; each takes about 0.3 ms.
    pub handshakes_per_second: u32,
    /// A TCP connection may be silent for so long (RFC 5382, REQ-5: at least 2 hours 4 minutes).
    pub tcp_idle: Duration,
    /// UDP may.
    pub udp_idle: Duration,
    /// UDP to port 53 may.
    pub dns_idle: Duration,
    /// Echoes may (RFC 5508, REQ-1: at least 60 s).
    pub echo_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            flows_per_peer: 4_096,
            half_open_per_peer: 128,
            queries_per_second: 200,
            handshakes_per_second: 500,
            tcp_idle: Duration::from_secs(2 * 3_600 + 4 * 60),
            udp_idle: Duration::from_secs(60),
            dns_idle: Duration::from_secs(10),
            echo_idle: Duration::from_secs(60),
        }
    }
}

/// What the gateway must know from the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our private key.
    pub private_key: [u8; 32],
    /// Seeds port choice and hashes; secret.
    pub seed: [u8; 32],
    /// MTU inside the tunnels in bytes; the inner side's frames are no longer, but for super-packets.
    pub mtu: usize,
    /// Which super-packets the inner side takes.
    pub can_join: CanJoin,
    /// Datagrams of equal size that the system sends in one call; 1: no offload.
    pub most_segments: usize,
    /// The addresses that names are asked at: port 53 there is handed up, and echoes are answered.
    pub names: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    /// What carries flows on.
    pub egress: Egress,
    /// How much, and for how long.
    pub limits: Limits,
}

/// The machine.
pub struct Gateway {
    config: Config,
    rights: policy::Rights,
    peers: peers::Peers,
    flows: flows::Flows,
    reassembly: Reassembly,
    inbox: inbox::Inbox,
    events: event::Events,
    resets: revocation::PendingResets,
    parts: Parts,
    send: SendBatch,
    inner: TunBatch,
    scratch: Box<[u8]>,
    counters: Counters,
}

impl Gateway {
    /// A gateway that lets nobody in until it has a policy.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut random = ChaCha8Rng::from_seed(config.seed);
        let hash_seed = random.next_u64();
        let first_id = random.next_u32();
        let front = Front::new(config.private_key, config.limits.handshakes_per_second, hash_seed, now);
        Self {
            rights: policy::Rights::new(hash_seed),
            peers: peers::Peers::new(front, hash_seed),
            flows: flows::Flows::new(config.limits.flows, hash_seed, random),
            reassembly: Reassembly::default(),
            inbox: inbox::Inbox::default(),
            events: event::Events::default(),
            resets: revocation::PendingResets::default(),
            parts: Parts::new(first_id),
            send: SendBatch::new(config.most_segments),
            inner: TunBatch::new(config.can_join),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            counters: Counters::default(),
            config,
        }
    }

    /// Says what stands behind an address; must be said before a device learns the address.
    pub fn add_destination(&mut self, address: IpAddr, destination: Destination) {
        self.rights.destinations().insert(address, destination);
    }

    /// Says anew what stands behind all addresses; open flows are judged by it at [`Self::set_policy`].
    pub fn replace_destinations(&mut self, destinations: impl IntoIterator<Item = (IpAddr, Destination)>) {
        self.rights.destinations().clear();
        self.rights.destinations().extend(destinations);
    }

    /// Forgets addresses for which `keep` says no; open flows to them are not touched.
    pub fn retain_destinations(&mut self, mut keep: impl FnMut(IpAddr, &Destination) -> bool) {
        self.rights.destinations().retain(|address, destination| keep(*address, destination));
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.poll()
    }

    /// Content that the caller carries, in order; what began it was told by [`Self::poll_event`] before.
    pub fn poll_datagram(&mut self) -> Option<(Content, &[u8])> {
        self.inbox.poll()
    }

    /// The next datagrams to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        if self.send.is_empty() {
            self.send.clear();
            self.reset_peers();
        }
        self.send.pop()
    }

    /// The datagrams last fetched could not be sent now: they come again.
    pub fn retry_transmit(&mut self) {
        self.send.unpop();
    }

    /// How many frames wait for the inner side; the batch holds 256, and one call of input adds up to 64.
    pub fn frames_waiting(&self) -> usize {
        self.inner.len()
    }

    /// The next frame (virtio header and packet) for the inner side.
    pub fn poll_frame(&mut self) -> Option<&[u8]> {
        if self.inner.is_empty() {
            self.inner.clear();
            self.reset_inner();
        }
        self.inner.pop()
    }

    /// When [`Self::handle_timeout`] is due; `None`: nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_flows = self.flows.poll_timeout();
        [self.peers.poll_timeout(), of_flows, self.reassembly.poll_timeout()].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.peers.handle_timeout(&mut self.send, now);
        self.reassembly.expire(now);
        self.expire_flows(now);
    }

    /// What is known of a device.
    pub fn peer(&self, number: u32) -> Option<PeerStats> {
        self.peers.stats(number)
    }

    /// All devices by number.
    pub fn peers(&self) -> impl Iterator<Item = (u32, PeerStats)> {
        self.peers.numbers().filter_map(|number| Some((number, self.peers.stats(number)?)))
    }

    /// Packets dropped, by reason.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn drop(&mut self, reason: DropReason) {
        self.counters.count(reason);
    }

    /// Seals the packet of `length` bytes that stands in the scratch room.
    fn seal_scratch(&mut self, peer: u32, length: usize, now: Instant) -> bool {
        let Self { peers, send, parts, scratch, config, .. } = self;
        let packet = &scratch[..length];
        let is_taken = match (peers.sealer(peer), Facts::parse(packet)) {
            (Some(peer), Some(facts)) => {
                Sealer { peer, send, parts, most: config.mtu, now }.seal(packet, &facts)
            }
            (Some(_) | None, Some(_) | None) => return false,
        };
        self.peers.schedule(peer, now);
        if !is_taken {
            self.drop(DropReason::BatchFull);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests;
