//! How fast one flow may send: smoltcp alone would send all that the window allows at once.
use std::time::Instant;

use super::limits::{PACE_INTERVAL, TURN_PACKETS};

/// The packets that a flow sent since the start of its present interval.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    sent: u32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, sent: 0 }
    }

    /// Packets that may go out in this turn, of `most` in an interval; 0 until [`Self::resumes_at`].
    pub(super) fn allowance(&mut self, most: u32, now: Instant) -> u32 {
        if now >= self.resumes_at() {
            *self = Self::new(now);
        }
        most.saturating_sub(self.sent).min(TURN_PACKETS)
    }

    pub(super) fn spend(&mut self, packets: u32) {
        self.sent = self.sent.saturating_add(packets);
    }

    pub(super) fn is_spent(&self, most: u32) -> bool {
        self.sent >= most
    }

    pub(super) fn resumes_at(&self) -> Instant {
        self.since + PACE_INTERVAL
    }
}
