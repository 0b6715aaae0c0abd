//! How many connections a user may have, so that no user's programs keep another's out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of one user: some pages of a browser, each with six, and some programs.
const MOST_OF_A_USER: usize = 64;
/// Connections in all, which is what they may cost in memory: 64 KiB each at the very most.
const MOST: usize = 512;

/// Counts connections by user; `None` are all whose owner is not known.
#[derive(Debug, Default)]
pub(super) struct Admission {
    users: Mutex<BTreeMap<Option<u32>, usize>>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    user: Option<u32>,
}

impl Admission {
    /// Lets a connection of `user` in, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, user: Option<u32>) -> Option<Permit> {
        let mut users = self.lock();
        let count = users.get(&user).copied().unwrap_or(0);
        if count >= MOST_OF_A_USER || users.values().sum::<usize>() >= MOST {
            return None;
        }
        users.insert(user, count + 1);
        Some(Permit { admission: Arc::clone(self), user })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut users = self.admission.lock();
        let Some(count) = users.get_mut(&self.user) else { return };
        *count -= 1;
        // without a connection nothing is kept of a user
        if *count == 0 {
            users.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_only_itself_out() {
        let admission = Arc::new(Admission::default());
        let permits: Vec<Permit> = std::iter::from_fn(|| admission.admit(Some(1000))).collect();
        assert_eq!(permits.len(), MOST_OF_A_USER);
        assert!(admission.admit(Some(0)).is_some() && admission.admit(None).is_some());
        drop(permits);
        assert!(admission.admit(Some(1000)).is_some());
        assert!(admission.lock().is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn all_users_together_are_limited() {
        let admission = Arc::new(Admission::default());
        let permits: Vec<Permit> = (0..2_000).filter_map(|uid| admission.admit(Some(uid))).collect();
        assert_eq!(permits.len(), MOST);
    }
}
