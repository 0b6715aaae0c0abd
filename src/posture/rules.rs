//! What is required of the device, and by which applications.

use std::collections::BTreeSet;
use std::time::Duration;

use super::check::Check;
use super::edr::Edr;
use super::{custom, probe};
use crate::config::Config;
use crate::status::{All, Covers};

/// What is required, as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whether the device is assessed at all.
    pub is_enabled: bool,
    /// Time between two looks.
    pub interval: Duration,
    /// The oldest version of the system, as written.
    pub min_os_version: Option<String>,
    /// Software that must run.
    pub software: Vec<String>,
    pub(super) edr: Option<Edr>,
    pub(super) custom: Option<probe::Probe>,
    /// What every application depends on.
    of_device: BTreeSet<Check>,
    /// Applications by id, and what each depends on beside that.
    applications: Vec<(String, Vec<Check>)>,
}

impl Rules {
    /// The rules of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let settings = &config.device_assessment;
        let (edr, custom) = (Edr::of(config), custom::probe(config));
        let required = [
            (Check::Firewall, settings.firewall_required.value),
            (Check::Antivirus, settings.antivirus_required.value),
            (Check::DiskEncryption, settings.disk_encryption_required.value),
            (Check::OsUpdates, settings.required_os_updates.value),
            (Check::OsVersion, settings.min_os_version.is_some()),
            (Check::SecuritySoftware, !settings.required_security_software.is_empty()),
            (Check::Edr, edr.is_some()),
            (Check::Custom, custom.is_some()),
        ];
        let checks = |ids: &[String]| ids.iter().filter_map(|id| Check::of_id(id)).collect();
        let applications = config.applications.iter();
        Self {
            is_enabled: settings.enabled.value,
            interval: settings.interval.value,
            min_os_version: settings.min_os_version.as_ref().map(|version| version.value.clone()),
            software: settings.required_security_software.clone(),
            edr,
            custom,
            of_device: required
                .iter()
                .filter(|(_, is_required)| *is_required)
                .map(|(check, _)| *check)
                .collect(),
            applications: applications.map(|app| (app.name.clone(), checks(&app.requires))).collect(),
        }
    }

    /// Whether anything depends on a check.
    pub(super) fn is_required(&self, check: Check) -> bool {
        self.of_device.contains(&check) || self.applications.iter().any(|(_, checks)| checks.contains(&check))
    }

    /// Whether every application depends on it.
    pub(super) fn is_of_device(&self, check: Check) -> bool {
        self.of_device.contains(&check)
    }

    /// Whether there is anything to check.
    pub(super) fn is_shown(&self, check: Check) -> bool {
        match check {
            Check::SecuritySoftware => !self.software.is_empty(),
            Check::Edr => self.edr.is_some(),
            Check::Custom => self.custom.is_some(),
            Check::Firewall
            | Check::Antivirus
            | Check::DiskEncryption
            | Check::OsUpdates
            | Check::OsVersion
            | Check::ScreenLock
            | Check::SecureBoot => true,
        }
    }

    /// The ids of the applications that depend on a check.
    pub(super) fn covered(&self, check: Check) -> impl Iterator<Item = u32> {
        let is_all = self.is_of_device(check);
        let applications = (0..).zip(&self.applications);
        applications.filter(move |(_, (_, checks))| is_all || checks.contains(&check)).map(|(id, _)| id)
    }

    /// The same for people.
    pub(super) fn covers(&self, check: Check) -> Covers {
        if self.is_of_device(check) {
            return Covers::All(All::All);
        }
        let name = |id: u32| self.applications.get(id as usize).map(|(name, _)| name.clone());
        Covers::Applications(self.covered(check).filter_map(name).collect())
    }

    /// How many applications there are.
    pub(super) fn applications(&self) -> usize {
        self.applications.len()
    }
}
