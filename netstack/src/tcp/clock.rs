//! The caller's time, and smoltcp's, which counts microseconds from a base.
use std::time::{Duration, Instant};

/// The latest time that the stack was told. It never goes back.
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    now: Instant,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self { base: now, now }
    }

    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Now, as smoltcp counts it, for a flow whose clock has jumped ahead by `jumped`.
    pub(super) fn stack_now(&self, jumped: Duration) -> smoltcp::time::Instant {
        let micros = (self.now.duration_since(self.base) + jumped).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// A moment of smoltcp's as the caller counts it, for such a flow; moments before the base become the base.
    pub(super) fn caller_time(&self, at: smoltcp::time::Instant, jumped: Duration) -> Instant {
        let micros = u64::try_from(at.total_micros()).unwrap_or(0);
        self.base + Duration::from_micros(micros).saturating_sub(jumped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the base")]
    fn time_never_goes_back_and_survives_the_round_trip() {
        let base = Instant::now();
        let mut clock = Clock::new(base);

        clock.advance(base + Duration::from_millis(7));
        clock.advance(base + Duration::from_millis(3));

        assert_eq!(clock.now(), base + Duration::from_millis(7));
        for jumped in [Duration::ZERO, Duration::from_secs(61)] {
            assert_eq!(clock.caller_time(clock.stack_now(jumped), jumped), clock.now());
            assert_eq!(clock.caller_time(smoltcp::time::Instant::from_millis(-5), jumped), base);
        }
    }
}
