//! What can stand in the way of a private namespace, told apart by what a person can do about it.

use std::{fs, io, path::Path};

use super::wire::{Failure, Step};

/// Debian's and hardened kernels' switch: 0 forbids it to all but root.
const CLONE_SWITCH: &str = "kernel/unprivileged_userns_clone";

/// Ubuntu's switch: 1 takes the rights away from programs without a profile.
const APPARMOR_SWITCH: &str = "kernel/apparmor_restrict_unprivileged_userns";

/// Why there can be no private namespace here.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// This user may not open `/dev/net/tun`.
    #[error("failed to open device: `/dev/net/tun`")]
    DeviceClosed(#[source] io::Error),
    /// There is no such device, or nothing behind it.
    #[error("failed to find device: `/dev/net/tun`")]
    DeviceMissing(#[source] io::Error),
    /// The system forbids user namespaces to everybody but root.
    #[error("failed to make namespace: `kernel.unprivileged_userns_clone` is 0")]
    SwitchedOff(#[source] io::Error),
    /// The system allows no namespaces, or no more of them.
    #[error(
        "failed to make namespace: the limit `user.max_user_namespaces` or `user.max_net_namespaces` is reached"
    )]
    LimitReached(#[source] io::Error),
    /// AppArmor takes the rights inside away.
    #[error("failed to make namespace: `kernel.apparmor_restrict_unprivileged_userns` is 1")]
    AppArmor(#[source] io::Error),
    /// Something forbids it that does not say who it is: mostly the filter of a container.
    #[error("failed to make namespace: `unshare` is not permitted")]
    Filtered(#[source] io::Error),
    /// The kernel was built without them.
    #[error("failed to make namespace: the kernel has no user namespaces")]
    NotInKernel(#[source] io::Error),
    /// The namespace is there, but not the network in it.
    #[error("{text}")]
    Network {
        /// What failed.
        text: String,
        /// The system's word.
        source: io::Error,
    },
    /// Our own process inside did not start, or does not answer.
    #[error("failed to start process: `broker`")]
    Broker(#[source] io::Error),
}

impl Obstacle {
    /// What a person can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DeviceClosed(_) => {
                Some("let this user open /dev/net/tun (mode 0666 is usual), or give the container the device")
            }
            Self::DeviceMissing(_) => Some("load the module tun, or give the container /dev/net/tun"),
            Self::SwitchedOff(_) => Some("allow it: sysctl kernel.unprivileged_userns_clone=1"),
            Self::LimitReached(_) => {
                Some("raise the limits: sysctl user.max_user_namespaces=10000 user.max_net_namespaces=10000")
            }
            Self::AppArmor(_) => Some("give the program an AppArmor profile with the rule `userns,`"),
            Self::Filtered(_) => {
                Some("a container's seccomp filter may forbid it: allow the system call unshare")
            }
            Self::NotInKernel(_) | Self::Network { .. } | Self::Broker(_) => None,
        }
    }

    pub(super) fn of(failure: Failure) -> Self {
        Self::judge(failure, &|name| fs::read_to_string(Path::new("/proc/sys").join(name)).ok())
    }

    fn judge(failure: Failure, setting: &dyn Fn(&str) -> Option<String>) -> Self {
        let is = |name, wanted: &str| setting(name).is_some_and(|value| value.trim() == wanted);
        let source = io::Error::from_raw_os_error(failure.errno);
        match (failure.step, failure.errno) {
            (Step::Device, libc::EACCES | libc::EPERM) => Self::DeviceClosed(source),
            (Step::Device, libc::ENOENT | libc::ENODEV | libc::ENXIO) => Self::DeviceMissing(source),
            (Step::Namespace, libc::ENOSPC | libc::EUSERS) => Self::LimitReached(source),
            (Step::Namespace, libc::EINVAL | libc::ENOSYS) => Self::NotInKernel(source),
            (Step::Namespace, libc::EPERM | libc::EACCES) if is(CLONE_SWITCH, "0") => {
                Self::SwitchedOff(source)
            }
            (Step::Namespace | Step::Network, libc::EPERM | libc::EACCES) if is(APPARMOR_SWITCH, "1") => {
                Self::AppArmor(source)
            }
            (Step::Namespace, libc::EPERM | libc::EACCES) => Self::Filtered(source),
            (Step::Device | Step::Namespace | Step::Network | Step::Request, _) => {
                Self::Network { text: failure.text, source }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(step: Step, errno: i32, set: &str, value: &str) -> Obstacle {
        let failure = Failure { step, errno, text: "failed to add route: `0.0.0.0/0`".to_owned() };
        Obstacle::judge(failure, &|name| (name == set).then(|| format!("{value}\n")))
    }

    #[test]
    fn each_refusal_is_told_by_who_refuses() {
        use Step::{Device, Namespace, Network};
        assert!(matches!(judged(Device, libc::EACCES, "", ""), Obstacle::DeviceClosed(_)));
        assert!(matches!(judged(Device, libc::ENOENT, "", ""), Obstacle::DeviceMissing(_)));
        assert!(matches!(judged(Namespace, libc::ENOSPC, "", ""), Obstacle::LimitReached(_)));
        assert!(matches!(judged(Namespace, libc::EPERM, CLONE_SWITCH, "0"), Obstacle::SwitchedOff(_)));
        assert!(matches!(judged(Namespace, libc::EPERM, CLONE_SWITCH, "1"), Obstacle::Filtered(_)));
        assert!(matches!(judged(Namespace, libc::EPERM, APPARMOR_SWITCH, "1"), Obstacle::AppArmor(_)));
        assert!(matches!(judged(Network, libc::EPERM, APPARMOR_SWITCH, "1"), Obstacle::AppArmor(_)));
        assert!(matches!(judged(Network, libc::EPERM, APPARMOR_SWITCH, "0"), Obstacle::Network { .. }));
        assert!(matches!(judged(Namespace, libc::EINVAL, "", ""), Obstacle::NotInKernel(_)));
        assert_eq!(judged(Network, libc::ENOMEM, "", "").to_string(), "failed to add route: `0.0.0.0/0`");
    }
}
