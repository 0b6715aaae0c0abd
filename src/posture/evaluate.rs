//! From what was seen to what follows for each application. Pure: the time is passed in.

use std::time::{Duration, SystemTime};

use super::check::Check;
use super::evidence::Evidence;
use super::judge::{judge, wanted};
use super::probe::Verdict;
use super::rules::Rules;
use crate::dialer::{AllWithheld, Withheld};
use crate::session::Denial;
use crate::status::{
    CheckReport, CheckState, Covers, DeviceReport, DeviceState, DeviceSummary, SystemReport,
};

/// The words of the contract.
const DENIAL: &str = "Device does not meet security requirements";
/// Beside twice the interval: a look may take its time on a busy device.
const GRACE: Duration = Duration::from_secs(60);

/// What follows from everything that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// What follows from all checks.
    pub state: DeviceState,
    /// Each check, in order.
    pub checks: Vec<CheckResult>,
    /// The applications that may not be used now, by id.
    pub withheld: AllWithheld,
    /// Whether that is all of them, or something that every application depends on.
    pub is_denied: bool,
    /// Whether the device is being looked at now.
    pub is_running: bool,
    system: SystemReport,
    interval: Duration,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Which one.
    pub check: Check,
    /// How it went.
    pub state: CheckState,
    /// Whether anything depends on it.
    pub is_required: bool,
    /// What was seen.
    pub seen: String,
    /// What is wanted.
    pub wanted: String,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// What the person can do.
    pub fix: Option<String>,
    /// When it was looked at.
    pub at: Option<SystemTime>,
    /// What depends on it.
    pub covers: Covers,
}

impl Default for Assessment {
    /// Nothing is assessed and nothing withheld.
    fn default() -> Self {
        evaluate(&Evidence::default(), &Rules::default(), SystemTime::UNIX_EPOCH)
    }
}

/// Judges what was seen by the rules. What is unknown or out of date counts as failed where it is required.
#[must_use]
pub fn evaluate(evidence: &Evidence, rules: &Rules, now: SystemTime) -> Assessment {
    let system = evidence.system.as_ref().and_then(|system| system.value.as_ref().ok());
    let system = system.map(|system| SystemReport {
        name: system.name.clone(),
        version: system.version.clone(),
        kernel: system.kernel.clone(),
        hostname: system.hostname.clone(),
    });
    let shown = Check::ALL.into_iter().filter(|check| rules.is_enabled && rules.is_shown(*check));
    let checks: Vec<CheckResult> = shown.map(|check| result(check, evidence, rules, now)).collect();
    let failing = || checks.iter().filter(|result| result.is_required && result.state != CheckState::Passed);
    let mut withheld = AllWithheld::new();
    for result in failing() {
        for id in rules.covered(result.check) {
            add(&mut withheld, id, result);
        }
    }
    let is_all = rules.applications() > 0 && withheld.len() == rules.applications();
    Assessment {
        state: state(rules, failing()),
        is_denied: is_all || failing().any(|result| rules.is_of_device(result.check)),
        withheld,
        is_running: false,
        system: system.unwrap_or_default(),
        interval: rules.interval,
        checks,
    }
}

fn result(check: Check, evidence: &Evidence, rules: &Rules, now: SystemTime) -> CheckResult {
    let oldest = rules.interval * 2 + GRACE;
    let (finding, at) = judge(check, evidence, rules, oldest, now);
    let state = match finding.verdict {
        Verdict::Passed => CheckState::Passed,
        Verdict::Failed => CheckState::Failed,
        Verdict::Unknown => CheckState::Unknown,
    };
    CheckResult {
        check,
        state,
        is_required: rules.is_required(check),
        seen: finding.seen,
        wanted: wanted(check, rules),
        reason: finding.reason,
        fix: finding.fix,
        at,
        covers: rules.covers(check),
    }
}

fn add(withheld: &mut AllWithheld, id: u32, result: &CheckResult) {
    let reason = result.reason_in_words();
    match withheld.get_mut(&id) {
        Some(earlier) => earlier.reason = format!("{}; {reason}", earlier.reason),
        None => {
            withheld.insert(id, Withheld { reason, fix: result.fix.clone() });
        }
    }
}

