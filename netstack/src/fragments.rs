//! Where the later fragments of a datagram go: after its first, which alone shows the ports.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

/// Datagrams in parts at one time; beyond, the oldest is forgotten.
const MOST_DATAGRAMS: usize = 1_024;
/// How long the parts of a datagram may take (RFC 1122, section 3.3.2 allows more; Linux forgets after 30 s).
const LIFETIME: Duration = Duration::from_secs(15);
/// Bytes of later fragments that came before their first: four of the largest datagrams.
const MOST_HELD: usize = 4 * 65_535;

/// Which datagram a fragment is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DatagramKey {
    /// From which gateway it came; `None`: from the device.
    pub(crate) gateway: Option<u32>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Transport protocol (IANA number).
    pub(crate) protocol: u8,
    pub(crate) id: u32,
}

/// What was decided for the first fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Into the tunnel of `gateway` with these addresses.
    Tunnel { gateway: u32, source: IpAddr, destination: IpAddr },
    /// To the device with these addresses.
    Device { source: IpAddr, destination: IpAddr },
    /// Nowhere.
    Refused,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    route: Option<Route>,
    held: Vec<Vec<u8>>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Fragments {
    entries: HashMap<DatagramKey, Entry, FixedState>,
    /// Oldest first; an entry that was made anew has a newer one too.
    order: VecDeque<(Instant, DatagramKey)>,
    held_bytes: usize,
}

impl Fragments {
    /// An empty table; `seed` keys the hashes.
    pub(crate) fn new(seed: u64) -> Self {
        let entries = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { entries, order: VecDeque::new(), held_bytes: 0 }
    }

    /// Takes note of the first fragment's route; returns the fragments that waited for it, as they came.
    pub(crate) fn learn(&mut self, key: DatagramKey, route: Route, now: Instant) -> Vec<Vec<u8>> {
        let held = self.remove(&key);
        self.insert(key, Entry { since: now, route: Some(route), held: Vec::new() }, now);
        held
    }

    /// Where a later fragment goes; `None`: its first has not come yet.
    pub(crate) fn follow(&mut self, key: &DatagramKey, now: Instant) -> Option<Route> {
        self.expire(now);
        self.entries.get(key)?.route
    }

    /// Keeps a later fragment until its first comes. False: no room.
    pub(crate) fn hold(&mut self, key: DatagramKey, packet: &[u8], now: Instant) -> bool {
        self.expire(now);
        if self.held_bytes + packet.len() > MOST_HELD {
            return false;
        }
        if !self.entries.contains_key(&key) {
            self.insert(key, Entry { since: now, route: None, held: Vec::new() }, now);
        }
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        self.held_bytes += packet.len();
        entry.held.push(packet.to_vec());
        true
    }

    /// Forgets datagrams whose parts took too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front()
            && now.saturating_duration_since(*since) >= LIFETIME
        {
            self.remove_oldest();
        }
    }

    /// Forgets everything: rights have changed.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.held_bytes = 0;
    }

    fn insert(&mut self, key: DatagramKey, entry: Entry, now: Instant) {
        self.expire(now);
        while self.order.len() >= MOST_DATAGRAMS {
            self.remove_oldest();
        }
        self.order.push_back((entry.since, key));
        self.entries.insert(key, entry);
    }

    fn remove_oldest(&mut self) {
        let Some((since, key)) = self.order.pop_front() else { return };
        if self.entries.get(&key).is_some_and(|entry| entry.since == since) {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &DatagramKey) -> Vec<Vec<u8>> {
        let held = self.entries.remove(key).map(|entry| entry.held).unwrap_or_default();
        self.held_bytes -= held.iter().map(Vec::len).sum::<usize>();
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets_for_tests::{ip, start};

    fn key(id: u32) -> DatagramKey {
        DatagramKey { gateway: None, source: ip("10.0.0.1"), destination: ip("10.0.0.2"), protocol: 17, id }
    }

    #[test]
    fn what_came_too_early_is_given_back_once_with_the_first() {
        let (mut table, now) = (Fragments::new(7), start());
        assert_eq!(table.follow(&key(1), now), None);
        assert!(table.hold(key(1), &[1; 100], now) && table.hold(key(1), &[2; 50], now));
        assert_eq!(table.learn(key(1), Route::Refused, now), [vec![1; 100], vec![2; 50]]);
        assert_eq!(table.follow(&key(1), now), Some(Route::Refused));
        assert_eq!((table.learn(key(1), Route::Refused, now).len(), table.held_bytes), (0, 0));
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_expire() {
        let (mut table, now) = (Fragments::new(7), start());
        for id in 0..5_000 {
            table.hold(key(id), &[0; 1_000], now);
            assert!(table.held_bytes <= MOST_HELD && table.order.len() <= MOST_DATAGRAMS);
        }
        assert!(!table.hold(key(9_999), &[0; 65_000], now));
        assert!(table.hold(key(9_999), &[0; 65_000], now + LIFETIME), "the old ones are gone");
        assert_eq!((table.entries.len(), table.held_bytes), (1, 65_000));
        for id in 0..5_000 {
            table.learn(key(id), Route::Refused, now);
        }
        assert!(table.entries.len() <= MOST_DATAGRAMS && table.order.len() <= MOST_DATAGRAMS);
    }

    #[test]
    fn an_id_that_is_used_again_lives_its_own_time() {
        let (mut table, now) = (Fragments::new(7), start());
        table.learn(key(1), Route::Refused, now);
        let later = now + LIFETIME / 2;
        table.learn(key(1), Route::Refused, later);
        assert!(table.follow(&key(1), now + LIFETIME).is_some());
        assert!(table.follow(&key(1), later + LIFETIME).is_none());
    }
}
