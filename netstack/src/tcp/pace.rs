//! How fast one flow may send: smoltcp alone would send all that the window allows at once.
use std::time::Instant;

use super::limits::{PACE_INTERVAL, PACE_PACKETS, TURN_PACKETS};

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

    /// Packets that may go out in this turn; 0 until [`Self::resumes_at`].
    pub(super) fn allowance(&mut self, now: Instant) -> u32 {
        if now >= self.resumes_at() {
            *self = Self::new(now);
        }
        (PACE_PACKETS - self.sent).min(TURN_PACKETS)
    }

    pub(super) fn spend(&mut self, packets: u32) {
        self.sent = (self.sent + packets).min(PACE_PACKETS);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.sent >= PACE_PACKETS
    }

    pub(super) fn resumes_at(&self) -> Instant {
        self.since + PACE_INTERVAL
    }
}
