//! Queries in flight: who waits for them, which server is asked when, and what its response is worth.

mod health;
mod pending;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::counters::Counters;
use crate::seeded_hash::SeededHash;
use crate::wire::{HEADER, Message, Record, be16, flag, lower_udp_size, matches_question, rcode};
use crate::zones::Target;
use health::Health;
pub use health::ServerHealth;
use pending::Next;
pub(crate) use pending::{Pending, Question, Waiter};

/// Queries in flight at most: each is a few hundred bytes and ends within 5 seconds.
const MAX_PENDING: usize = 1_024;

/// Transmits that may wait for the caller. One more is lost like a datagram, and repeated like one.
const MAX_TRANSMITS: usize = 2 * MAX_PENDING;

/// The longest response with an error that is kept until all servers were asked, in bytes: what a datagram holds by
/// common EDNS sizes. A longer one is answered by an error of our own.
const MAX_FAILURE: usize = 4_096;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A stream, on which each message is preceded by its length.
    Tcp,
}

/// The way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// Through the tunnel of a gateway; the number is the caller's id of it.
    Gateway(u32),
    /// By a socket outside of every tunnel: the server is one of the physical links'.
    System,
}

/// A query to be sent to a server. What comes back is to be handed in with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The number of the query; several transmits may have the same.
    pub query: u64,
    /// The way to the server.
    pub via: Via,
    /// The server.
    pub server: SocketAddr,
    /// How to send it.
    pub transport: Transport,
    /// The message, without the length that precedes it over TCP.
    pub payload: Vec<u8>,
}

impl Transmit {
    /// Has a server in a tunnel answer over UDP with `most` bytes of message at most: what the path carries in one packet.
    /// A longer answer then comes truncated, and is asked for again over TCP. Less than 512 cannot be asked for, nor
    /// anything of a query without EDNS, which means 512 (RFC 6891 §6.2.3).
    pub fn limit_answer(&mut self, most: usize) {
        lower_udp_size(&mut self.payload, u16::try_from(most).unwrap_or(u16::MAX));
    }
}

/// The queries in flight.
#[derive(Debug)]
pub(crate) struct Upstream {
    pending: BTreeMap<u64, Pending>,
    /// Which query in flight asks this question. Only looked up, never listed.
    by_question: HashMap<Box<[u8]>, u64, SeededHash>,
    timers: BTreeSet<(Instant, u64)>,
    transmits: VecDeque<Transmit>,
    next_query: u64,
    rng: ChaCha12Rng,
    health: Health,
}

/// What became of a query's attempt.
pub(crate) enum Progress<'a> {
    /// Nothing that concerns its clients.
    Waiting,
    /// A response that can be passed on, taken apart when it came through a tunnel.
    Answered(Pending, Option<Message<'a>>),
    /// No server is left. The last response there was says why, if any came.
    Failed(Pending),
}

/// There are as many queries or waiting clients as may be.
pub(crate) struct Overload;

impl Upstream {
    pub(crate) fn new(rng: ChaCha12Rng, hash: SeededHash) -> Self {
        Self {
            pending: BTreeMap::new(),
            by_question: HashMap::with_hasher(hash),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            next_query: 0,
            rng,
            health: Health::default(),
        }
    }

    /// Lets a client wait for the same question that is in flight already. `Ok(false)`: there is none.
    pub(crate) fn join(
        &mut self,
        question: &[u8],
        waiter: impl FnOnce() -> Waiter,
    ) -> Result<bool, Overload> {
        let found = self.by_question.get(question).and_then(|query| self.pending.get_mut(query));
        match found {
            Some(pending) => pending.add_waiter(waiter()).map(|()| true),
            None => Ok(false),
        }
    }

    /// Asks a question that is not in flight. `payload` is sent as it is, `head_end` is where its question ends.
    pub(crate) fn ask(&mut self, mut pending: Pending, now: Instant) -> Result<(), Overload> {
        if self.pending.len() >= MAX_PENDING {
            return Err(Overload);
        }
        let query = self.next_query;
        self.next_query += 1;
        if let Next::Server(server) = pending.next_server(&self.health) {
            self.send(query, &mut pending, server, now);
        }
        self.by_question.insert(pending.question.clone(), query);
        self.pending.insert(query, pending);
        Ok(())
    }

    /// A random id for a query (RFC 5452 §9.2).
    pub(crate) fn random_id(&mut self) -> u16 {
        self.rng.next_u32() as u16
    }

