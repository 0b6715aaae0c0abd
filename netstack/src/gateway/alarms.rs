//! When to look at what: deadlines by number in an ordered set, so that nothing is scanned.

use std::collections::BTreeSet;
use std::time::Instant;

/// The alarms. Each number has at most one. Moving a deadline away is left to when it is due, so that a busy flow does
/// not touch the set with every packet.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    due: BTreeSet<(Instant, u32)>,
    by_number: Vec<Option<Instant>>,
}

impl Alarms {
    /// Rings no later than `at`.
    pub(super) fn set(&mut self, number: u32, at: Instant) {
        let index = number as usize;
        if self.by_number.len() <= index {
            self.by_number.resize(index + 1, None);
        }
        if let Some(earlier) = self.by_number[index] {
            if earlier <= at {
                return;
            }
            self.due.remove(&(earlier, number));
        }
        self.by_number[index] = Some(at);
        self.due.insert((at, number));
    }

    /// Never rings, unless it is set again.
    pub(super) fn clear(&mut self, number: u32) {
        if let Some(at) = self.by_number.get_mut(number as usize).and_then(Option::take) {
            self.due.remove(&(at, number));
        }
    }

    /// When the next one rings.
    pub(super) fn poll(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next one that is due; it is not set any more.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let (_, number) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.clear(number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn they_ring_in_order_and_the_earlier_deadline_of_a_number_stays() {
        let now = crate::packets_for_tests::start();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut alarms = Alarms::default();
        for (number, seconds) in [(7, 5), (1, 3), (7, 9), (2, 4), (1, 2)] {
            alarms.set(number, at(seconds));
        }
        alarms.clear(2);
        assert_eq!(alarms.poll(), Some(at(2)));
        assert_eq!((alarms.pop(at(1)), alarms.pop(at(2)), alarms.pop(at(4))), (None, Some(1), None));
        assert_eq!((alarms.pop(at(9)), alarms.pop(at(9)), alarms.poll()), (Some(7), None, None));
    }
}
