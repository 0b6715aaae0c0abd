//! One query in flight: its clients, its servers and its clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health::Health;
use super::{Overload, Transport};
use crate::resolver::Client;
use crate::wire::Edns;
use crate::zones::Target;

/// How long a server has for its response before the next is asked. Stub resolvers wait 5 s in all, and a lost
/// datagram in a tunnel of 300 ms round trip must not look like a dead server.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// The same over TCP, where a connection is opened first.
const TCP_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long all servers together have: what the stub resolvers of glibc and musl wait for one server.
const DEADLINE: Duration = Duration::from_secs(5);

/// Servers of one zone that are asked; glibc asks 3.
const MAX_SERVERS: usize = 16;

/// Clients that may wait for the same question.
const MAX_WAITERS: usize = 32;

/// A client that waits, and what its answer is made of.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) client: Client,
    /// Its query's header and question, as it spelled them.
    pub(crate) head: Box<[u8]>,
    pub(crate) edns: Option<Edns>,
}

/// What is asked, and how it is told from other questions.
pub(crate) struct Question<'a> {
    /// Equal for the same question: what is in flight for one client then serves others too.
    pub(crate) identity: &'a [u8],
    /// The name in wire format and lower case.
    pub(crate) name: &'a [u8],
    /// The key under which the answer may be kept.
    pub(crate) cache_key: &'a [u8],
    pub(crate) qtype: u16,
    pub(crate) transport: Transport,
    /// Where the question ends in the payload.
    pub(crate) question_end: usize,
}

/// A query in flight.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) question: Box<[u8]>,
    pub(crate) name: Box<[u8]>,
    pub(crate) cache_key: Box<[u8]>,
    pub(crate) qtype: u16,
    pub(crate) target: Target,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
    pub(crate) question_end: usize,
    pub(crate) waiters: Vec<Waiter>,
    /// The last response that said SERVFAIL or REFUSED.
    pub(crate) last_failure: Option<Vec<u8>>,
    pub(super) deadline: Instant,
    pub(super) next_at: Instant,
    current: Option<usize>,
    /// One bit per server that was asked.
    tried: u16,
    /// One bit per server that is not to be asked again.
    ruled_out: u16,
}

/// Which server is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The one with this index.
    Server(usize),
    /// All have failed.
    NoneLeft,
}

impl Pending {
    pub(crate) fn new(
        question: Question<'_>,
        target: Target,
        payload: Vec<u8>,
        waiter: Waiter,
        now: Instant,
    ) -> Self {
        Self {
            question: question.identity.into(),
            name: question.name.into(),
            cache_key: question.cache_key.into(),
            qtype: question.qtype,
            target,
            transport: question.transport,
            payload,
            question_end: question.question_end,
            waiters: vec![waiter],
            last_failure: None,
            deadline: now + DEADLINE,
            next_at: now,
            current: None,
            tried: 0,
            ruled_out: 0,
        }
    }

    /// Adds a client. One that repeats its own datagram waits once; each query of a stream has its own answer.
    pub(super) fn add_waiter(&mut self, waiter: Waiter) -> Result<(), Overload> {
        let same = |other: &Waiter| other.client == waiter.client && other.head == waiter.head;
        if self.transport == Transport::Udp && self.waiters.iter().any(same) {
            return Ok(());
        }
        if self.waiters.len() >= MAX_WAITERS {
            return Err(Overload);
        }
        self.waiters.push(waiter);
        Ok(())
    }

    /// The server to ask next: of those not asked yet the one with the fewest failures in a row, in their order;
    /// then again those that were asked and did not answer, in turn.
    pub(super) fn next_server(&self, health: &Health) -> Next {
        let usable = |index: &usize| self.ruled_out & (1 << index) == 0;
        let untried = (0..self.server_count()).filter(usable).filter(|index| self.tried & (1 << index) == 0);
        let failures = |index: &usize| health.failed_in_a_row((self.target.via, self.target.servers[*index]));
        let next = untried.min_by_key(failures).or_else(|| {
            let count = self.server_count();
            let after = self.current.map_or(0, |current| current + 1);
            (after..after + count).map(|index| index % count).find(usable)
        });
        next.map_or(Next::NoneLeft, Next::Server)
    }

    pub(super) fn begin_attempt(&mut self, index: usize, now: Instant) {
        let timeout = match self.transport {
            Transport::Udp => ATTEMPT_TIMEOUT,
            Transport::Tcp => TCP_ATTEMPT_TIMEOUT,
        };
        self.current = Some(index);
        self.tried |= 1 << index;
        self.next_at = self.deadline.min(now + timeout);
    }

    /// Notes that a server is of no use for this query, and what it said.
    pub(super) fn rule_out(&mut self, server: SocketAddr, response: Option<Vec<u8>>) {
        if let Some(index) = self.index_of(server) {
            self.ruled_out |= 1 << index;
        }
        self.last_failure = response.or(self.last_failure.take());
    }

    pub(super) fn replace_servers(&mut self, servers: Arc<[SocketAddr]>) {
        self.target.servers = servers;
        (self.current, self.tried, self.ruled_out) = (None, 0, 0);
    }

    pub(super) fn current_server(&self) -> Option<SocketAddr> {
        self.current.and_then(|index| self.target.servers.get(index)).copied()
    }

    pub(super) fn was_asked(&self, server: SocketAddr) -> bool {
        self.index_of(server).is_some_and(|index| self.tried & (1 << index) != 0)
    }

    /// Whether a response of this server is still waited for.
    pub(super) fn is_asking(&self, server: SocketAddr) -> bool {
        self.index_of(server).is_some_and(|index| self.tried & !self.ruled_out & (1 << index) != 0)
    }

    pub(super) fn all_tried(&self) -> bool {
        (0..self.server_count()).all(|index| self.tried & (1 << index) != 0)
    }

    fn index_of(&self, server: SocketAddr) -> Option<usize> {
        self.target.servers.iter().take(MAX_SERVERS).position(|known| *known == server)
    }

    fn server_count(&self) -> usize {
        self.target.servers.len().min(MAX_SERVERS)
    }
}
