//! When a name is looked up: at once when somebody wants it, but not again and again.

use std::time::{Duration, Instant};

/// Between look-ups of a name at least this long passes: a gateway that does not answer says so every few seconds.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);
/// And at most this long, after failures.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// The look-ups of one name.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    is_wanted: bool,
    is_under_way: bool,
    /// Not before then.
    earliest: Option<Instant>,
    failures: u32,
}

impl Schedule {
    /// Somebody wants to know.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// The network is another: what failed in the former may work now, and what is under way may hang.
    pub(super) fn begin_anew(&mut self) {
        let has_failed = self.failures > 0;
        if has_failed || self.is_under_way {
            self.earliest = None;
        }
        (self.is_wanted, self.is_under_way, self.failures) = (true, false, 0);
    }

    /// When the next look-up is due; `None`: nobody wants one, or it is under way.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (self.is_wanted && !self.is_under_way).then(|| self.earliest.unwrap_or(now).max(now))
    }

    /// It begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.is_under_way = true;
        self.is_wanted = false;
        self.earliest = Some(now + LEAST_INTERVAL);
    }

    /// It gave addresses.
    pub(super) fn succeed(&mut self) {
        (self.is_under_way, self.failures) = (false, 0);
    }

    /// It did not; `is_urgent`: no address is known at all, so that it is tried again by itself.
    pub(super) fn fail(&mut self, is_urgent: bool, now: Instant) {
        self.is_under_way = false;
        let wait = LEAST_INTERVAL * 2u32.saturating_pow(self.failures.min(8));
        self.earliest = Some(now + wait.min(LONGEST_INTERVAL));
        self.failures += 1;
        self.is_wanted |= is_urgent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_at_once_and_then_every_ten_seconds_at_most() {
        let now = crate::connector::endpoints::tests::start();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(now), None);
        schedule.want();
        assert_eq!(schedule.due(now), Some(now));
        schedule.begin(now);
        schedule.want();
        assert_eq!(schedule.due(now), None, "under way");
        schedule.succeed();
        assert_eq!(schedule.due(now), Some(now + LEAST_INTERVAL));
    }

    #[test]
    fn failures_make_it_rarer_and_only_what_is_not_known_comes_by_itself() {
        let now = crate::connector::endpoints::tests::start();
        let mut schedule = Schedule::default();
        let mut waits = Vec::new();
        for _ in 0..5 {
            schedule.want();
            schedule.begin(now);
            schedule.fail(true, now);
            waits.push((schedule.due(now).unwrap() - now).as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        schedule.begin(now);
        schedule.fail(false, now);
        assert_eq!(schedule.due(now), None);
    }

    #[test]
    fn another_network_makes_up_for_failures_but_not_for_haste() {
        let now = crate::connector::endpoints::tests::start();
        let mut schedule = Schedule::default();
        schedule.begin(now);
        schedule.fail(true, now);
        schedule.begin_anew();
        assert_eq!(schedule.due(now), Some(now));
        schedule.begin(now);
        schedule.begin_anew();
        assert_eq!(schedule.due(now), Some(now), "what was under way may hang");
        schedule.begin(now);
        schedule.succeed();
        schedule.begin_anew();
        assert_eq!(schedule.due(now), Some(now + LEAST_INTERVAL));
    }
}