/// What was never looked at is no verdict yet, as long as nothing else failed.
fn state<'a>(rules: &Rules, failing: impl Iterator<Item = &'a CheckResult>) -> DeviceState {
    let (mut seen, mut unseen) = (0, 0);
    for result in failing {
        *(if result.at.is_some() { &mut seen } else { &mut unseen }) += 1;
    }
    match (rules.is_enabled, seen, unseen) {
        (false, _, _) => DeviceState::Off,
        (true, 0, 0) => DeviceState::Passed,
        (true, 0, _) => DeviceState::Unknown,
        (true, _, _) => DeviceState::Failed,
    }
}

impl CheckResult {
    fn reason_in_words(&self) -> String {
        match (&self.reason, self.state) {
            (Some(reason), CheckState::Unknown) => format!("{}: {reason}", self.check.title()),
            (Some(reason), CheckState::Passed | CheckState::Failed) => reason.clone(),
            (None, CheckState::Passed | CheckState::Failed | CheckState::Unknown) => {
                format!("{} did not pass", self.check.title())
            }
        }
    }

    fn is_failing(&self) -> bool {
        self.is_required && self.state != CheckState::Passed
    }
}

impl Assessment {
    /// Why nothing may be used, where nothing may be.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        if !self.is_denied {
            return None;
        }
        let fix = self.failing().find_map(|result| result.fix.clone());
        let hint = fix.unwrap_or_else(|| "run `openztna-client-connector assess`".to_owned());
        let message = match self.state {
            DeviceState::Unknown => "Device is being assessed".to_owned(),
            DeviceState::Passed | DeviceState::Failed | DeviceState::Off => {
                format!("{DENIAL}: {}", self.reasons())
            }
        };
        Some(Denial { message, hint: Some(hint) })
    }

    /// What follows, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self.state {
            DeviceState::Off => "The device is not assessed".to_owned(),
            DeviceState::Unknown => "The device is being assessed".to_owned(),
            DeviceState::Passed if self.checks.iter().any(|result| result.is_required) => {
                "The device meets the security requirements".to_owned()
            }
            DeviceState::Passed => "Nothing is required of this device".to_owned(),
            DeviceState::Failed => match self.withheld.len() {
                0 => self.reasons(),
                1 => format!("{}: 1 application is blocked", self.reasons()),
                count => format!("{}: {count} applications are blocked", self.reasons()),
            },
        }
    }

    /// For the API.
    #[must_use]
    pub fn report(&self) -> DeviceReport {
        DeviceReport {
            state: self.state,
            message: self.message(),
            assessed_at: self.checks.iter().filter_map(|result| result.at).max().map(time),
            assessing: self.is_running,
            interval_s: self.interval.as_secs(),
            system: self.system.clone(),
            checks: self.checks.iter().map(check_report).collect(),
        }
    }

    /// For the status.
    #[must_use]
    pub fn summary(&self) -> DeviceSummary {
        let is_worth_saying = matches!(self.state, DeviceState::Failed | DeviceState::Unknown);
        DeviceSummary { state: self.state, message: is_worth_saying.then(|| self.message()) }
    }

    fn failing(&self) -> impl Iterator<Item = &CheckResult> {
        self.checks.iter().filter(|result| result.is_failing())
    }

    fn reasons(&self) -> String {
        self.failing().map(CheckResult::reason_in_words).collect::<Vec<_>>().join("; ")
    }
}

fn check_report(result: &CheckResult) -> CheckReport {
    CheckReport {
        id: result.check.id().to_owned(),
        title: result.check.title().to_owned(),
        state: result.state,
        required: result.is_required,
        seen: result.seen.clone(),
        wanted: result.wanted.clone(),
        reason: result.reason.clone(),
        fix: result.fix.clone(),
        checked_at: result.at.map(time),
        covers: result.covers.clone(),
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests;
