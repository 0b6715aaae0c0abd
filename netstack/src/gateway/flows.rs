//! The table of flows: found by what the peer sees, by what the inner side sees, and by number.

use std::collections::VecDeque;
use std::time::Instant;

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::alarms::Alarms;
use super::event::FlowId;
use super::flow::Flow;
use crate::conntrack::DeviceKey;

/// Ports that translation may choose from: those that IANA does not register to services (RFC 6335, section 6).
const FIRST_DYNAMIC_PORT: u16 = 49_152;
/// Tries for a free port before the flow is refused.
const PORT_TRIES: usize = 64;

type Map = std::collections::HashMap<DeviceKey, u32, FixedState>;

/// The table.
pub(super) struct Flows {
    list: Vec<Option<Flow>>,
    free: Vec<u32>,
    by_peer: Map,
    by_inner: Map,
    /// Those that are only known for what is repeated of their end, oldest first.
    ended: VecDeque<FlowId>,
    alarms: Alarms,
    made: u32,
    most: usize,
    random: ChaCha8Rng,
}

impl Flows {
    /// An empty table of at most `most` flows; `seed` keys the hashes and `random` chooses ports.
    pub(super) fn new(most: usize, seed: u64, random: ChaCha8Rng) -> Self {
        Self {
            list: Vec::new(),
            free: Vec::new(),
            by_peer: Map::with_hasher(FixedState::with_seed(seed)),
            by_inner: Map::with_hasher(FixedState::with_seed(seed)),
            ended: VecDeque::new(),
            alarms: Alarms::default(),
            made: 0,
            most,
            random,
        }
    }

    /// The flow of a packet of its peer.
    pub(super) fn find(&self, key: &DeviceKey) -> Option<u32> {
        self.by_peer.get(key).copied()
    }

    /// The flow by what the inner side sees, from the peer's side.
    pub(super) fn find_inner(&self, key: &DeviceKey) -> Option<u32> {
        self.by_inner.get(key).copied()
    }

    /// The flow with that number, while it is not over.
    pub(super) fn by_id(&self, id: FlowId) -> Option<u32> {
        let index = id.0 as u32;
        self.get(index).filter(|flow| flow.id == id && !flow.is_ended()).map(|_| index)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Flow> {
        self.list.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Flow> {
        self.list.get_mut(index as usize)?.as_mut()
    }

    /// The places of the table; some are empty.
    pub(super) fn places(&self) -> std::ops::Range<u32> {
        0..self.list.len() as u32
    }

    /// Takes a new flow and gives it its number; its port on the inner side is the peer's own unless another flow has
    /// it. `None`: no room.
    pub(super) fn insert(&mut self, mut flow: Flow) -> Option<u32> {
        if self.by_peer.len() >= self.most {
            self.remove_ended();
        }
        if self.by_peer.len() >= self.most {
            return None;
        }
        flow.tracked.tunnel.local_port = self.free_port(flow.inner_key())?;
        let index = self.free.pop().unwrap_or(self.list.len() as u32);
        self.made = self.made.wrapping_add(1);
        flow.id = FlowId((u64::from(self.made) << 32) | u64::from(index));
        self.by_peer.insert(flow.tracked.device, index);
        self.by_inner.insert(flow.inner_key(), index);
        if index as usize == self.list.len() {
            self.list.push(None);
        }
        self.list[index as usize] = Some(flow);
        Some(index)
    }

    /// Forgets a flow.
    pub(super) fn remove(&mut self, index: u32) -> Option<Flow> {
        let flow = self.list.get_mut(index as usize)?.take()?;
        self.by_peer.remove(&flow.tracked.device);
        self.by_inner.remove(&flow.inner_key());
        self.alarms.clear(index);
        self.free.push(index);
        while self.ended.front().is_some_and(|id| !self.is_there(*id)) {
            self.ended.pop_front();
        }
        Some(flow)
    }

    /// It is over, and may be forgotten where there is no room.
    pub(super) fn note_ended(&mut self, id: FlowId) {
        if self.ended.len() >= 2 * self.most {
            let ended = std::mem::take(&mut self.ended);
            self.ended = ended.into_iter().filter(|id| self.is_there(*id)).collect();
        }
        self.ended.push_back(id);
    }

    /// Looks at a flow no later than `at`.
    pub(super) fn wake(&mut self, index: u32, at: Instant) {
        self.alarms.set(index, at);
    }

    /// When a flow is to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.poll()
    }

    /// A flow whose time may have come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.alarms.pop(now)
    }

    fn is_there(&self, id: FlowId) -> bool {
        self.get(id.0 as u32).is_some_and(|flow| flow.id == id)
    }

    fn remove_ended(&mut self) {
        while let Some(id) = self.ended.pop_front() {
            if self.is_there(id) {
                self.remove(id.0 as u32);
                return;
            }
        }
    }

    fn free_port(&mut self, key: DeviceKey) -> Option<u16> {
        let mut port = key.source_port;
        for _ in 0..PORT_TRIES {
            if !self.by_inner.contains_key(&DeviceKey { source_port: port, ..key }) {
                return Some(port);
            }
            let range = u32::from(u16::MAX - FIRST_DYNAMIC_PORT) + 1;
            port = FIRST_DYNAMIC_PORT + (self.random.next_u32() % range) as u16;
        }
        None
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_peer.len()
    }
}
