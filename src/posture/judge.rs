//! One check at a time: what was seen against what is wanted.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime};

use platform::posture::Fact;
use platform::posture::encryption::Volume;
use platform::posture::firewall::Firewall;
use platform::posture::software::Process;
use platform::posture::system::{Packaging, System};
use platform::posture::updates::Updates;

use super::check::Check;
use super::evidence::{Evidence, Timed};
use super::probe::{Finding, Verdict};
use super::products::{self, PRODUCTS};
use super::rules::Rules;
use super::{fix, os_version};

/// Package lists older than this do not tell what is missing: distributions publish security updates daily.
const OLDEST_LISTS: Duration = Duration::from_secs(7 * 86_400);

/// A finding and when it was made; without a time nothing was looked at yet.
pub(super) type Judged = (Finding, Option<SystemTime>);

/// Judges a check by what was seen; what is older than `oldest` counts as unknown.
pub(super) fn judge(
    check: Check,
    evidence: &Evidence,
    rules: &Rules,
    oldest: Duration,
    now: SystemTime,
) -> Judged {
    let system = evidence.system.as_ref().and_then(|system| system.value.as_ref().ok());
    let packaging = system.map_or(Packaging::Other, System::packaging);
    let of = Of { oldest, now };
    match check {
        Check::Firewall => of.fact(evidence.firewall.as_ref(), |seen| firewall(seen, packaging)),
        Check::Antivirus => of.fact(evidence.processes.as_ref(), |seen| antivirus(seen, packaging)),
        Check::DiskEncryption => of.fact(evidence.volumes.as_ref(), |seen| disk_encryption(seen)),
        Check::OsUpdates => of.fact(evidence.updates.as_ref(), |seen| updates(seen, packaging, now)),
        Check::OsVersion => {
            of.fact(evidence.system.as_ref(), |seen| version(seen, rules.min_os_version.as_deref()))
        }
        Check::SecuritySoftware => {
            of.fact(evidence.processes.as_ref(), |seen| software(seen, &rules.software))
        }
        Check::Edr => of.timed(evidence.edr.as_ref(), Clone::clone),
        Check::Custom => of.timed(evidence.custom.as_ref(), Clone::clone),
        Check::ScreenLock => of.fact(evidence.screen_lock.as_ref(), |seen| {
            switch(*seen, "The screen does not lock itself", LOCK)
        }),
        Check::SecureBoot => {
            of.fact(evidence.secure_boot.as_ref(), |seen| switch(*seen, "Secure boot is off", BOOT))
        }
    }
}

/// What is wanted, in words.
pub(super) fn wanted(check: Check, rules: &Rules) -> String {
    match check {
        Check::Firewall => "a firewall that refuses by default what comes in".to_owned(),
        Check::Antivirus => "an antivirus that runs".to_owned(),
        Check::DiskEncryption => "encryption of the disks with the system and people's files".to_owned(),
        Check::OsUpdates => "every security update".to_owned(),
        Check::OsVersion => {
            rules.min_os_version.as_ref().map_or("any".to_owned(), |version| format!("at least {version}"))
        }
        Check::SecuritySoftware => format!("running: {}", rules.software.join(", ")),
        Check::Edr => "endpoint protection that says it works".to_owned(),
        Check::Custom => "yes from your organization's own check".to_owned(),
        Check::ScreenLock | Check::SecureBoot => "on".to_owned(),
    }
}

const LOCK: &str = "Turn on the automatic screen lock in your desktop's settings, under privacy.";
const BOOT: &str =
    "Ask your IT support: secure boot is turned on in the firmware's settings, before the system starts.";

struct Of {
    oldest: Duration,
    now: SystemTime,
}

impl Of {
    fn fact<T>(&self, seen: Option<&Timed<Fact<T>>>, judge: impl FnOnce(&T) -> Finding) -> Judged {
        self.timed(seen, |fact| match fact {
            Ok(fact) => judge(fact),
            Err(unknown) => Finding::new(Verdict::Unknown, "it could not be seen")
                .because(unknown.to_string())
                .fix("Ask your IT support: the connector cannot look at this here."),
        })
    }

    fn timed<T>(&self, seen: Option<&Timed<T>>, judge: impl FnOnce(&T) -> Finding) -> Judged {
        let Some(seen) = seen else {
            let finding = Finding::new(Verdict::Unknown, "it was not looked at yet");
            return (finding.because("It was not looked at yet").fix("Re-assess the device."), None);
        };
        if seen.is_older(self.oldest, self.now) {
            let finding = Finding::new(Verdict::Unknown, "what was seen is out of date");
            let finding = finding.because("What was seen is out of date").fix("Re-assess the device.");
            return (finding, Some(seen.at));
        }
        (judge(&seen.value), Some(seen.at))
    }
}

fn firewall(seen: &Firewall, packaging: Packaging) -> Finding {
    if !seen.is_active() {
        let tables = match seen.tables {
            0 => "there are no rules".to_owned(),
            1 => "a table of rules, but it does not refuse by default what comes in".to_owned(),
            count => format!("{count} tables of rules, but none refuses by default what comes in"),
        };
        return Finding::new(Verdict::Failed, tables)
            .because("Firewall is off")
            .fix(fix::firewall(&seen.managers, packaging));
    }
    let both = if seen.ipv6.is_empty() { "for IPv4, not for IPv6" } else { "for IPv4 and IPv6" };
    Finding::new(Verdict::Passed, format!("it refuses by default {both}: {}", seen.ipv4.join(", ")))
}

