//! The octets that the peer has beyond what it acknowledges (SACK, RFC 2018).

/// Ranges that are remembered: a flight of 1 MiB of which every other segment is lost, which is what a queue does that has
/// just become full. A block that finds no room is left out, and what it says is repeated for nothing.
const MOST: usize = 512;

/// Ranges in order, none touching another.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    ranges: Vec<(u64, u64)>,
    octets: usize,
}

impl Ranges {
    /// Adds a range that is not empty.
    pub(super) fn add(&mut self, begin: u64, end: u64) {
        let first = self.ranges.partition_point(|(_, right)| *right < begin);
        let last = self.ranges.partition_point(|(left, _)| *left <= end);
        if first == last {
            if self.ranges.len() < MOST {
                self.ranges.insert(first, (begin, end));
                self.octets += length(&(begin, end));
            }
            return;
        }
        let joined = (self.ranges[first].0.min(begin), self.ranges[last - 1].1.max(end));
        self.octets -= self.ranges.drain(first + 1..last).map(|range| length(&range)).sum::<usize>();
        self.octets -= length(&self.ranges[first]);
        self.octets += length(&joined);
        self.ranges[first] = joined;
    }

    /// Forgets what lies before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        if self.ranges.first().is_none_or(|(begin, _)| *begin >= position) {
            return;
        }
        self.ranges.retain(|(_, end)| *end > position);
        if let Some((begin, _)) = self.ranges.first_mut() {
            *begin = (*begin).max(position);
        }
        self.octets = self.ranges.iter().map(length).sum();
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
        self.octets = 0;
    }

    /// How many octets they hold.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// How many of them lie between `begin` and `end`.
    pub(super) fn octets_within(&self, begin: u64, end: u64) -> usize {
        let within =
            |(left, right): &(u64, u64)| (*right).min(end).saturating_sub((*left).max(begin)) as usize;
        self.ranges.iter().map(within).sum()
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> Option<u64> {
        self.ranges.last().map(|(_, end)| *end)
    }

    /// Whether one range holds all from `begin` to `end`.
    pub(super) fn cover(&self, begin: u64, end: u64) -> bool {
        let at = self.ranges.partition_point(|(_, right)| *right <= begin);
        self.ranges.get(at).is_some_and(|(left, right)| *left <= begin && end <= *right)
    }

    /// The begin of the last range that has, together with those after it, more than `octets`.
    pub(super) fn begin_of_last(&self, octets: usize) -> Option<u64> {
        let mut sum = 0;
        let found = self.ranges.iter().rev().find(|(begin, end)| {
            sum += length(&(*begin, *end));
            sum > octets
        });
        found.map(|(begin, _)| *begin)
    }
}

fn length((begin, end): &(u64, u64)) -> usize {
    (end - begin) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_where_they_touch_and_keep_their_order() {
        let mut ranges = Ranges::default();
        for (begin, end) in [(50, 60), (10, 20), (30, 40), (20, 25), (38, 50), (5, 8)] {
            ranges.add(begin, end);
        }
        assert_eq!(ranges.ranges, [(5, 8), (10, 25), (30, 60)]);
        assert_eq!((ranges.octets(), ranges.end()), (48, Some(60)));
        assert!(ranges.cover(30, 60) && ranges.cover(12, 13) && !ranges.cover(24, 26));
        assert_eq!([ranges.octets_within(7, 35), ranges.octets_within(25, 30)], [21, 0]);
        assert_eq!(
            [29, 30, 45, 48].map(|octets| ranges.begin_of_last(octets)),
            [Some(30), Some(10), Some(5), None]
        );
        ranges.forget_before(12);
        assert_eq!((ranges.ranges.as_slice(), ranges.octets()), (&[(12, 25), (30, 60)][..], 43));
        ranges.forget_before(60);
        assert_eq!((ranges.octets(), ranges.end()), (0, None));
    }

    #[test]
    fn they_never_are_more_than_there_is_room_for() {
        let mut ranges = Ranges::default();
        (0..1_000).for_each(|at| ranges.add(at * 10, at * 10 + 1));
        assert_eq!((ranges.ranges.len(), ranges.octets()), (MOST, MOST));
        ranges.add(0, 10_000);
        assert_eq!(ranges.ranges, [(0, 10_000)]);
    }
}