    pub(crate) fn handle_response<'a>(
        &mut self,
        query: u64,
        server: SocketAddr,
        payload: &'a [u8],
        now: Instant,
        counters: &mut Counters,
    ) -> Progress<'a> {
        let Some(pending) = self.pending.get(&query).filter(|pending| pending.expects(server, payload))
        else {
            counters.unexpected_responses += 1;
            return Progress::Waiting;
        };
        let parsed = match pending.target.via {
            Via::System => None,
            Via::Gateway(_) => Some(Message::parse(payload)),
        };
        let code = be16(payload, 2).unwrap_or_default() & flag::RCODE;
        match parsed.transpose() {
            Err(_) => {
                counters.malformed_responses += 1;
                self.fail_over(query, server, None, now, counters)
            }
            Ok(message) if matches!(code, rcode::SERVER_FAILURE | rcode::REFUSED) => {
                let failure = failure_to_keep(payload, message.as_ref());
                self.fail_over(query, server, failure, now, counters)
            }
            Ok(message) => {
                self.health.answered((pending.target.via, server), now);
                match self.take(query) {
                    Some(pending) => Progress::Answered(pending, message),
                    None => Progress::Waiting,
                }
            }
        }
    }

    /// A server could not be reached, or has failed in another way that needs no waiting.
    pub(crate) fn handle_failure(
        &mut self,
        query: u64,
        server: SocketAddr,
        now: Instant,
        counters: &mut Counters,
    ) -> Progress<'static> {
        if !self.pending.get(&query).is_some_and(|pending| pending.is_asking(server)) {
            return Progress::Waiting;
        }
        self.fail_over(query, server, None, now, counters)
    }

    /// Works on one query whose time has come. `None`: there is none.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        counters: &mut Counters,
    ) -> Option<Progress<'static>> {
        let (_, query) = self.timers.first().copied().filter(|(at, _)| *at <= now)?;
        let pending = self.pending.get(&query)?;
        counters.timeouts += 1;
        if let Some(server) = pending.current_server() {
            self.health.failed((pending.target.via, server));
        }
        let has_reason = pending.last_failure.is_some() && pending.all_tried();
        let over = now >= pending.deadline || has_reason;
        Some(if over { self.give_up(query) } else { self.advance(query, now) })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Whether a response to this query is still of use.
    pub(crate) fn is_pending(&self, query: u64) -> bool {
        self.pending.contains_key(&query)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Forgets the servers that are asked no more.
    pub(crate) fn retain_servers(&mut self, keep: &BTreeSet<(Via, SocketAddr)>) {
        self.health.retain(keep);
    }

    /// The servers of the physical links have changed: what waits for the old ones asks the new ones next.
    pub(crate) fn replace_system_servers(&mut self, servers: &Arc<[SocketAddr]>) {
        for pending in self.pending.values_mut().filter(|pending| pending.target.via == Via::System) {
            pending.replace_servers(servers.clone());
        }
    }

    /// Takes out the queries that a new policy would send elsewhere.
    pub(crate) fn take_outdated(&mut self, target_of: impl Fn(&[u8]) -> Option<Target>) -> Vec<Pending> {
        let outdated = |pending: &Pending| match target_of(&pending.name) {
            Some(target) => target != pending.target,
            None => pending.target.via != Via::System,
        };
        let queries: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| outdated(pending)).map(|(query, _)| *query).collect();
        queries.into_iter().filter_map(|query| self.take(query)).collect()
    }

    fn fail_over(
        &mut self,
        query: u64,
        server: SocketAddr,
        response: Option<Vec<u8>>,
        now: Instant,
        counters: &mut Counters,
    ) -> Progress<'static> {
        counters.upstream_failures += 1;
        let Some(pending) = self.pending.get_mut(&query) else { return Progress::Waiting };
        self.health.failed((pending.target.via, server));
        pending.rule_out(server, response);
        // Another server's attempt is under way: it was the late answer of an earlier one.
        if pending.current_server().is_some_and(|current| current != server) {
            return Progress::Waiting;
        }
        self.advance(query, now)
    }

    fn advance(&mut self, query: u64, now: Instant) -> Progress<'static> {
        let Some(mut pending) = self.pending.remove(&query) else { return Progress::Waiting };
        let next = pending.next_server(&self.health);
        if let Next::Server(server) = next {
            self.timers.remove(&(pending.next_at, query));
            self.send(query, &mut pending, server, now);
        }
        self.pending.insert(query, pending);
        match next {
            Next::Server(_) => Progress::Waiting,
            Next::NoneLeft => self.give_up(query),
        }
    }

    fn give_up(&mut self, query: u64) -> Progress<'static> {
        self.take(query).map_or(Progress::Waiting, Progress::Failed)
    }

    fn send(&mut self, query: u64, pending: &mut Pending, index: usize, now: Instant) {
        pending.begin_attempt(index, now);
        self.timers.insert((pending.next_at, query));
        let Some(server) = pending.current_server() else { return };
        if self.transmits.len() < MAX_TRANSMITS {
            let (via, transport, payload) = (pending.target.via, pending.transport, pending.payload.clone());
            self.transmits.push_back(Transmit { query, via, server, transport, payload });
        }
    }

    fn take(&mut self, query: u64) -> Option<Pending> {
        let pending = self.pending.remove(&query)?;
        self.timers.remove(&(pending.next_at, query));
        self.by_question.remove(&pending.question);
        Some(pending)
    }
}

impl Pending {
    /// Whether this is a response to the query from a server that was asked.
    fn expects(&self, server: SocketAddr, response: &[u8]) -> bool {
        self.was_asked(server) && matches_question(response, &self.payload, self.question_end)
    }
}

/// What is kept of a response with an error until all servers were asked. Of one with records only its header, so
/// its code: an error with records makes no sense, and would pass on addresses that nobody has mapped.
fn failure_to_keep(payload: &[u8], message: Option<&Message<'_>>) -> Option<Vec<u8>> {
    if message.is_none_or(|message| message.records.iter().all(Record::is_opt)) {
        return Some(payload.to_vec()).filter(|payload| payload.len() <= MAX_FAILURE);
    }
    let mut header = payload.get(..HEADER)?.to_vec();
    header[4..].fill(0);
    Some(header)
}
