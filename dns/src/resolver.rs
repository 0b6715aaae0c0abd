//! The resolver: from a client's query to its answer.

mod deliver;
mod forwarded;
mod surface;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::cache::Cache;
use crate::counters::Counters;
use crate::reverse_names::answer_reverse;
use crate::seeded_hash::SeededHash;
use crate::special_names::answer_special;
use crate::upstream::{Overload, Pending, Progress, Question, Transport, Upstream, Via, Waiter};
use crate::virtual_pool::VirtualPool;
use crate::wire::{ExtendedError, HEADER, Query, QueryFault, error_answer, rcode, rtype, truncated_answer};
use crate::zones::{Target, Zones};

/// No server is known, or none answered (RFC 8914 §4.24, "Network Error").
const NO_SERVER: ExtendedError = ExtendedError { code: 23, text: "no server of the zone is known" };
/// The resolver protects itself (RFC 8914 §4.1, "Other").
const TOO_MANY: ExtendedError = ExtendedError { code: 0, text: "too many queries in flight" };
/// Transfers would carry real addresses (RFC 8914 §4.22, "Not Supported").
const NO_TRANSFERS: ExtendedError = ExtendedError { code: 21, text: "zone transfers are not passed on" };

/// Who asked, and where the answer goes. It is handed back as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address that the query came from.
    pub source: SocketAddr,
    /// The address that it was sent to.
    pub local: SocketAddr,
    /// How it came; the answer goes the same way, and is cut to what a datagram takes.
    pub transport: Transport,
    /// The caller's id of the connection, for [`Transport::Tcp`].
    pub connection: u32,
}

/// An answer to a query that could not be answered at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who asked.
    pub client: Client,
    /// The message, without the length that precedes it over TCP.
    pub payload: Vec<u8>,
}

/// What a virtual address stands for, to be known before a client may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The address that clients are given.
    pub virtual_address: IpAddr,
    /// The address behind the gateway.
    pub real: IpAddr,
    /// The caller's id of the gateway.
    pub gateway: u32,
    /// The caller's id of what grants access.
    pub grant: u32,
    /// The name that was asked for.
    pub name: Arc<str>,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is in the buffer.
    Answer,
    /// The answer will come out of [`Resolver::poll_answer`].
    Pending,
    /// There will be none.
    Drop(DropReason),
}

/// Why a message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It is shorter than the header of a DNS message.
    Short,
    /// It is a response: answering one could start a loop.
    Response,
}

/// Names as a pure state machine.
///
/// After each call that hands something in, take out all of [`poll_mapping`](Self::poll_mapping), then all of
/// [`poll_answer`](Self::poll_answer) and [`poll_transmit`](Self::poll_transmit): a client must not learn an address
/// before the packets' path knows it.
#[derive(Debug)]
pub struct Resolver {
    zones: Zones,
    system_servers: Arc<[SocketAddr]>,
    pool: VirtualPool,
    cache: Cache,
    upstream: Upstream,
    mappings: VecDeque<Mapping>,
    answers: VecDeque<Answer>,
    counters: Counters,
}

impl Resolver {
    /// A resolver with a policy and a table of virtual addresses. The seed is to be random and secret: the ids of
    /// queries come from it.
    pub fn new(zones: Zones, pool: VirtualPool, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let hash = SeededHash::new(rng.next_u64());
        let mut resolver = Self {
            zones: Zones::default(),
            system_servers: Arc::default(),
            pool,
            cache: Cache::new(hash),
            upstream: Upstream::new(rng, hash),
            mappings: VecDeque::new(),
            answers: VecDeque::new(),
            counters: Counters::default(),
        };
        resolver.set_zones(zones);
        resolver
    }

