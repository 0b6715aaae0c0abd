//! The system's DNS: how names reach our resolver, in one of three modes, and how the device resolved before.

mod probe;
mod resolv_conf;
mod resolvconf;
mod resolved;

pub use probe::{Probe, ProbedMode, probe};
pub use resolv_conf::{Applied, Check, FileWatch, ResolvConf, ResolvConfChange, SYSTEM_FILE, name_servers};
pub use resolvconf::{Record, RecordChange, Resolvconf};
pub use resolved::{Configured, Folded, LARGEST_DOMAIN_COUNT, Resolved, fold_domains};
use serde::{Deserialize, Serialize};

/// The domains that concern our resolver: lower-case, without dots at the ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Domains {
    /// Their names, and all below, must reach our resolver; where they are too many, their parents stand for them.
    pub routing: Vec<String>,
    /// The same, but no parent ever stands for one of them.
    pub exact: Vec<String>,
    /// Short names are completed with them, behind the domains that the system has for that already.
    pub search: Vec<String>,
}

/// How the system's DNS is to be told about our resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsMode {
    /// Whichever of the others fits the system.
    #[default]
    Auto,
    /// systemd-resolved over D-Bus, per link.
    Resolved,
    /// A record kept by the program resolvconf(8).
    Resolvconf,
    /// The file `/etc/resolv.conf`.
    ResolvConf,
    /// Not at all: programs must ask our resolver by themselves.
    Off,
}
