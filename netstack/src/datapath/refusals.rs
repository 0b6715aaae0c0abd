//! What was refused to the device, kept for the person who asks why.

use std::net::IpAddr;
use std::time::Instant;

use crate::counters::RefusalReason;

/// Refusals outside any grant are kept under this one.
pub(super) const NO_GRANT: u32 = u32::MAX;

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
}

impl Refusals {
    pub(super) fn note(&mut self, refusal: Refusal) {
        let count = self.by_grant.get(&refusal.grant).map_or(0, |earlier| earlier.count) + 1;
        self.by_grant.insert(refusal.grant, Refusal { count, ..refusal });
        *self.by_reason.entry(refusal.reason).or_default() += 1;
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
