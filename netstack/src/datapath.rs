//! The packet machine: TUN frames and datagrams in, datagrams and TUN frames out.
//!
//! The caller hands in what came, then drains [`Datapath::poll_transmit`] and [`Datapath::poll_frame`], and sleeps
//! until [`Datapath::poll_timeout`]. One `now` per batch.

mod admission;
mod expectation;
mod fragmented;
mod inbound;
mod mtu;
mod outbound;
mod quoted;
mod refusals;
mod renumber;
mod resolver_link;
mod revocation;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::conntrack::{Conntrack, FlowEvent, FlowFacts};
use crate::counters::{Counters, DropReason};
use crate::fragments::Fragments;
use crate::policy::{Policy, Prefix};
use crate::send_batch::{SendBatch, Transmit};
use crate::tcp::{Limits, TcpStack};
use crate::tun_batch::{CanJoin, TunBatch};
use crate::wireguard::{Peer, PeerConfig};

pub use admission::Judgement;
pub use mtu::PathFacts;
pub use outbound::Handled;
pub use refusals::Refusal;
pub use resolver_link::{Arrival, TcpEvent};

/// Most flows of the device at one time; each takes 290 to 370 bytes, all together 48 MB.
const MOST_FLOWS: usize = 131_072;
/// DNS over TCP: connections at one time, and the buffers of each: one message of 64 KiB either way.
/// 64 packets are some 90 kB, 0.7 Gbit/s, a small part of the queue of a TUN (500 packets).
const TCP_LIMITS: Limits =
    Limits { max_flows: 512, buffer_bytes: 65_537, idle_timeout: Duration::from_secs(10), pace_packets: 64 };
/// Largest packet that is cut or made at a time: any IP packet.
const SCRATCH: usize = 65_535 + 64;
/// The TCP stack's number for the TUN; gateways have their own ids.
const DEVICE_LINK: u32 = u32::MAX;

/// What the datapath must know from the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Seeds port choice, hashes and sequence numbers; secret.
    pub seed: [u8; 32],
    /// The resolver's addresses: a query to port 53 there is handed up.
    pub resolver: (Ipv4Addr, Option<Ipv6Addr>),
    /// Where virtual addresses live.
    pub pool: Vec<Prefix>,
    /// MTU of the TUN in bytes, or the most that it may become.
    pub mtu: usize,
    /// Which super-packets the device takes.
    pub can_join: CanJoin,
    /// Datagrams of equal size that the system sends in one call; 1: no offload.
    pub most_segments: usize,
}

/// What stands behind a virtual address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Through which gateway.
    pub gateway: u32,
    /// The internal host's real address.
    pub real: IpAddr,
    /// Under which grant.
    pub grant: u32,
}

/// The machine.
pub struct Datapath {
    config: Config,
    policy: Policy,
    peers: Vec<Option<Peer>>,
    /// There is no network: peers need not be woken to try in vain.
    is_offline: bool,
    mappings: std::collections::HashMap<IpAddr, Mapping, FixedState>,
    conntrack: Conntrack,
    fragments: Fragments,
    tcp: TcpStack,
    own_tcp: resolver_link::OwnTcp,
    resets: revocation::PendingResets,
    paths: mtu::Paths,
    send: SendBatch,
    tun: TunBatch,
    scratch: Box<[u8]>,
    counters: Counters,
    refusals: refusals::Refusals,
    arrivals: std::collections::VecDeque<Arrival>,
}

