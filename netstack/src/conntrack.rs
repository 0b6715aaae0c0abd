//! Connection tracking: which flow of the device is which flow in a tunnel.

mod flow;
mod history;
mod key;

use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::packet::facts::Transport;

pub use flow::{Flow, Side, TcpState};
pub use history::{FlowEnd, FlowEvent, FlowFacts, History};
pub use key::{DeviceKey, TunnelKey};

/// Ports that translation may choose from: those that IANA does not register to services (RFC 6335, section 6).
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Tries for a free port before the flow is refused.
const PORT_TRIES: usize = 64;
/// A query into a tunnel is forgotten after this long; the resolver gives up after half of it.
const QUERY_LIFETIME: Duration = Duration::from_secs(10);
/// Most queries under way in tunnels: three quarters of the dynamic ports, if all went to one server.
const MOST_QUERIES: usize = 12_288;
/// Flows are looked through for those that ended at most this often, so that one may be known for so much longer than
/// its lifetime: a wake-up a minute at most, and the same as the shortest lifetime.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// A full table is looked through at most this often.
const FULL_SWEEP_INTERVAL: Duration = Duration::from_secs(1);

type Map<K, V> = std::collections::HashMap<K, V, FixedState>;

/// What stands behind a key on the tunnel side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A tracked flow of the device.
    Flow(u32),
    /// A query of our resolver over UDP.
    Query(u64),
    /// A TCP connection of our own stack.
    Local,
    /// Echo requests of our own that measure the path.
    Probe,
}

/// The table.
pub struct Conntrack {
    flows: Vec<Option<Flow>>,
    free: Vec<u32>,
    by_device: Map<DeviceKey, u32>,
    by_tunnel: Map<TunnelKey, Owner>,
    queries: std::collections::VecDeque<(Instant, TunnelKey)>,
    most_flows: usize,
    random: ChaCha8Rng,
    swept_at: Option<Instant>,
    /// No flow ends by silence before this: what is passed only moves its end away, unless it closes the flow.
    sweep_due: Option<Instant>,
    /// What happened to flows, for the caller to fetch.
    pub history: History,
}

impl Conntrack {
    /// An empty table of at most `most_flows`; `seed` keys the hashes and `random` chooses ports.
    pub fn new(most_flows: usize, seed: u64, random: ChaCha8Rng) -> Self {
        Self {
            flows: Vec::new(),
            free: Vec::new(),
            by_device: Map::with_hasher(FixedState::with_seed(seed)),
            by_tunnel: Map::with_hasher(FixedState::with_seed(seed)),
            queries: std::collections::VecDeque::new(),
            most_flows,
            random,
            swept_at: None,
            sweep_due: None,
            history: History::default(),
        }
    }

    /// The flow that the device's packet belongs to.
    pub fn find_by_device(&self, key: &DeviceKey) -> Option<u32> {
        self.by_device.get(key).copied()
    }

    /// Who a packet from a tunnel is for.
    pub fn find_by_tunnel(&self, key: &TunnelKey) -> Option<Owner> {
        self.by_tunnel.get(key).copied()
    }

