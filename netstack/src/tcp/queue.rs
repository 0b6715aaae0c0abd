//! A first-in-first-out queue of flows from which a flow can be taken out anywhere, so that no dead entry stays behind.
use std::collections::BTreeMap;

use super::FlowId;

/// Each flow keeps the [`Ticket`] of its place; the queue is never longer than the table of flows.
#[derive(Debug, Default)]
pub(super) struct FlowQueue {
    places: BTreeMap<u64, FlowId>,
    next: u64,
}

/// A flow's place in one queue, `None` while it is not in it.
pub(super) type Ticket = Option<u64>;

impl FlowQueue {
    /// Appends the flow unless it already has a place.
    pub(super) fn push(&mut self, flow: FlowId, ticket: &mut Ticket) {
        if ticket.is_some() {
            return;
        }
        self.places.insert(self.next, flow);
        *ticket = Some(self.next);
        self.next += 1;
    }

    /// Gives up the flow's place, if it has one.
    pub(super) fn remove(&mut self, ticket: &mut Ticket) {
        if let Some(place) = ticket.take() {
            self.places.remove(&place);
        }
    }

    pub(super) fn front(&self) -> Option<FlowId> {
        self.places.first_key_value().map(|(_, flow)| *flow)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
