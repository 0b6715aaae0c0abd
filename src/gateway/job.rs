//! What the engine and the egress say to each other.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use netstack::gateway::{Close, FlowFacts, FlowId};

use super::names::{Given, Reply};
use super::roster::{PeerFacts, Roster};
use crate::dialer::Stream;

/// What the engine wants done; its channel has room for [`JOB_QUEUE`].
#[derive(Debug)]
pub enum Job {
    /// A peer opens a connection that it has a right to: dial it, then say so.
    Open(FlowId, FlowFacts, Arc<PeerFacts>),
    /// A UDP flow or an echo began.
    Began(FlowId, FlowFacts, Arc<PeerFacts>),
    /// An echo request of a flow: its sequence number and payload.
    Echo(FlowId, u16, Vec<u8>),
    /// A query over UDP.
    Query {
        /// The peer's number.
        peer: u32,
        /// The peer.
        facts: Arc<PeerFacts>,
        /// The peer's end.
        source: SocketAddr,
        /// The address that was asked.
        local: SocketAddr,
        /// The message.
        payload: Vec<u8>,
    },
    /// A connection that the user-space stack took.
    Accepted(SocketAddr, SocketAddr, Stream),
    /// A flow is over.
    Ended(FlowId),
}

/// What the egress wants of the engine; its channel has room for [`ORDER_QUEUE`].
#[derive(Debug)]
pub enum Order {
    /// Somebody accepts the connection.
    Admit(FlowId, Dialed),
    /// The flow is to end, and why.
    Close(FlowId, Close, &'static str, Option<Arc<str>>),
    /// Datagrams of the flow leave by this socket from now on.
    Socket(FlowId, Arc<UdpSocket>, Dialed),
    /// A flow of echoes leads there.
    Dialed(FlowId, Dialed),
    /// A datagram for the peer of a flow.
    Datagram(FlowId, Vec<u8>),
    /// An echo's answer.
    EchoReply(FlowId, u16, Vec<u8>),
    /// The answer to a query over UDP.
    Answer {
        /// The peer's number.
        peer: u32,
        /// The peer's end.
        source: SocketAddr,
        /// The address that was asked.
        local: SocketAddr,
        /// The answer.
        reply: Reply,
        /// The configuration by which it was made.
        roster: Arc<Roster>,
    },
    /// What must be known before an answer over TCP is sent, and the configuration by which it was made.
    Destination(Given, Arc<Roster>),
    /// Addresses that stand for nothing any more.
    Forget(Vec<IpAddr>),
}

/// What a flow was dialed as, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialed {
    /// The name.
    pub name: Option<Arc<str>>,
    /// The address.
    pub address: IpAddr,
}

/// Jobs that may wait: a second of new flows; what finds no room is refused.
pub const JOB_QUEUE: usize = 2048;
/// Orders that may wait; who has more waits.
pub const ORDER_QUEUE: usize = 1024;
