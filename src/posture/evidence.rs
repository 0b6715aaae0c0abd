//! What was seen of the device, each part with its own time.

use std::time::{Duration, SystemTime};

use platform::posture::Fact;
use platform::posture::encryption::Volume;
use platform::posture::firewall::Firewall;
use platform::posture::software::Process;
use platform::posture::system::System;
use platform::posture::updates::Updates;

use super::Finding;

/// Something that was seen at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<T> {
    /// What.
    pub value: T,
    /// When the look at it ended.
    pub at: SystemTime,
}

/// All that was seen; what was never looked at is absent.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The operating system.
    pub system: Option<Timed<Fact<System>>>,
    /// The firewall.
    pub firewall: Option<Timed<Fact<Firewall>>>,
    /// The file systems.
    pub volumes: Option<Timed<Fact<Vec<Volume>>>>,
    /// What runs.
    pub processes: Option<Timed<Fact<Vec<Process>>>>,
    /// The screen's lock.
    pub screen_lock: Option<Timed<Fact<bool>>>,
    /// Secure boot.
    pub secure_boot: Option<Timed<Fact<bool>>>,
    /// Security updates.
    pub updates: Option<Timed<Fact<Updates>>>,
    /// What the endpoint protection said.
    pub edr: Option<Timed<Finding>>,
    /// What the administrator's script said.
    pub custom: Option<Timed<Finding>>,
}

impl<T> Timed<T> {
    /// Seen now.
    pub(super) fn now(value: T) -> Self {
        Self { value, at: SystemTime::now() }
    }

    /// Whether it is older than `limit`. A clock that was set back makes nothing old.
    pub(super) fn is_older(&self, limit: Duration, now: SystemTime) -> bool {
        now.duration_since(self.at).is_ok_and(|age| age > limit)
    }
}