impl Datapath {
    /// A datapath that lets nothing pass until it has a policy.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut random = ChaCha8Rng::from_seed(config.seed);
        let hash_seed = random.next_u64();
        let mut tcp_seed = [0; 32];
        random.fill_bytes(&mut tcp_seed);
        let first_fragment_id = random.next_u32();
        let mut tcp = TcpStack::new(tcp_seed, config.mtu, TCP_LIMITS, now);
        tcp.listen(DEVICE_LINK, (config.resolver.0, resolver_link::DNS_PORT).into());
        if let Some(resolver) = config.resolver.1 {
            tcp.listen(DEVICE_LINK, (resolver, resolver_link::DNS_PORT).into());
        }
        Self {
            policy: Policy { is_blocked: true, ..Policy::default() },
            peers: Vec::new(),
            is_offline: false,
            mappings: std::collections::HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            conntrack: Conntrack::new(MOST_FLOWS, hash_seed, random),
            fragments: Fragments::new(hash_seed),
            tcp,
            own_tcp: resolver_link::OwnTcp::default(),
            resets: revocation::PendingResets::default(),
            paths: mtu::Paths::new(config.mtu, first_fragment_id),
            send: SendBatch::new(config.most_segments),
            tun: TunBatch::new(config.can_join),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            counters: Counters::default(),
            refusals: refusals::Refusals::default(),
            arrivals: std::collections::VecDeque::new(),
            config,
        }
    }

    /// Makes gateway `id` a WireGuard peer and begins its handshake; replaces what was there.
    pub fn set_peer(&mut self, id: u32, config: PeerConfig, now: Instant) {
        let index = id as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, || None);
        }
        self.paths.reset(index, &mut self.conntrack, now);
        let mut peer = Peer::new(config, id, now);
        peer.connect(&mut self.send, now);
        self.peers[index] = Some(peer);
    }

    /// Ends all sessions: nothing is sent to any gateway until [`Self::set_peer`].
    pub fn remove_peers(&mut self) {
        self.peers.clear();
        self.paths.clear(&mut self.conntrack);
    }

    /// Where gateway `id` may be has changed; the endpoint in use stays so for as long as it answers.
    pub fn set_endpoints(&mut self, id: u32, endpoints: Vec<SocketAddr>, now: Instant) {
        if let Some(peer) = self.peers.get_mut(id as usize).and_then(Option::as_mut) {
            peer.set_endpoints(endpoints, &mut self.send, now);
        }
    }

    /// There is no network at all: no gateway is tried by itself until [`Self::reconnect`]. How long they have been out
    /// of reach counts from now.
    pub fn go_offline(&mut self, now: Instant) {
        self.reconnect(now);
        self.is_offline = true;
    }

    /// The network changed or the machine woke up: every gateway makes a new session at once.
    pub fn reconnect(&mut self, now: Instant) {
        self.is_offline = false;
        self.paths.distrust(now);
        for peer in self.peers.iter_mut().flatten() {
            peer.reconnect(&mut self.send, now);
        }
    }

    /// Ends the session of gateway `id`, if it has one.
    pub fn remove_peer(&mut self, id: u32) {
        if let Some(peer) = self.peers.get_mut(id as usize) {
            *peer = None;
        }
    }

    /// What is known of gateway `id`.
    pub fn peer(&self, id: u32) -> Option<&Peer> {
        self.peers.get(id as usize)?.as_ref()
    }

    /// Says what stands behind a virtual address; must be said before a client learns the address.
    pub fn add_mapping(&mut self, virtual_address: IpAddr, mapping: Mapping) {
        self.mappings.insert(virtual_address, mapping);
    }

    /// Says anew what stands behind all virtual addresses; open flows are judged by it at [`Self::set_policy`].
    pub fn replace_mappings(&mut self, mappings: impl IntoIterator<Item = (IpAddr, Mapping)>) {
        self.mappings.clear();
        self.mappings.extend(mappings);
    }

    /// Forgets virtual addresses for which `keep` says no; open flows to them are not touched.
    pub fn retain_mappings(&mut self, mut keep: impl FnMut(IpAddr, &Mapping) -> bool) {
        self.mappings.retain(|address, mapping| keep(*address, mapping));
    }

    /// The next datagrams to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        if self.send.is_empty() {
            self.send.clear();
            self.reset_remote();
            self.tell_hosts();
        }
        self.send.pop()
    }

    /// The datagrams last fetched could not be sent now: they come again.
    pub fn retry_transmit(&mut self) {
        self.send.unpop();
    }

    /// How many frames wait for the TUN; the batch holds 256, and one call of input adds up to 64.
    pub fn frames_waiting(&self) -> usize {
        self.tun.len()
    }

    /// The next frame (virtio header and packet) to write to the TUN.
    pub fn poll_frame(&mut self) -> Option<&[u8]> {
        if self.tun.is_empty() {
            self.tun.clear();
            self.reset_device();
        }
        self.tun.pop()
    }

    /// When [`Self::handle_timeout`] is due; `None`: nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_awake = !self.is_offline;
        let peers = self.peers.iter().flatten().filter(|_| is_awake).filter_map(Peer::poll_timeout).min();
        let paths = self.paths.poll_timeout().filter(|_| is_awake);
        [peers, self.conntrack.poll_timeout(), paths, self.tcp.poll_timeout()].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        for peer in self.peers.iter_mut().flatten().filter(|_| !self.is_offline) {
            if peer.poll_timeout().is_some_and(|at| at <= now) {
                peer.advance(&mut self.send, now);
            }
        }
        if self.conntrack.poll_timeout().is_some_and(|at| at <= now) {
            self.conntrack.sweep(now);
            self.fragments.expire(now);
        }
        if !self.is_offline {
            self.handle_path_timeout(now);
        }
        self.tcp.handle_timeout(now);
        self.flush_tcp(now);
    }

    /// Packets dropped, by reason.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many flows each application has now; index: the application's id.
    pub fn flows_by_application(&self, applications: usize) -> Vec<u32> {
        let mut flows = vec![0; applications];
        for (_, flow) in self.conntrack.iter() {
            if let Some(count) = flows.get_mut(flow.application as usize) {
                *count += 1;
            }
        }
        flows
    }

    /// The addresses that open flows go to, as the device knows them; one may come several times.
    pub fn destinations(&self) -> Vec<IpAddr> {
        self.conntrack.iter().map(|(_, flow)| flow.device.destination).collect()
    }

    /// What was refused last under each grant, and how often.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.refusals.iter()
    }

    /// What happened to a flow of the device, in order; to be fetched after each batch.
    pub fn poll_flow_event(&mut self) -> Option<FlowEvent> {
        self.conntrack.history.poll()
    }

    /// How many beginnings and ends found no room since this was last asked.
    pub fn take_left_out_flow_events(&mut self) -> u64 {
        self.conntrack.history.take_left_out()
    }

    /// The next refusal that was not fetched yet, and how many were left out since the last one: the same one again
    /// within a second, or more than there is room for.
    pub fn poll_refusal(&mut self) -> Option<(Refusal, u64)> {
        self.refusals.poll()
    }

    /// Open flows of the device, at most `most`, and how many there are.
    pub fn flows(&self, most: usize) -> (Vec<FlowFacts>, usize) {
        let open = || self.conntrack.iter().filter(|(_, flow)| !flow.is_closed());
        (open().take(most).map(|(_, flow)| flow.facts()).collect(), open().count())
    }

    /// How many packets were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (crate::counters::RefusalReason, u64)> {
        self.refusals.by_reason()
    }

    fn drop(&mut self, reason: DropReason) {
        self.counters.count(reason);
    }
}

#[cfg(test)]
mod tests;
