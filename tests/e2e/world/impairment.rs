//! What bad networks do to datagrams and packets: delay, loss, disorder, repetition, damage; repeatable by a seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How late one that is reordered leaves, over the others.
const LATE: Duration = Duration::from_millis(10);

/// Datagrams under way at a time (128 MiB of full ones); what comes then is lost.
const UNDER_WAY: usize = 90_000;

/// What happens to datagrams on their way; chances between 0 and 1. The default does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Impairment {
    /// Time from one end to the other, added in each direction.
    pub(crate) delay: Duration,
    /// Chance to be lost.
    pub(crate) loss: f64,
    /// Chance to be late by 10 ms, so that others overtake.
    pub(crate) reorder: f64,
    /// Chance to come twice.
    pub(crate) duplicate: f64,
    /// Chance that one bit is wrong, with a right checksum.
    pub(crate) corrupt: f64,
}

impl Impairment {
    /// All is lost.
    pub(crate) const BLOCKED: Self =
        Self { delay: Duration::ZERO, loss: 1.0, reorder: 0.0, duplicate: 0.0, corrupt: 0.0 };
}

/// Datagrams on such a way, each toward a `T`.
pub(super) struct BadWay<T> {
    under_way: BTreeMap<(Instant, u64), (T, Vec<u8>)>,
    next_number: u64,
    chance: Chance,
}

impl<T: Copy> BadWay<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { under_way: BTreeMap::new(), next_number: 0, chance: Chance(seed) }
    }

    /// Takes a datagram in; false if it is lost.
    pub(super) fn take(&mut self, to: T, datagram: &mut [u8], what: &Impairment, now: Instant) -> bool {
        if self.chance.of(what.loss) || self.under_way.len() >= UNDER_WAY {
            return false;
        }
        if self.chance.of(what.corrupt) && !datagram.is_empty() {
            let bit = self.chance.next() as usize % (datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
        let copies = if self.chance.of(what.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.chance.of(what.reorder) { LATE } else { Duration::ZERO };
            self.next_number += 1;
            self.under_way.insert((now + what.delay + late, self.next_number), (to, datagram.to_vec()));
        }
        true
    }

    /// When the next one arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((due, _), _)| *due)
    }

    /// One that has arrived.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(T, Vec<u8>)> {
        let first = self.under_way.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

/// splitmix64 (Steele, Lea, Flood 2014): a small generator, the same everywhere for the same seed.
struct Chance(u64);

impl Chance {
    fn of(&mut self, probability: f64) -> bool {
        // 53 bits are all that fit a float.
        probability > 0.0 && ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
