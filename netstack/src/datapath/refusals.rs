//! What was refused to the device, kept for the person who asks why.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::counters::RefusalReason;

/// Refusals outside any grant are kept under this one.
pub(super) const NO_GRANT: u32 = u32::MAX;

/// Refusals that may wait to be fetched one by one.
const MOST_WAITING: usize = 256;
/// The same refusal again within this time is not told again: programs try several times at once.
const SAME_WITHIN: Duration = Duration::from_secs(1);

/// The last refusal under a grant, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Under which grant; `u32::MAX` where no application stands behind the address.
    pub grant: u32,
    /// Why.
    pub reason: RefusalReason,
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// Where to, as the device addressed it.
    pub destination: IpAddr,
    /// Which port; 0 for an echo.
    pub port: u16,
    /// When.
    pub at: Instant,
    /// How many under this grant so far.
    pub count: u64,
}

/// One entry a grant: bounded by the configuration.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_grant: std::collections::BTreeMap<u32, Refusal>,
    by_reason: std::collections::BTreeMap<RefusalReason, u64>,
    waiting: VecDeque<Refusal>,
    left_out: u64,
}

impl Refusals {
    pub(super) fn note(&mut self, refusal: Refusal) {
        let earlier = self.by_grant.get(&refusal.grant);
        let is_new = earlier.is_none_or(|earlier| !is_same(earlier, &refusal));
        let count = earlier.map_or(0, |earlier| earlier.count) + 1;
        self.by_grant.insert(refusal.grant, Refusal { count, ..refusal });
        *self.by_reason.entry(refusal.reason).or_default() += 1;
        // the end of a flow is told as such
        if refusal.reason == RefusalReason::Revoked {
            return;
        }
        match is_new && self.waiting.len() < MOST_WAITING {
            true => self.waiting.push_back(refusal),
            false => self.left_out += 1,
        }
    }

    /// The next refusal that was not fetched yet, and how many were left out since the last one.
    pub(super) fn poll(&mut self) -> Option<(Refusal, u64)> {
        let refusal = self.waiting.pop_front()?;
        Some((refusal, std::mem::take(&mut self.left_out)))
    }

    pub(super) fn by_reason(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        self.by_reason.iter().map(|(reason, count)| (*reason, *count))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.by_grant.values()
    }

    pub(super) fn clear(&mut self) {
        self.by_grant.clear();
    }
}

fn is_same(earlier: &Refusal, now: &Refusal) -> bool {
    let what = |refusal: &Refusal| (refusal.reason, refusal.protocol, refusal.destination, refusal.port);
    what(earlier) == what(now) && now.at.saturating_duration_since(earlier.at) < SAME_WITHIN
}
