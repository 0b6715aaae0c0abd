//! How servers have done, so that the last good one is asked first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::Via;

/// What is known about one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerHealth {
    /// Responses that could be passed on.
    pub answered: u64,
    /// Attempts without one.
    pub failed: u64,
    /// Attempts without one since the last response.
    pub failed_in_a_row: u32,
    /// When it last responded.
    pub last_answer: Option<Instant>,
}

/// The health of every server that was asked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    servers: BTreeMap<(Via, SocketAddr), ServerHealth>,
}

impl Health {
    pub(super) fn answered(&mut self, server: (Via, SocketAddr), now: Instant) {
        let health = self.servers.entry(server).or_default();
        health.answered += 1;
        health.failed_in_a_row = 0;
        health.last_answer = Some(now);
    }

    pub(super) fn failed(&mut self, server: (Via, SocketAddr)) {
        let health = self.servers.entry(server).or_default();
        health.failed += 1;
        health.failed_in_a_row = health.failed_in_a_row.saturating_add(1);
    }

    pub(super) fn failed_in_a_row(&self, server: (Via, SocketAddr)) -> u32 {
        self.servers.get(&server).map_or(0, |health| health.failed_in_a_row)
    }

    pub(super) fn retain(&mut self, keep: &BTreeSet<(Via, SocketAddr)>) {
        self.servers.retain(|server, _| keep.contains(server));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Via, SocketAddr, ServerHealth)> {
        self.servers.iter().map(|((via, server), health)| (*via, *server, *health))
    }
}
