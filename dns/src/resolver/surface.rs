//! What comes out of the resolver, and what can be seen of it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{Answer, Mapping, Resolver, deliver};
use crate::counters::Counters;
use crate::name::Name;
use crate::upstream::{Pending, ServerHealth, Transmit, Via};
use crate::virtual_pool::{Assignment, VirtualPool};
use crate::wire::ExtendedError;
use crate::zones::Zones;

/// RFC 8914 §4.1, "Other".
const POLICY_CHANGED: ExtendedError = ExtendedError { code: 0, text: "the policy has changed: ask again" };

impl Resolver {
    /// The next mapping that the packets' path does not know. Take all of them out before any answer.
    pub fn poll_mapping(&mut self) -> Option<Mapping> {
        self.mappings.pop_front()
    }

    /// The next answer.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// The next query to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.upstream.poll_transmit()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` while nothing is in flight.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.upstream.poll_timeout()
    }

    /// Whether a response to this query is still of use; if not, its socket or connection can be closed.
    pub fn is_pending(&self, query: u64) -> bool {
        self.upstream.is_pending(query)
    }

    /// The table of virtual addresses: to be saved whenever its generation has changed.
    pub fn pool(&self) -> &VirtualPool {
        &self.pool
    }

    /// The mappings that the policy of now stands for, in the order of their virtual addresses. Those of names that
    /// no rule grants any more are missing. Give them to the packets' path after a start and after each change of
    /// policy: programs and their caches may still hold these addresses.
    pub fn mappings(&self) -> impl Iterator<Item = Mapping> {
        self.pool.iter().filter_map(|(virtual_address, assignment)| {
            let (real, gateway, name) = (assignment.real, assignment.gateway, assignment.name.clone());
            let reachable = self.zones.reaches(gateway, real);
            let grant = assignment.grant.filter(|_| reachable)?;
            Some(Mapping { virtual_address, real, gateway, grant, name })
        })
    }

    /// Notes that a virtual address is in use by a flow. `wall` is the time in seconds since 1970.
    pub fn touch(&mut self, virtual_address: IpAddr, wall: u64) {
        self.pool.touch(virtual_address, wall);
    }

    /// Takes back the virtual addresses that were unused for 7 days, and gives them. Once a day is often enough.
    pub fn expire_mappings(&mut self, wall: u64) -> Vec<IpAddr> {
        let expired = self.pool.expire(wall);
        if !expired.is_empty() {
            self.cache.clear();
        }
        expired
    }

    /// Takes one virtual address back, whatever its age. Cached answers are dropped, since they may name it.
    pub fn remove_mapping(&mut self, virtual_address: IpAddr) -> Option<Assignment> {
        self.cache.clear();
        self.pool.remove(virtual_address)
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The health of the servers that were asked, in a fixed order.
    pub fn servers(&self) -> impl Iterator<Item = (Via, SocketAddr, ServerHealth)> {
        self.upstream.health().iter()
    }

    /// How many answers are kept.
    pub fn cached_answers(&self) -> usize {
        self.cache.len()
    }

    /// How many queries are in flight.
    pub fn queries_in_flight(&self) -> usize {
        self.upstream.len()
    }
}

/// What grants an assignment's name now, if its gateway is still the same.
pub(super) fn current_grant(zones: &Zones, assignment: &Assignment) -> Option<u32> {
    let name: Name = assignment.name.parse().ok()?;
    let granted = zones.granted(name.as_wire())?;
    (granted.gateway == assignment.gateway).then_some(granted.grant)
}

/// Answers the clients of a query that the new policy would send elsewhere.
pub(super) fn fail_outdated(pending: &Pending, answers: &mut VecDeque<Answer>) {
    answers.extend(pending.waiters.iter().map(|waiter| deliver::server_failure(waiter, POLICY_CHANGED)));
}
