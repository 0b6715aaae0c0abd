//! What happened to flows, kept until the caller fetches it: a flow began, or ended.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::Flow;

/// Happenings that may wait; the caller fetches them after each batch, which begins 64 flows at most.
const MOST_WAITING: usize = 4_096;

/// What is told of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowFacts {
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// The device's end.
    pub source: SocketAddr,
    /// The other end, as the device addresses it.
    pub destination: SocketAddr,
    /// The internal host.
    pub remote: SocketAddr,
    /// Through which gateway.
    pub gateway: u32,
    /// Which application allowed it.
    pub application: u32,
    /// When its first packet passed.
    pub began_at: Instant,
    /// When its last one did.
    pub last_seen: Instant,
    /// Bytes from the device behind the transport header; of a datagram in parts those of the first.
    pub sent: u64,
    /// Bytes to the device, likewise.
    pub received: u64,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEnd {
    /// Both sides finished, or one reset it.
    Closed,
    /// Nothing was heard of it for longer than its kind may be silent.
    Idle,
    /// The table was full, and it had closed or was never answered.
    TableFull,
    /// It lost its right, or its address.
    Revoked,
}

impl FlowEnd {
    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Idle => "idle",
            Self::TableFull => "table_full",
            Self::Revoked => "revoked",
        }
    }
}

/// What happened to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEvent {
    /// It began.
    Began(FlowFacts),
    /// It ended. A TCP connection that both sides closed is told of then, though its last segments may follow.
    Ended(FlowFacts, FlowEnd),
}

/// Happenings in their order.
#[derive(Debug, Default)]
pub struct History {
    waiting: VecDeque<FlowEvent>,
    left_out: u64,
}

impl History {
    /// The next one.
    pub fn poll(&mut self) -> Option<FlowEvent> {
        self.waiting.pop_front()
    }

    /// How many found no room since this was last asked.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    pub(super) fn began(&mut self, flow: &Flow) {
        self.push(FlowEvent::Began(flow.facts()));
    }

    /// One whose end was told when it closed has no second one.
    pub(super) fn ended(&mut self, flow: &Flow, why: FlowEnd) {
        if why == FlowEnd::Closed || !flow.is_closed() {
            self.push(FlowEvent::Ended(flow.facts(), why));
        }
    }

    fn push(&mut self, event: FlowEvent) {
        if self.waiting.len() == MOST_WAITING {
            self.left_out += 1;
            return;
        }
        self.waiting.push_back(event);
    }
}
