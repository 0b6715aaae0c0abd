//! What the gateway tells its caller: flows that begin and end, refusals, and content that the caller carries.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::counters::RefusalReason;
use crate::policy::Protocol;

/// Refusals that wait for the caller; beyond, they are counted for their peer's next one.
const MOST_REFUSALS: usize = 1_024;

/// A flow's number; none is given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub(super) u64);

/// A flow of a peer, for audit and for whoever carries it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowFacts {
    /// The peer's number.
    pub peer: u32,
    /// Under which application; `None`: a connection to the address that names are asked at.
    pub application: Option<u32>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The peer's end; the port of an echo is its identifier.
    pub source: SocketAddr,
    /// The other end, as the peer addresses it; the port of an echo is 0.
    pub destination: SocketAddr,
    /// When it began.
    pub began: Instant,
    /// Bytes from the peer, behind the transport header; what was repeated counts again.
    pub up: u64,
    /// Bytes to the peer, likewise.
    pub down: u64,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Both sides closed it.
    Closed,
    /// The peer reset it, or said that it does not take it any more.
    ResetByPeer,
    /// The other side did.
    ResetByHost,
    /// It was silent for too long.
    Idle,
    /// The right was taken away, or the peer itself.
    Revoked,
    /// The caller ended it: [`super::Gateway::close_flow`].
    ClosedByCaller,
}

impl EndReason {
    /// A stable code for the audit.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ResetByPeer => "reset_by_peer",
            Self::ResetByHost => "reset_by_host",
            Self::Idle => "idle",
            Self::Revoked => "revoked",
            Self::ClosedByCaller => "closed_by_gateway",
        }
    }
}

/// Something a peer was not allowed; at most a few a second and peer are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The peer's number.
    pub peer: u32,
    /// Why.
    pub reason: RefusalReason,
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// The peer's end; port 0 where there are none.
    pub source: SocketAddr,
    /// Where it wanted to go.
    pub destination: SocketAddr,
    /// How many of this peer were left out since the last one.
    pub left_out: u32,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Userspace egress: a peer wants to open a TCP connection that it has a right to. Its SYN waits for
    /// [`super::Gateway::admit`] (somebody on the inner side accepts it) or [`super::Gateway::close_flow`].
    Opening(FlowId, FlowFacts),
    /// A flow of any other kind began; its packets are under way already.
    Began(FlowId, FlowFacts),
    /// A flow ended.
    Ended(FlowId, FlowFacts, EndReason),
    /// Something was refused.
    Refused(Refusal),
}

/// What a datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A query over UDP to the address that names are asked at: for [`super::Gateway::send_answer`].
    Query {
        /// Who asks.
        peer: u32,
        /// The peer's end.
        source: SocketAddr,
        /// The address that was asked.
        local: SocketAddr,
    },
    /// Userspace egress: a datagram of a flow.
    Udp(FlowId),
    /// Userspace egress: an echo request's payload, and its sequence number.
    Echo(FlowId, u16),
}

/// What waits for the caller.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    refusals: usize,
}

impl Events {
    /// Flows are bounded, and so are their events: each has two.
    pub(super) fn tell(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    /// False: there was no room.
    pub(super) fn tell_refusal(&mut self, refusal: Refusal) -> bool {
        let has_room = self.refusals < MOST_REFUSALS;
        if has_room {
            self.refusals += 1;
            self.waiting.push_back(Event::Refused(refusal));
        }
        has_room
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn poll(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front()?;
        if matches!(event, Event::Refused(_)) {
            self.refusals -= 1;
        }
        Some(event)
    }
}
