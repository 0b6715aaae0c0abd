//! How many of a kind in a second.

use std::time::{Duration, Instant};

/// The limits count by this.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts what was done in the present second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    window: Option<Instant>,
    count: u32,
}

impl Pace {
    /// Whether one more may be done, of `most` a second.
    pub(super) fn take(&mut self, most: u32, now: Instant) -> bool {
        if self.window.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            *self = Self { window: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_no_more() {
        let now = crate::packets_for_tests::start();
        let mut pace = Pace::default();
        let taken = (0..10).filter(|_| pace.take(3, now)).count();
        assert_eq!(taken, 3);
        assert!(!pace.take(3, now + WINDOW / 2) && pace.take(3, now + WINDOW));
    }
}
