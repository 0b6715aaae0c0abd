//! Who may read the status, steer the connector and use its proxies.

use std::collections::BTreeSet;

/// Who makes a request, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user's number.
    pub uid: u32,
}

/// Which callers are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    own_uid: u32,
    /// `None`: everybody.
    allowed: Option<BTreeSet<u32>>,
}

impl Access {
    /// Root and the service's own user always; besides them these users, or everybody when `None`.
    #[must_use]
    pub fn new(own_uid: u32, allowed: Option<BTreeSet<u32>>) -> Self {
        Self { own_uid, allowed }
    }

    /// Whether the caller is root, the service's own user, or one of those who are named; with no names, nobody else is.
    #[must_use]
    pub fn names(&self, caller: Caller) -> bool {
        self.allowed.is_some() && self.allows(caller)
            || Self::new(self.own_uid, Some(BTreeSet::new())).allows(caller)
    }

    /// Whether the caller may read the status, steer, and use the proxies.
    #[must_use]
    pub fn allows(&self, caller: Caller) -> bool {
        const ROOT: u32 = 0;
        caller.uid == ROOT
            || caller.uid == self.own_uid
            || self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&caller.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_service_always_others_when_listed() {
        let some = Access::new(7, Some([1000].into()));
        let all = Access::new(7, None);
        for (access, uid, allowed) in [
            (&some, 0, true),
            (&some, 7, true),
            (&some, 1000, true),
            (&some, 1001, false),
            (&all, 1001, true),
        ] {
            assert_eq!(access.allows(Caller { uid }), allowed, "{uid}");
        }
        assert!(
            some.names(Caller { uid: 1000 }) && all.names(Caller { uid: 7 }) && all.names(Caller { uid: 0 })
        );
        assert!(!some.names(Caller { uid: 1001 }) && !all.names(Caller { uid: 1001 }));
    }
}
