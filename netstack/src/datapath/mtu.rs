//! What each gateway's path carries: when it is looked at, the echo requests for that, and what they show.

mod fit;
mod tell;

use std::net::SocketAddr;
use std::time::Instant;

use super::Datapath;
use crate::conntrack::{Conntrack, Owner, TunnelKey};
use crate::packet::{ICMP, ICMPV6, echo};
use crate::path_mtu::{Cause, Known, Limits, PathMtu, Probe};
use crate::sealing::Parts;

/// Hop limit of a request that a host is to answer (as Linux).
const HOP_LIMIT: u8 = 64;

/// What is known of a gateway's path, for `status` and the TUN's MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFacts {
    /// The largest packet inside the tunnel, in bytes.
    pub inner: usize,
    /// The same with all that the tunnel puts around it.
    pub outer: usize,
    /// How that is known.
    pub known: Known,
}

/// The paths, by gateway.
pub(super) struct Paths {
    /// The TUN's MTU, in bytes.
    ceiling: usize,
    list: Vec<Path>,
    parts: Parts,
    tells: tell::Tells,
}

struct Path {
    mtu: PathMtu,
    /// Where the gateway was when the path was looked at as a new one.
    endpoint: Option<SocketAddr>,
    /// A session that was made before proves nothing about the path as it is.
    distrusted_at: Instant,
    /// What the requests' answers are known by.
    key: Option<TunnelKey>,
    sequence: u16,
}

impl Paths {
    pub(super) fn new(ceiling: usize, first_fragment_id: u32) -> Self {
        Self {
            ceiling,
            list: Vec::new(),
            parts: Parts::new(first_fragment_id),
            tells: tell::Tells::default(),
        }
    }

    /// The sizes in force for a gateway.
    pub(super) fn limits(&self, gateway: u32) -> Limits {
        let assumed = Limits { packet: self.ceiling, segment: self.ceiling };
        self.list.get(gateway as usize).map_or(assumed, |path| path.mtu.limits())
    }

    /// When somebody is waited for in vain.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.list.iter().filter_map(|path| path.mtu.poll_timeout()).min()
    }

    /// Nothing is known of a gateway's path.
    pub(super) fn reset(&mut self, index: usize, conntrack: &mut Conntrack, now: Instant) {
        while self.list.len() <= index {
            self.list.push(Path::new(self.ceiling, now));
        }
        self.list[index].forget_requests(conntrack);
        self.list[index] = Path::new(self.ceiling, now);
    }

    pub(super) fn clear(&mut self, conntrack: &mut Conntrack) {
        self.list.drain(..).for_each(|mut path| path.forget_requests(conntrack));
    }

    /// The network changed: each path is a new one as soon as a new session proves it.
    pub(super) fn distrust(&mut self, now: Instant) {
        for path in &mut self.list {
            (path.endpoint, path.distrusted_at) = (None, now);
        }
    }
}

impl Path {
    fn new(ceiling: usize, now: Instant) -> Self {
        Self { mtu: PathMtu::new(ceiling), endpoint: None, distrusted_at: now, key: None, sequence: 0 }
    }

    fn forget_requests(&mut self, conntrack: &mut Conntrack) {
        if let Some(key) = self.key.take() {
            conntrack.release(&key);
        }
    }
}

impl Datapath {
    /// What is known of the path to gateway `id`.
    pub fn path(&self, id: u32) -> Option<PathFacts> {
        let mtu = &self.paths.list.get(id as usize)?.mtu;
        Some(PathFacts { inner: mtu.limits().packet, outer: mtu.outer(), known: mtu.known() })
    }

    /// After datagrams came: looks at paths that are new, or where packets passed and it is time again.
    pub(super) fn watch_paths(&mut self, has_traffic: bool, now: Instant) {
        for index in 0..self.paths.list.len() {
            let Some(peer) = self.peers.get(index).and_then(Option::as_ref) else { continue };
            let path = &mut self.paths.list[index];
            let is_proven = peer.stats().established_at.is_some_and(|at| at >= path.distrusted_at);
            let cause = if path.endpoint != peer.endpoint() && is_proven {
                Cause::NewPath
            } else if has_traffic && path.mtu.is_routine_due(now) {
                Cause::Routine
            } else {
                continue;
            };
            self.look(index as u32, cause, now);
        }
    }