    /// Takes a client's query. An answer that is known goes into `out`, which is emptied first; a cached one costs no
    /// allocation once `out` has grown to its size.
    pub fn handle_query(&mut self, client: Client, query: &[u8], now: Instant, out: &mut Vec<u8>) -> Outcome {
        out.clear();
        self.counters.queries += 1;
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(fault) => return self.refuse_fault(query, fault, out),
        };
        if query.is_plain()
            && let Some(answer) = self.cache.get(&query, now)
        {
            self.counters.cache_hits += 1;
            answer.write(&query, now, out);
            self.fit(client.transport, &query, out);
            return Outcome::Answer;
        }
        if answer_special(&query, out) || answer_reverse(&self.pool, &query, out) {
            return Outcome::Answer;
        }
        self.ask(client, &query, now, out)
    }

    /// Takes a message that came back for a query, from the server that sent it. `wall` is the time in seconds since
    /// 1970. What does not fit the query is counted and has no effect.
    pub fn handle_response(
        &mut self,
        query: u64,
        server: SocketAddr,
        payload: &[u8],
        now: Instant,
        wall: u64,
    ) {
        match self.upstream.handle_response(query, server, payload, now, &mut self.counters) {
            Progress::Waiting => {}
            Progress::Answered(pending, None) => self.deliver_forwarded(&pending, payload),
            Progress::Answered(pending, Some(message)) => {
                self.deliver_resolved(&pending, &message, now, wall)
            }
            Progress::Failed(pending) => self.deliver_failure(&pending),
        }
    }

    /// Hears that a server cannot be reached, refused the connection or closed it: the next one is asked at once.
    pub fn handle_upstream_failure(&mut self, query: u64, server: SocketAddr, now: Instant) {
        let progress = self.upstream.handle_failure(query, server, now, &mut self.counters);
        self.deliver_if_failed(progress);
    }

    /// Does what is due: asks other servers, and gives up on queries whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(progress) = self.upstream.handle_timeout(now, &mut self.counters) {
            self.deliver_if_failed(progress);
        }
    }

    /// A new policy: cached answers are dropped, queries in flight that it would send elsewhere fail, and mappings
    /// are handed out, and announced, anew by its rules.
    pub fn set_zones(&mut self, zones: Zones) {
        self.zones = zones;
        self.cache.clear();
        let zones = &self.zones;
        self.pool.regrant(|assignment| surface::current_grant(zones, assignment));
        for pending in self.upstream.take_outdated(|name| zones.target(name)) {
            surface::fail_outdated(&pending, &mut self.answers);
        }
        self.forget_unused_servers();
    }

    /// The servers of the physical links, in order of preference.
    pub fn set_system_servers(&mut self, servers: Vec<SocketAddr>) {
        self.system_servers = crate::zones::distinct(servers);
        self.upstream.replace_system_servers(&self.system_servers);
        self.forget_unused_servers();
    }

    /// Puts another table of virtual addresses in the place of this one, as when its prefixes collide with others.
    pub fn set_pool(&mut self, pool: VirtualPool) {
        self.pool = pool;
        self.mappings.clear();
        let zones = &self.zones;
        self.pool.regrant(|assignment| surface::current_grant(zones, assignment));
        self.cache.clear();
    }

    /// Works on a query whose answer is not known.
    fn ask(&mut self, client: Client, query: &Query<'_>, now: Instant, out: &mut Vec<u8>) -> Outcome {
        let asked = match self.zones.target(query.name()) {
            None => self.ask_system(client, query, now),
            Some(_) if !query.is_plain() => return refuse(query, rcode::BAD_VERSION, None, out),
            Some(_) if matches!(query.qtype, rtype::AXFR | rtype::IXFR) => {
                return refuse(query, rcode::REFUSED, Some(NO_TRANSFERS), out);
            }
            Some(target) => self.ask_tunnel(client, query, target, now),
        };
        match asked {
            Ok(()) => Outcome::Pending,
            Err(reason) => refuse(query, rcode::SERVER_FAILURE, Some(reason), out),
        }
    }

    fn ask_system(&mut self, client: Client, query: &Query<'_>, now: Instant) -> Result<(), ExtendedError> {
        self.counters.off_zone += 1;
        let target = Target { via: Via::System, servers: self.system_servers.clone(), grant: None };
        // Everything but the id: a query that differs in any bit is another question.
        let identity = forwarded::identity(forwarded::Way::System, client.transport, &query.bytes[2..]);
        self.ask_upstream(client, query, target, &identity, now, |_| query.bytes.to_vec())
    }

    fn ask_tunnel(
        &mut self,
        client: Client,
        query: &Query<'_>,
        target: Target,
        now: Instant,
    ) -> Result<(), ExtendedError> {
        self.counters.cache_misses += 1;
        let identity = forwarded::identity(forwarded::Way::Tunnel, client.transport, query.key());
        self.ask_upstream(client, query, target, &identity, now, |id| forwarded::tunnel_query(query, id))
    }

    fn ask_upstream(
        &mut self,
        client: Client,
        query: &Query<'_>,
        target: Target,
        identity: &[u8],
        now: Instant,
        payload: impl FnOnce(u16) -> Vec<u8>,
    ) -> Result<(), ExtendedError> {
        let waiter = || Waiter { client, head: query.head().into(), edns: query.edns };
        let overload = |Overload| TOO_MANY;
        let asked = match self.upstream.join(identity, waiter) {
            Ok(true) => {
                self.counters.joined += 1;
                return Ok(());
            }
            Ok(false) if target.servers.is_empty() => {
                self.counters.unanswered += 1;
                return Err(NO_SERVER);
            }
            Ok(false) => {
                let question = Question {
                    identity,
                    name: query.name(),
                    cache_key: query.key(),
                    qtype: query.qtype,
                    transport: client.transport,
                    question_end: query.question_end,
                };
                let payload = payload(self.upstream.random_id());
                self.upstream.ask(Pending::new(question, target, payload, waiter(), now), now)
            }
            Err(overload) => Err(overload),
        };
        self.counters.overload += u64::from(asked.is_err());
        asked.map_err(overload)
    }

    fn refuse_fault(&mut self, query: &[u8], fault: QueryFault, out: &mut Vec<u8>) -> Outcome {
        self.counters.malformed_queries += 1;
        match fault {
            QueryFault::Short => Outcome::Drop(DropReason::Short),
            QueryFault::Response => Outcome::Drop(DropReason::Response),
            QueryFault::Refuse(code) => {
                error_answer(&query[..HEADER], None, code, None, out);
                Outcome::Answer
            }
        }
    }

    /// Cuts a cached answer that the client's datagram cannot hold.
    fn fit(&mut self, transport: Transport, query: &Query<'_>, out: &mut Vec<u8>) {
        if transport == Transport::Udp && out.len() > query.udp_limit() {
            self.counters.truncated += 1;
            let flags = u16::from_be_bytes([out[2], out[3]]);
            truncated_answer(query.head(), query.edns, flags, out);
        }
    }

    fn forget_unused_servers(&mut self) {
        let system = self.system_servers.iter().map(|server| (Via::System, *server));
        let keep: BTreeSet<_> = self.zones.servers().chain(system).collect();
        self.upstream.retain_servers(&keep);
    }
}

fn refuse(query: &Query<'_>, code: u16, reason: Option<ExtendedError>, out: &mut Vec<u8>) -> Outcome {
    error_answer(query.head(), query.edns, code, reason, out);
    Outcome::Answer
}