fn antivirus(seen: &[Process], packaging: Packaging) -> Finding {
    match PRODUCTS.iter().find(|product| product.runs(seen)) {
        Some(product) => Finding::new(Verdict::Passed, format!("{} is running", product.name)),
        None => Finding::new(Verdict::Failed, "no antivirus that is known is running")
            .because("No antivirus is running")
            .fix(fix::antivirus(packaging)),
    }
}

fn disk_encryption(seen: &[Volume]) -> Finding {
    let words = |volume: &Volume| match &volume.is_encrypted {
        Ok(true) => format!("{} on {} is encrypted", volume.folder, volume.device),
        Ok(false) => format!("{} on {} is not encrypted", volume.folder, volume.device),
        Err(unknown) => format!("{}: {unknown}", volume.folder),
    };
    let all = seen.iter().map(words).collect::<Vec<_>>().join("; ");
    let open: Vec<&str> = seen
        .iter()
        .filter(|volume| volume.is_encrypted == Ok(false))
        .map(|volume| volume.folder.as_str())
        .collect();
    if !open.is_empty() {
        return Finding::new(Verdict::Failed, all)
            .because("Disk encryption is off")
            .fix(fix::disk_encryption(&open));
    }
    match seen.iter().any(|volume| volume.is_encrypted.is_err()) {
        true => Finding::new(Verdict::Unknown, all)
            .because("It cannot be seen whether the disk is encrypted")
            .fix("Ask your IT support: this kind of disk cannot be looked at."),
        false => Finding::new(Verdict::Passed, all),
    }
}

fn updates(seen: &Updates, packaging: Packaging, now: SystemTime) -> Finding {
    let age = seen.lists_at.map(|at| now.duration_since(at).unwrap_or_default());
    let days = |age: Duration| age.as_secs() / 86_400;
    if !seen.missing.is_empty() {
        let count = seen.missing.len();
        let reason = if count == 1 {
            "A security update is missing".to_owned()
        } else {
            format!("{count} security updates are missing")
        };
        let held = if seen.held.is_empty() {
            String::new()
        } else {
            format!("; held back: {}", fix::list(&seen.held))
        };
        let words = format!("missing: {}{held}", fix::list(&seen.missing));
        return Finding::new(Verdict::Failed, words).because(reason).fix(fix::updates(seen, packaging));
    }
    match age {
        Some(age) if age <= OLDEST_LISTS => Finding::new(
            Verdict::Passed,
            format!("none is missing; the lists of packages are {} days old", days(age)),
        ),
        Some(age) => {
            Finding::new(Verdict::Unknown, format!("the lists of packages are {} days old", days(age)))
                .because("The system has not looked for updates for more than a week")
                .fix(fix::package_lists(packaging))
        }
        None => Finding::new(Verdict::Unknown, "there are no lists of packages")
            .because("The system has never looked for updates")
            .fix(fix::package_lists(packaging)),
    }
}

fn version(seen: &System, min: Option<&str>) -> Finding {
    let name = format!("{} {}", seen.name, seen.version.as_deref().unwrap_or("without a version"));
    let Some(text) = min else { return Finding::new(Verdict::Passed, name) };
    let Some(wanted) = os_version::wanted(text, seen) else {
        return Finding::new(Verdict::Failed, name)
            .because(format!("{} is not among the systems that are let in", seen.name))
            .fix("Use a device with one of the systems that your organization supports.");
    };
    match seen.version.as_deref().map(|version| os_version::compare(version, wanted)) {
        Some(Ordering::Greater | Ordering::Equal) => Finding::new(Verdict::Passed, name),
        Some(Ordering::Less) => Finding::new(Verdict::Failed, name)
            .because(format!("{} is too old: at least version {wanted} is needed", seen.name))
            .fix(format!("Upgrade this device to {} {wanted} or later; ask your IT support how.", seen.name)),
        None => Finding::new(Verdict::Unknown, name)
            .because("This system does not tell its version")
            .fix("Ask your IT support whether this system is supported."),
    }
}

fn software(seen: &[Process], wanted: &[String]) -> Finding {
    let missing: Vec<String> = wanted.iter().filter(|name| !products::runs(name, seen)).cloned().collect();
    match missing.as_slice() {
        [] => Finding::new(Verdict::Passed, format!("running: {}", wanted.join(", "))),
        missing => Finding::new(Verdict::Failed, format!("not running: {}", fix::list(missing)))
            .because(format!("Required software is not running: {}", fix::list(missing)))
            .fix(format!("Start {}, or ask your IT support to install it.", fix::list(missing))),
    }
}

fn switch(is_on: bool, reason: &str, fix: &str) -> Finding {
    match is_on {
        true => Finding::new(Verdict::Passed, "on"),
        false => Finding::new(Verdict::Failed, "off").because(reason).fix(fix),
    }
}
