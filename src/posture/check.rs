//! The checks, with their stable ids.

/// A check of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// A firewall refuses by default what comes in.
    Firewall,
    /// An antivirus runs.
    Antivirus,
    /// The disks with the system and people's files are encrypted.
    DiskEncryption,
    /// No security update is missing.
    OsUpdates,
    /// The system is not too old.
    OsVersion,
    /// Named security software runs.
    SecuritySoftware,
    /// The endpoint protection says that it works.
    Edr,
    /// The administrator's own script says yes.
    Custom,
    /// The screen locks itself.
    ScreenLock,
    /// The firmware starts signed systems only.
    SecureBoot,
}

impl Check {
    /// Each check, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Firewall,
        Self::Antivirus,
        Self::DiskEncryption,
        Self::OsUpdates,
        Self::OsVersion,
        Self::SecuritySoftware,
        Self::Edr,
        Self::Custom,
        Self::ScreenLock,
        Self::SecureBoot,
    ];

    /// The stable id, as `requires` takes it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Firewall => "firewall",
            Self::Antivirus => "antivirus",
            Self::DiskEncryption => "disk_encryption",
            Self::OsUpdates => "os_updates",
            Self::OsVersion => "os_version",
            Self::SecuritySoftware => "security_software",
            Self::Edr => "edr",
            Self::Custom => "custom",
            Self::ScreenLock => "screen_lock",
            Self::SecureBoot => "secure_boot",
        }
    }

    /// The name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Firewall => "Firewall",
            Self::Antivirus => "Antivirus",
            Self::DiskEncryption => "Disk encryption",
            Self::OsUpdates => "Security updates",
            Self::OsVersion => "System version",
            Self::SecuritySoftware => "Security software",
            Self::Edr => "Endpoint protection",
            Self::Custom => "Your organization's own check",
            Self::ScreenLock => "Screen lock",
            Self::SecureBoot => "Secure boot",
        }
    }

    /// The check of an id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CHECKS;

    #[test]
    fn the_configuration_knows_the_same_checks() {
        assert_eq!(CHECKS.map(|(id, _)| id), Check::ALL.map(Check::id));
        assert!(Check::ALL.is_sorted());
        assert_eq!(Check::of_id("edr"), Some(Check::Edr));
        assert_eq!(Check::of_id("EDR"), None);
    }
}