    /// A segment goes unanswered though it is sent again and again: perhaps the path became smaller.
    pub(super) fn suspect_path(&mut self, gateway: u32, now: Instant) {
        if self.paths.list.get(gateway as usize).is_some_and(|path| path.mtu.is_worth_a_look(now)) {
            self.look(gateway, Cause::Suspicion, now);
        }
    }

    /// Takes in that a request's answer of `size` bytes came.
    pub(super) fn handle_echo(&mut self, gateway: u32, size: usize, now: Instant) {
        let Some(path) = self.paths.list.get_mut(gateway as usize) else { return };
        if path.mtu.handle_answer(size, now) {
            self.paths.tells.begin(gateway, now);
        }
        self.end_look(gateway);
    }

    /// Lets time pass for those that wait for answers.
    pub(super) fn handle_path_timeout(&mut self, now: Instant) {
        for gateway in 0..self.paths.list.len() as u32 {
            let mtu = &mut self.paths.list[gateway as usize].mtu;
            if mtu.poll_timeout().is_none_or(|at| at > now) {
                continue;
            }
            if mtu.handle_timeout(now) {
                self.paths.tells.begin(gateway, now);
            }
            self.send_requests(gateway, now);
            self.end_look(gateway);
        }
    }

    fn look(&mut self, gateway: u32, cause: Cause, now: Instant) {
        let index = gateway as usize;
        let (Some(policy), Some(peer)) =
            (self.policy.gateways.get(index), self.peers.get(index).and_then(Option::as_ref))
        else {
            return;
        };
        let Some(endpoint) = peer.endpoint().filter(|_| !self.policy.is_blocked && peer.is_established(now))
        else {
            return;
        };
        let path = &mut self.paths.list[index];
        path.endpoint = Some(endpoint);
        let (targets, round_trip) = (policy.probe_targets.len(), peer.stats().round_trip);
        path.mtu.begin(cause, targets, endpoint.is_ipv6(), round_trip, now);
        self.send_requests(gateway, now);
    }

    fn end_look(&mut self, gateway: u32) {
        let path = &mut self.paths.list[gateway as usize];
        if path.mtu.poll_timeout().is_none() {
            path.forget_requests(&mut self.conntrack);
        }
    }

    fn send_requests(&mut self, gateway: u32, now: Instant) {
        while let Some(probe) = self.paths.list[gateway as usize].mtu.poll_probe() {
            let Some(request) = self.request(gateway, &probe, now) else { continue };
            let Some(length) = echo::write(&mut self.scratch, &request, probe.size.into()) else { continue };
            let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else { return };
            if peer.is_established(now) {
                peer.seal(&self.scratch[..length], &mut self.send, now);
                self.send.end_run();
            }
        }
    }

    fn request(&mut self, gateway: u32, probe: &Probe, now: Instant) -> Option<echo::Request> {
        let policy = self.policy.gateways.get(gateway as usize)?;
        let destination = *policy.probe_targets.get(probe.target)?;
        let source = policy.local_address(destination).filter(|_| policy.allows(destination))?;
        let path = self.paths.list.get_mut(gateway as usize)?;
        if path.key.is_none_or(|key| key.remote != destination) {
            path.forget_requests(&mut self.conntrack);
            let protocol = if destination.is_ipv6() { ICMPV6 } else { ICMP };
            let key = TunnelKey { gateway, protocol, local_port: 0, remote: destination, remote_port: 0 };
            path.key = self.conntrack.reserve(key, Owner::Probe, now);
        }
        path.sequence = path.sequence.wrapping_add(1);
        let hop_limit = if probe.is_short_lived { 1 } else { HOP_LIMIT };
        Some(echo::Request {
            source,
            destination,
            id: path.key?.local_port,
            sequence: path.sequence,
            hop_limit,
        })
    }
}

/// The size in bytes of a request of ours that an ICMP error of type `kind` quotes from its `start`, when the error says
/// that it came as far as its hop limit let it (RFC 792, RFC 4443 section 3.3).
pub(super) fn exceeded(kind: u8, start: &[u8; 6], is_ipv6: bool) -> Option<usize> {
    const TIME_EXCEEDED: [u8; 2] = [11, 3];
    let word = |at: usize| usize::from(u16::from_be_bytes([start[at], start[at + 1]]));
    let size = if is_ipv6 { 40 + word(4) } else { word(2) };
    (kind == TIME_EXCEEDED[usize::from(is_ipv6)]).then_some(size)
}
