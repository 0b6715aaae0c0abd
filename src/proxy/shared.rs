//! What all connections of the proxies share, and what each one is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::admission::{Admission, Permit};
use super::outbound::Outbound;
use super::owner::Owner;
use super::refusal::Refused;
use crate::relay::Limits;

/// How long a flow may rest. A session of a person may be left over night, so a day; what has been half closed for an
/// hour without a word is most likely forgotten.
pub(super) const FLOW_LIMITS: Limits =
    Limits { idle: Duration::from_secs(24 * 60 * 60), half_closed: Duration::from_secs(60 * 60) };

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Opens what they ask for.
    pub(super) outbound: Outbound,
    /// Counts them.
    pub(super) admission: Arc<Admission>,
    /// Counts what became of them.
    pub(super) counters: Counters,
}

/// What became of connections since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    busy: AtomicU64,
}

/// The same as plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Connections that came.
    pub accepted: u64,
    /// Requests that a rule refused.
    pub refused: u64,
    /// Requests that failed for another reason.
    pub failed: u64,
    /// Connections of users who had too many.
    pub busy: u64,
}

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Client {
    /// What it shares with the others.
    pub(super) shared: Arc<Shared>,
    /// Whose it is; nobody's is never allowed.
    pub(super) owner: Owner,
    /// Counted as long as it is kept.
    pub(super) permit: Permit,
}

impl Client {
    /// Whether the user may use the proxies, as the settings are now.
    pub(super) fn is_allowed(&self) -> bool {
        let settings = self.shared.outbound.settings();
        self.owner.caller().is_some_and(|caller| settings.access.allows(caller))
    }

    /// Why the user may not use the proxies.
    pub(super) fn refusal(&self) -> Refused {
        match self.owner {
            Owner::Unknown => Refused::OwnerUnknown,
            Owner::User(_) | Owner::Nobody => Refused::User,
        }
    }

    /// Waits until the user may no longer use the proxies.
    pub(super) async fn revoked(&self) {
        let mut settings = self.shared.outbound.settings.clone();
        while self.is_allowed() {
            if settings.changed().await.is_err() {
                return; // the proxies have ended
            }
        }
    }

    /// Counts a request that was not granted.
    pub(super) fn count(&self, refused: &Refused) {
        let counters = &self.shared.counters;
        let counter = if refused.is_policy() { &counters.refused } else { &counters.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// A connection came.
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection came, and its user has too many.
    pub(super) fn turn_away(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            failed: read(&self.failed),
            busy: read(&self.busy),
        }
    }
}
