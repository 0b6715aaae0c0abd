//! What a dialer asks of the engine.

use std::io;
use std::net::SocketAddr;

use netstack::counters::RefusalReason;
use tokio::sync::oneshot;

use super::Protocol;
use crate::user_stack::{FlowDatagrams, FlowStream};

/// Requests that may wait for the engine; a dialer waits for room.
pub const REQUEST_QUEUE: usize = 256;

/// Asked of the engine. Whose reply is dropped was refused for want of room, or the engine has ended.
#[derive(Debug)]
pub enum Request {
    /// Answer this DNS message as our resolver does.
    Query {
        /// The message, as [`dns::address_query`] makes it.
        message: Vec<u8>,
        /// Whether the answer is to be whole, however long it is; else it may be cut as over UDP.
        is_whole: bool,
        /// The answer.
        reply: oneshot::Sender<Vec<u8>>,
    },
    /// Say whether a flow may begin.
    Judge {
        /// Where to.
        destination: SocketAddr,
        /// What it speaks.
        protocol: Protocol,
        /// The verdict.
        reply: oneshot::Sender<Result<(), Denied>>,
    },
    /// Open a flow of TCP over the stack in user space; of [`Way::Stack`](super::Way) only.
    Connect {
        /// Where to.
        remote: SocketAddr,
        /// The flow.
        reply: oneshot::Sender<io::Result<FlowStream>>,
    },
    /// Make a socket for datagrams on the stack in user space; of [`Way::Stack`](super::Way) only.
    Bind {
        /// Its family.
        is_ipv6: bool,
        /// The socket.
        reply: oneshot::Sender<io::Result<FlowDatagrams>>,
    },
}

/// Why a flow may not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Policy says no.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The applications at that destination, by id.
        applications: Vec<u32>,
    },
    /// The destination's gateway carries no packets of this family.
    NoRoute,
}