    /// The flow itself.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Flow> {
        self.flows.get_mut(index as usize)?.as_mut()
    }

    /// All flows, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Flow)> {
        self.iter_from(0)
    }

    /// The flows from number `first` on.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &Flow)> {
        let flows = self.flows.iter().enumerate().skip(first as usize);
        flows.filter_map(|(index, flow)| Some((index as u32, flow.as_ref()?)))
    }

    /// All flows, in the order of their numbers, to be changed; their keys must stay.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Flow)> {
        self.flows.iter_mut().enumerate().filter_map(|(index, flow)| Some((index as u32, flow.as_mut()?)))
    }

    /// Takes a new flow; its port in the tunnel is the device's own unless another flow has it. `None`: no room.
    pub fn insert(&mut self, mut flow: Flow, now: Instant) -> Option<u32> {
        if self.by_device.len() >= self.most_flows {
            self.make_room(now);
        }
        if self.by_device.len() >= self.most_flows {
            return None;
        }
        flow.tunnel.local_port = self.free_port(flow.tunnel, flow.tunnel.local_port)?;
        let index = self.free.pop().unwrap_or(self.flows.len() as u32);
        self.by_device.insert(flow.device, index);
        self.by_tunnel.insert(flow.tunnel, Owner::Flow(index));
        self.history.began(&flow);
        if index as usize == self.flows.len() {
            self.flows.push(None);
        }
        self.flows[index as usize] = Some(flow);
        self.sweep_due = sooner(self.sweep_due, flow.expires_at(), self.swept_at);
        Some(index)
    }

    /// Takes note of a packet of a flow from `side`, of `payload` bytes behind the transport header; the flow.
    pub fn note(
        &mut self,
        index: u32,
        side: Side,
        transport: &Transport,
        payload: usize,
        now: Instant,
    ) -> Option<&mut Flow> {
        let flow = self.flows.get_mut(index as usize)?.as_mut()?;
        let was_closed = flow.is_closed();
        if flow.note(side, transport, payload, now) {
            self.sweep_due = sooner(self.sweep_due, flow.expires_at(), self.swept_at);
            match (was_closed, flow.is_closed()) {
                (false, true) => self.history.ended(flow, FlowEnd::Closed),
                (true, false) => self.history.began(flow),
                (false, false) | (true, true) => {}
            }
        }
        Some(flow)
    }

    /// Forgets a flow.
    pub fn remove(&mut self, index: u32, why: FlowEnd) -> Option<Flow> {
        let flow = self.flows.get_mut(index as usize)?.take()?;
        self.history.ended(&flow, why);
        self.by_device.remove(&flow.device);
        self.by_tunnel.remove(&flow.tunnel);
        self.free.push(index);
        Some(flow)
    }

    /// Reserves a random port toward `key`'s remote end for what we send by ourselves; `None`: too many.
    pub fn reserve(&mut self, key: TunnelKey, owner: Owner, now: Instant) -> Option<TunnelKey> {
        let first = self.random_port();
        let key = TunnelKey { local_port: self.free_port(key, first)?, ..key };
        if matches!(owner, Owner::Query(_)) {
            self.expire_queries(now);
            if self.queries.len() >= MOST_QUERIES {
                return None;
            }
            self.queries.push_back((now, key));
        }
        self.by_tunnel.insert(key, owner);
        Some(key)
    }

    /// Gives a reserved port back.
    pub fn release(&mut self, key: &TunnelKey) {
        if !matches!(self.by_tunnel.get(key), Some(Owner::Flow(_))) {
            self.by_tunnel.remove(key);
        }
    }

    /// When [`Self::sweep`] is due: never while no flow is tracked. Queries need none: the next one looks for those that
    /// stayed unanswered.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sweep_due.filter(|_| !self.by_device.is_empty())
    }

    /// Forgets flows that have ended or been silent for too long.
    pub fn sweep(&mut self, now: Instant) {
        self.swept_at = Some(now);
        self.expire_queries(now);
        self.remove_where(|flow| flow.is_expired(now).then_some(FlowEnd::Idle));
    }

    /// Makes room in a full table: closed and unanswered flows go first, and they are all that goes.
    fn make_room(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < FULL_SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        self.remove_where(|flow| match flow.is_expired(now) {
            true => Some(FlowEnd::Idle),
            false => flow.is_dispensable().then_some(FlowEnd::TableFull),
        });
    }

    fn remove_where(&mut self, mut ended: impl FnMut(&Flow) -> Option<FlowEnd>) {
        self.sweep_due = None;
        for index in 0..self.flows.len() {
            let Some(flow) = &self.flows[index] else { continue };
            match ended(flow) {
                Some(why) => drop(self.remove(index as u32, why)),
                None => self.sweep_due = sooner(self.sweep_due, flow.expires_at(), self.swept_at),
            }
        }
    }

    fn expire_queries(&mut self, now: Instant) {
        while let Some((at, key)) = self.queries.front().copied() {
            let is_over = !matches!(self.by_tunnel.get(&key), Some(Owner::Query(_)));
            if !is_over && now.saturating_duration_since(at) < QUERY_LIFETIME {
                return;
            }
            self.queries.pop_front();
            self.release(&key);
        }
    }

    fn free_port(&mut self, key: TunnelKey, wanted: u16) -> Option<u16> {
        let mut port = wanted;
        for _ in 0..PORT_TRIES {
            if !self.by_tunnel.contains_key(&TunnelKey { local_port: port, ..key }) {
                return Some(port);
            }
            port = self.random_port();
        }
        None
    }

    fn random_port(&mut self) -> u16 {
        let count = u32::from(DYNAMIC_PORTS.end() - DYNAMIC_PORTS.start()) + 1;
        DYNAMIC_PORTS.start() + (self.random.next_u32() % count) as u16
    }
}

/// When to sweep, if a flow ends at `end` unless it is heard of again.
fn sooner(due: Option<Instant>, end: Instant, swept_at: Option<Instant>) -> Option<Instant> {
    let end = swept_at.map_or(end, |at| end.max(at + SWEEP_INTERVAL));
    Some(due.map_or(end, |due| due.min(end)))
}

#[cfg(test)]
mod tests;
