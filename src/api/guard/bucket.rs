//! Token buckets by user: so many at once, and so many a second that go on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Users that are remembered; beyond them those whose buckets are full again are forgotten.
const MOST_USERS: usize = 256;

/// One bucket a user; `None` are all who are not known.
#[derive(Debug)]
pub(in crate::api) struct Buckets {
    most: f64,
    a_second: f64,
    users: Mutex<BTreeMap<Option<u32>, Level>>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    left: f64,
    at: Instant,
}

impl Buckets {
    /// `most` at once, `a_second` afterwards.
    pub(in crate::api) fn new(most: u32, a_second: f64) -> Self {
        Self { most: f64::from(most), a_second, users: Mutex::default() }
    }

    /// Takes one; false when none is left.
    pub(in crate::api) fn take(&self, user: Option<u32>, now: Instant) -> bool {
        let mut users = self.lock();
        let mut level = self.level(&users, user, now);
        let is_left = level.left >= 1.0;
        if is_left {
            level.left -= 1.0;
        }
        if users.len() >= MOST_USERS {
            users.retain(|_, of_other| self.refilled(*of_other, now).left < self.most);
        }
        users.insert(user, level);
        is_left
    }

    /// Whether none is left.
    pub(in crate::api) fn is_empty(&self, user: Option<u32>, now: Instant) -> bool {
        self.level(&self.lock(), user, now).left < 1.0
    }

    fn level(&self, users: &BTreeMap<Option<u32>, Level>, user: Option<u32>, now: Instant) -> Level {
        match users.get(&user) {
            Some(level) => self.refilled(*level, now),
            None => Level { left: self.most, at: now },
        }
    }

    fn refilled(&self, level: Level, now: Instant) -> Level {
        let seconds = now.saturating_duration_since(level.at).as_secs_f64();
        Level { left: (level.left + seconds * self.a_second).min(self.most), at: now.max(level.at) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, Level>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves whole entries
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let (buckets, now) = (Buckets::new(3, 0.5), Instant::now());
        assert_eq!([(); 4].map(|()| buckets.take(Some(1), now)), [true, true, true, false]);
        assert!(buckets.is_empty(Some(1), now) && !buckets.is_empty(Some(2), now));
        assert!(!buckets.take(Some(1), now + Duration::from_secs(1)));
        assert!(buckets.take(Some(1), now + Duration::from_secs(2)));
    }

    #[test]
    fn those_whose_bucket_is_full_again_are_forgotten() {
        let (buckets, now) = (Buckets::new(3, 1.0), Instant::now());
        for uid in 0..10_000 {
            buckets.take(Some(uid), now + Duration::from_secs(uid.into()));
        }
        assert!(buckets.lock().len() <= MOST_USERS);
    }
}
