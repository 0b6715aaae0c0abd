//! When the system's DNS is set again after another program changed it, so that it never comes to a war.

use std::time::{Duration, Instant};

/// It is set, or looked at, at most this often: six times a minute, whatever others do.
const INTERVAL: Duration = Duration::from_secs(10);
/// A change that comes sooner than this after our own is an answer to it; without one for as long, there is peace.
const QUIET: Duration = Duration::from_secs(20);
/// Changes that are answered in a row, which takes a minute; then we yield.
const MOST_IN_A_ROW: u32 = 6;
/// How long we yield at first where there is no peace,
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// then twice as long each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Decides when to set it again. Told the time with everything that happens.
#[derive(Debug)]
pub(super) struct Pacing {
    /// When it was set or looked at last.
    set_at: Option<Instant>,
    /// When it is to be set again.
    renew_at: Option<Instant>,
    /// Changes by others in a row, each soon after our own.
    in_a_row: u32,
    /// How long we yield next.
    pause: Duration,
    yielded_until: Option<Instant>,
    excused_at: Option<Instant>,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self {
            set_at: None,
            renew_at: None,
            in_a_row: 0,
            pause: FIRST_PAUSE,
            yielded_until: None,
            excused_at: None,
        }
    }

    /// It was set by us.
    pub(super) fn set(&mut self, now: Instant) {
        (self.set_at, self.renew_at, self.yielded_until) = (Some(now), None, None);
    }

    /// It was looked at, and is as we have set it.
    pub(super) fn found_ours(&mut self, now: Instant) {
        self.in_a_row = self.in_a_row.saturating_sub(1);
        self.set(now);
    }

    /// The device's network changed: those who look after it write once more, which is no war. At most as often as it is
    /// set in one; answers whether it was granted.
    pub(super) fn excuse(&mut self, now: Instant) -> bool {
        let is_too_soon = self.excused_at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL);
        if self.is_yielded() || is_too_soon {
            return false;
        }
        self.excused_at = Some(now);
        self.forget();
        true
    }

    /// The next change is answered at once.
    pub(super) fn forget(&mut self) {
        (self.set_at, self.renew_at, self.in_a_row) = (None, None, 0);
    }

    /// Another program changed it, or may have; while we yield: it was not quiet.
    pub(super) fn disturbed(&mut self, now: Instant) {
        if let Some(until) = self.yielded_until {
            self.renew_at = Some(until.min(now + QUIET));
            return;
        }
        if self.renew_at.is_some() {
            return;
        }
        let is_answer = self.set_at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if !is_answer {
            (self.in_a_row, self.pause) = (0, FIRST_PAUSE);
        }
        self.in_a_row += 1;
        if self.in_a_row > MOST_IN_A_ROW {
            return self.give_way(now);
        }
        self.renew_at = Some(self.set_at.map_or(now, |at| now.max(at + INTERVAL)));
    }

    /// Leaves it to the other program for a while.
    pub(super) fn give_way(&mut self, now: Instant) {
        let until = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.yielded_until = Some(until);
        self.renew_at = Some(until.min(now + QUIET));
    }

    /// When it is to be set again, or to be looked whether it was quiet.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Whether it is left to another program.
    pub(super) fn is_yielded(&self) -> bool {
        self.yielded_until.is_some()
    }

    /// Whether only quiet would end the yielding now.
    pub(super) fn needs_quiet(&self, now: Instant) -> bool {
        self.yielded_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a program that changes it every `period` for `span`; the answer is when we set it, in seconds.
    fn war(pacing: &mut Pacing, start: Instant, period: Duration, span: Duration) -> Vec<u64> {
        let mut set = Vec::new();
        let mut has_changed = false;
        let mut at = Duration::ZERO;
        let mut next_change = period;
        while at < span {
            at += Duration::from_millis(100);
            let now = start + at;
            if at >= next_change {
                next_change += period;
                has_changed = true;
                if pacing.renew_at().is_none() {
                    pacing.disturbed(now);
                }
            }
            let Some(renew_at) = pacing.renew_at().filter(|renew_at| *renew_at <= now) else { continue };
            if pacing.needs_quiet(renew_at) && has_changed {
                pacing.disturbed(now);
            } else if has_changed || pacing.is_yielded() {
                pacing.set(now);
                set.push(at.as_secs());
            }
            has_changed = false;
        }
        set
    }

    #[test]
    fn a_change_that_comes_with_another_network_is_answered_at_once() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pacing = Pacing::new();
        pacing.set(start);
        pacing.disturbed(start + second);
        assert!(pacing.renew_at().is_some_and(|at| at > start + second));
        assert!(pacing.excuse(start + second));
        pacing.disturbed(start + second * 2);
        assert_eq!(pacing.renew_at(), Some(start + second * 2));
        assert!(!pacing.excuse(start + second * 3), "a network that changes all the time is no excuse");
    }

    #[test]
    fn a_change_in_peace_is_answered_at_once() {
        let start = Instant::now();
        let mut pacing = Pacing::new();
        pacing.set(start);
        for minutes in 1..100 {
            let now = start + Duration::from_secs(60 * minutes);
            pacing.disturbed(now);
            assert_eq!(pacing.renew_at(), Some(now));
            pacing.set(now);
        }
        assert!(!pacing.is_yielded());
    }

    #[test]
    fn a_rewriter_is_answered_six_times_a_minute_and_then_left_alone_for_longer_and_longer() {
        let start = Instant::now();
        let mut pacing = Pacing::new();
        pacing.set(start);
        let set = war(&mut pacing, start, Duration::from_secs(1), Duration::from_secs(3600));
        assert_eq!(set[..6], [10, 20, 30, 40, 50, 60]);
        for window in set.windows(7) {
            assert!(window[6] - window[0] >= 60, "{window:?}");
        }
        let gaps: Vec<u64> = set[5..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] >= 60 && gaps.is_sorted() && gaps.last() >= Some(&600), "{gaps:?}");
        assert!(pacing.is_yielded());
    }

    #[test]
    fn we_are_back_within_a_minute_after_the_war() {
        let start = Instant::now();
        let mut pacing = Pacing::new();
        pacing.set(start);
        let end = Duration::from_secs(1800);
        war(&mut pacing, start, Duration::from_secs(1), end);
        assert!(pacing.is_yielded());
        let set = war(&mut pacing, start + end, Duration::from_secs(86_400), Duration::from_secs(300));
        assert!(set.len() == 1 && set[0] <= 60, "{set:?}");
        assert!(!pacing.is_yielded());
    }

    #[test]
    fn changes_of_other_things_are_no_war() {
        let mut now = Instant::now();
        let mut pacing = Pacing::new();
        pacing.set(now);
        for _ in 0..1000 {
            now += INTERVAL;
            pacing.disturbed(now);
            assert_eq!(pacing.renew_at(), Some(now));
            pacing.found_ours(now);
        }
        assert!(!pacing.is_yielded());
    }
}
