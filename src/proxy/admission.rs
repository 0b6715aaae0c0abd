//! How many connections a user may have, so that no user's programs keep another's out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of one user: ten thousand at once are expected of a busy device.
const MOST_CONNECTIONS: usize = 16_384;
/// Connections of one user that have not said yet what they want. A client says it at once.
const MOST_HALF_OPEN: usize = 4_096;

/// Counts connections by user.
#[derive(Debug, Default)]
pub(super) struct Admission {
    users: Mutex<BTreeMap<Option<u32>, Load>>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    user: Option<u32>,
    half_open: Mutex<bool>,
}

#[derive(Debug, Default)]
struct Load {
    connections: usize,
    half_open: usize,
}

impl Admission {
    /// Lets a connection of `user` in, unless it has too many; `None` are all that nobody owns.
    pub(super) fn admit(self: &Arc<Self>, user: Option<u32>) -> Option<Permit> {
        let mut users = self.lock();
        let load = users.entry(user).or_default();
        if load.connections >= MOST_CONNECTIONS || load.half_open >= MOST_HALF_OPEN {
            return None;
        }
        load.connections += 1;
        load.half_open += 1;
        Some(Permit { admission: Arc::clone(self), user, half_open: Mutex::new(true) })
    }

    /// Connections now.
    pub(super) fn connections(&self) -> usize {
        self.lock().values().map(|load| load.connections).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, Load>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The connection has said what it wants.
    pub(super) fn establish(&self) {
        let mut half_open = self.half_open.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *half_open)
            && let Some(load) = self.admission.lock().get_mut(&self.user)
        {
            load.half_open -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.establish();
        let mut users = self.admission.lock();
        let Some(load) = users.get_mut(&self.user) else { return };
        load.connections -= 1;
        if load.connections == 0 {
            users.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_says_nothing_keeps_only_itself_out() {
        let admission = Arc::new(Admission::default());
        let permits: Vec<Permit> = std::iter::from_fn(|| admission.admit(Some(1000))).collect();
        assert_eq!(permits.len(), MOST_HALF_OPEN);
        assert!(admission.admit(Some(1001)).is_some() && admission.admit(None).is_some());
        permits[0].establish();
        permits[0].establish();
        let next = admission.admit(Some(1000)).unwrap();
        assert!(admission.admit(Some(1000)).is_none(), "one more had room");
        drop((permits, next));
        assert!(admission.lock().is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn all_connections_of_a_user_are_limited() {
        let admission = Arc::new(Admission::default());
        let admit = || admission.admit(Some(1000)).inspect(Permit::establish);
        let permits: Vec<Permit> = std::iter::from_fn(admit).collect();
        assert_eq!((permits.len(), admission.connections()), (MOST_CONNECTIONS, MOST_CONNECTIONS));
    }
}
