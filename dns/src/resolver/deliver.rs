//! From a server's response to the answers of all clients that wait for it.

use std::time::Instant;

use super::{Answer, Resolver};
use crate::cache::lifetime;
use crate::rewrite::{Assigner, RewriteError, Scope, rewrite};
use crate::upstream::{Pending, Progress, Transport, Via, Waiter};
use crate::virtual_pool::PoolError;
use crate::wire::{
    ExtendedError, HEADER, Message, be16, error_answer, flag, rcode, truncated_answer, udp_limit,
};

/// No server gave a usable response in time (RFC 8914 §4.24, "Network Error").
const NO_ANSWER: ExtendedError = ExtendedError { code: 23, text: "no server of the zone answered" };
/// A server's answer cannot be read (RFC 8914 §4.25, "Invalid Data").
const INVALID_ANSWER: ExtendedError = ExtendedError { code: 24, text: "the server's answer is malformed" };
/// RFC 8914 §4.1, "Other".
const POOL_EXHAUSTED: ExtendedError = ExtendedError { code: 0, text: "no virtual address is free" };
/// RFC 8914 §4.1, "Other".
const QUOTA_USED_UP: ExtendedError =
    ExtendedError { code: 0, text: "the application has used up its virtual addresses" };

impl Resolver {
    /// Passes a response of a physical link's server on as it is.
    pub(super) fn deliver_forwarded(&mut self, pending: &Pending, response: &[u8]) {
        for waiter in &pending.waiters {
            let mut payload = response.to_vec();
            payload[..2].copy_from_slice(&waiter.head[..2]);
            self.answers.push_back(Answer { client: waiter.client, payload });
        }
    }

    /// Maps the addresses of a response, keeps it as long as it is true, and passes it on.
    pub(super) fn deliver_resolved(
        &mut self,
        pending: &Pending,
        message: &Message<'_>,
        now: Instant,
        wall: u64,
    ) {
        let removals = self.pool.removals();
        let rewritten = match self.rewrite(pending, message, wall) {
            Ok(rewritten) => rewritten,
            Err(error) => return self.deliver_error(pending, error),
        };
        let bytes = rewritten.as_deref().unwrap_or(message.bytes);
        if self.pool.removals() != removals {
            self.cache.clear();
        }
        if let Some(lifetime) = lifetime(message, pending.qtype) {
            self.cache.insert(&pending.cache_key, bytes, lifetime, now);
        }
        self.deliver(pending, bytes);
    }

    /// Passes on the last response of the servers that failed, or says that there was none.
    pub(super) fn deliver_failure(&mut self, pending: &Pending) {
        match (&pending.last_failure, pending.target.via) {
            (Some(response), Via::System) => self.deliver_forwarded(pending, response),
            (Some(response), Via::Gateway(_)) => self.deliver(pending, response),
            (None, Via::System | Via::Gateway(_)) => {
                self.counters.unanswered += 1;
                self.deliver_own(pending, NO_ANSWER);
            }
        }
    }

    pub(super) fn deliver_if_failed(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Failed(pending) => self.deliver_failure(&pending),
            Progress::Waiting | Progress::Answered(_, _) => {}
        }
    }

    fn rewrite(
        &mut self,
        pending: &Pending,
        message: &Message<'_>,
        wall: u64,
    ) -> Result<Option<Vec<u8>>, RewriteError> {
        let Via::Gateway(gateway) = pending.target.via else { return Ok(None) };
        let scope = Scope { zones: &self.zones, gateway, name: &pending.name, grant: pending.target.grant };
        let (pool, mappings) = (&mut self.pool, &mut self.mappings);
        let mut assigner = Assigner { pool, mappings, wall, withheld: 0 };
        let rewritten = rewrite(message, &scope, &mut assigner);
        self.counters.withheld_addresses += assigner.withheld;
        rewritten
    }

    fn deliver(&mut self, pending: &Pending, response: &[u8]) {
        for waiter in &pending.waiters {
            let payload = answer_for(waiter, response);
            let limit = match waiter.client.transport {
                Transport::Udp => udp_limit(waiter.edns),
                Transport::Tcp => usize::MAX,
            };
            self.answers.push_back(Answer { client: waiter.client, payload });
            if let Some(answer) = self.answers.back_mut().filter(|answer| answer.payload.len() > limit) {
                self.counters.truncated += 1;
                let flags = be16(response, 2).unwrap_or_default();
                truncated_answer(&waiter.head, waiter.edns, flags, &mut answer.payload);
            }
        }
    }

    fn deliver_error(&mut self, pending: &Pending, error: RewriteError) {
        let reason = match error {
            RewriteError::Malformed => {
                self.counters.malformed_responses += 1;
                INVALID_ANSWER
            }
            RewriteError::Pool(error) => {
                self.counters.pool_exhausted += 1;
                match error {
                    PoolError::Exhausted => POOL_EXHAUSTED,
                    PoolError::QuotaUsedUp => QUOTA_USED_UP,
                }
            }
        };
        self.deliver_own(pending, reason);
    }

    fn deliver_own(&mut self, pending: &Pending, reason: ExtendedError) {
        self.answers.extend(pending.waiters.iter().map(|waiter| server_failure(waiter, reason)));
    }
}

/// A SERVFAIL of our own, with its reason.
pub(super) fn server_failure(waiter: &Waiter, reason: ExtendedError) -> Answer {
    let mut payload = Vec::new();
    error_answer(&waiter.head, waiter.edns, rcode::SERVER_FAILURE, Some(reason), &mut payload);
    Answer { client: waiter.client, payload }
}

/// A response with the id and the spelling of the client's query. One without a question gets the client's.
fn answer_for(waiter: &Waiter, response: &[u8]) -> Vec<u8> {
    if be16(response, 4) == Some(0) {
        let code = be16(response, 2).unwrap_or_default() & flag::RCODE;
        let mut payload = Vec::new();
        error_answer(&waiter.head, waiter.edns, code, None, &mut payload);
        return payload;
    }
    let mut payload = response.to_vec();
    payload[..2].copy_from_slice(&waiter.head[..2]);
    payload[HEADER..waiter.head.len()].copy_from_slice(&waiter.head[HEADER..]);
    payload
}
