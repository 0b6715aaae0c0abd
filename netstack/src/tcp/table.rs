//! The flows of a stack, found by id or by link and addresses.
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::flow::Flow;

/// Names one flow of one stack. The ids of ended flows name nothing: each place carries a generation, and places are
/// used again in the order in which they became free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId {
    slot: u32,
    generation: u32,
}

/// Link and 5-tuple (the protocol is TCP): what packets are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    pub(super) link: u32,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    flow: Option<Box<Flow>>,
}

/// At most `capacity` flows; grows to it as needed.
pub(super) struct FlowTable {
    slots: Vec<Slot>,
    free: VecDeque<u32>,
    /// Ordered, not hashed: peers choose the keys, and 10,000 of them are 14 comparisons.
    ids: BTreeMap<FlowKey, FlowId>,
    capacity: usize,
}

impl FlowTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), free: VecDeque::new(), ids: BTreeMap::new(), capacity }
    }

    /// Takes the flow in, or gives nothing if the table is full.
    pub(super) fn insert(&mut self, flow: Box<Flow>) -> Option<FlowId> {
        let slot = self.free_slot()?;
        let place = self.slots.get_mut(slot as usize)?;
        let id = FlowId { slot, generation: place.generation };
        self.ids.insert(flow.key, id);
        place.flow = Some(flow);
        Some(id)
    }

    /// Forgets the addresses of a flow that no packet may reach any more; its id stays good.
    pub(super) fn forget_key(&mut self, id: FlowId) {
        let Some(key) = self.get(id).map(|flow| flow.key) else {
            return;
        };
        if self.ids.get(&key) == Some(&id) {
            self.ids.remove(&key);
        }
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<Box<Flow>> {
        self.forget_key(id);
        let place = self.slots.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)?;
        let flow = place.flow.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push_back(id.slot);
        Some(flow)
    }

    pub(super) fn get(&self, id: FlowId) -> Option<&Flow> {
        let place = self.slots.get(id.slot as usize)?;
        place.flow.as_deref().filter(|_| place.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        let place = self.slots.get_mut(id.slot as usize)?;
        place.flow.as_deref_mut().filter(|_| place.generation == id.generation)
    }

    pub(super) fn find(&self, key: &FlowKey) -> Option<FlowId> {
        self.ids.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    fn free_slot(&mut self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        // New places first: a freed one rests as long as possible.
        if self.slots.len() < self.capacity {
            self.slots.push(Slot::default());
            return u32::try_from(self.slots.len() - 1).ok();
        }
        self.free.pop_front()
    }
}
