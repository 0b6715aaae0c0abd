//! How long an acknowledgement takes, and how long to wait for one (RFC 6298).
use std::time::{Duration, Instant};

/// Before anything was measured (RFC 6298 §2.1).
const FIRST: Duration = Duration::from_secs(1);
/// What is waited beyond the time that is usual, at least. Not the second that RFC 6298 §2.4 asks for: as Linux and the
/// BSDs do, since clocks are finer now. More than the longest usual delay of an acknowledgement (40 ms).
const LEAST_MARGIN: Duration = Duration::from_millis(200);
/// RFC 6298 §2.5.
const LONGEST: Duration = Duration::from_secs(60);
/// Doublings that lead from the shortest to the longest time.
const MOST_DOUBLINGS: u32 = 9;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    doublings: u32,
    /// What is being measured: it ends when the position is acknowledged.
    sample: Option<(u64, Instant)>,
}

impl RoundTrip {
    /// New octets up to `end` went out.
    pub(super) fn sent(&mut self, end: u64, now: Instant) {
        self.sample.get_or_insert((end, now));
    }

    /// Something was sent again: nobody can tell which of the two is acknowledged (Karn's algorithm).
    pub(super) fn repeated(&mut self) {
        self.sample = None;
    }

    /// All before `position` is acknowledged, something of it for the first time.
    pub(super) fn acknowledged(&mut self, position: u64, now: Instant) {
        self.doublings = 0;
        if let Some((end, since)) = self.sample
            && position >= end
        {
            self.sample = None;
            self.measured(now.saturating_duration_since(since));
        }
    }

    /// The time-out has come once more.
    pub(super) fn back_off(&mut self) {
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
    }

    /// How long to wait for an acknowledgement.
    pub(super) fn timeout(&self) -> Duration {
        let usual = self.smoothed.map_or(FIRST, |smoothed| smoothed + (4 * self.variation).max(LEAST_MARGIN));
        (usual * (1 << self.doublings)).min(LONGEST)
    }

    /// How long an acknowledgement takes; zero before anything was measured.
    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or_default()
    }

    fn measured(&mut self, time: Duration) {
        let Some(smoothed) = self.smoothed else {
            (self.smoothed, self.variation) = (Some(time), time / 2);
            return;
        };
        self.variation = (3 * self.variation + smoothed.abs_diff(time)) / 4;
        self.smoothed = Some((7 * smoothed + time) / 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::tests::world;

    #[test]
    fn the_time_out_follows_what_was_measured_and_doubles() {
        let (mut trip, start) = (RoundTrip::default(), world::start());
        assert_eq!(trip.timeout(), FIRST);
        trip.sent(10, start);
        trip.sent(20, start + Duration::from_millis(70));
        trip.acknowledged(9, start + Duration::from_millis(80));
        trip.acknowledged(15, start + Duration::from_millis(100));
        assert_eq!((trip.smoothed().as_millis(), trip.timeout().as_millis()), (100, 300));
        trip.back_off();
        trip.back_off();
        assert_eq!(trip.timeout().as_millis(), 1_200);
        (0..40).for_each(|_| trip.back_off());
        assert_eq!(trip.timeout(), LONGEST);
        trip.sent(30, start);
        trip.repeated();
        trip.acknowledged(30, start + Duration::from_secs(9));
        assert_eq!(trip.timeout().as_millis(), 300, "what was repeated is not measured");
    }
}
