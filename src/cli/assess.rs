//! `assess` and `--test-edr`: the device's security on the terminal.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::control::ask;
use super::output;
use crate::api::client;
use crate::config::{Config, Sources};
use crate::error::{Exit, Failure};
use crate::posture::{Edr, Finding, Verdict};
use crate::status::{CheckReport, CheckState, DeviceReport, DeviceState};

/// Lets the running connector look at the device, and shows each check. Ends with 7 when something that is required does
/// not hold.
pub(super) fn assess(json: bool) -> anyhow::Result<ExitCode> {
    let report = ask(async |socket| client::assess(socket).await)?;
    match json {
        true => {
            output::line(&serde_json::to_string_pretty(&report).context("failed to write checks as JSON")?)
        }
        false => output::line(&text(&report)),
    }
    Ok(match report.state {
        DeviceState::Passed | DeviceState::Off => Exit::Success,
        DeviceState::Failed | DeviceState::Unknown => Exit::DeviceRefused,
    }
    .into())
}

/// Asks the endpoint protection as the configuration says, without a service, and shows each step.
pub(super) fn test_edr(file: PathBuf) -> anyhow::Result<ExitCode> {
    let config = Config::load(&Sources::of_process(file))?;
    let Some(edr) = Edr::of(&config) else {
        let failure = Failure::new(Exit::Configuration, "`edr_integration` is off: there is nothing to test");
        return Err(failure.hint("set `edr_integration = true` in `[device_assessment]`").into());
    };
    let finding = edr.ask();
    output::line(&steps(&finding));
    Ok(if finding.verdict == Verdict::Passed { Exit::Success } else { Exit::DeviceRefused }.into())
}

fn text(report: &DeviceReport) -> String {
    let version = report.system.version.as_deref().unwrap_or_default();
    let mut lines =
        vec![report.message.clone(), format!("{} {version}", report.system.name).trim().to_owned()];
    for check in &report.checks {
        lines.push(String::new());
        lines.extend(check_lines(check));
    }
    let plain = |line: &String| line.chars().filter(|c| !c.is_control()).collect::<String>();
    lines.iter().map(plain).collect::<Vec<_>>().join("\n")
}

fn check_lines(check: &CheckReport) -> Vec<String> {
    let state = match check.state {
        CheckState::Passed => "passed",
        CheckState::Failed => "FAILED",
        CheckState::Unknown => "unknown",
    };
    let required = if check.required { ", required" } else { "" };
    let mut lines = vec![format!("{state:8} {}{required} ({})", check.title, check.id)];
    lines.push(format!("         seen: {}", check.seen));
    if check.state != CheckState::Passed {
        lines.push(format!("         wanted: {}", check.wanted));
        lines.extend(check.reason.iter().map(|reason| format!("         why: {reason}")));
        lines.extend(check.fix.iter().map(|fix| format!("         fix: {fix}")));
    }
    lines
}

fn steps(finding: &Finding) -> String {
    let mut lines: Vec<String> = finding.steps.iter().map(|step| format!("- {step}")).collect();
    let verdict = match finding.verdict {
        Verdict::Passed => "PASSED",
        Verdict::Failed => "FAILED",
        Verdict::Unknown => "UNKNOWN, which counts as failed",
    };
    let reason = finding.reason.as_ref().unwrap_or(&finding.seen);
    lines.push(format!("verdict: {verdict}: {reason}"));
    lines.extend(finding.fix.iter().map(|fix| format!("  hint: {fix}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{All, Covers, SystemReport};

    #[test]
    fn each_check_is_shown_with_its_fix_and_nothing_steers_the_terminal() {
        let check = CheckReport {
            id: "firewall".to_owned(),
            title: "Firewall".to_owned(),
            state: CheckState::Failed,
            required: true,
            seen: "there are no rules\x1b[2J".to_owned(),
            wanted: "a firewall".to_owned(),
            reason: Some("Firewall is off".to_owned()),
            fix: Some("sudo ufw enable".to_owned()),
            checked_at: None,
            covers: Covers::All(All::All),
        };
        let passed = CheckReport { state: CheckState::Passed, ..check.clone() };
        let report = DeviceReport {
            state: DeviceState::Failed,
            message: "Firewall is off: 3 applications are blocked".to_owned(),
            assessed_at: None,
            assessing: false,
            interval_s: 300,
            system: SystemReport { name: "Debian".to_owned(), ..SystemReport::default() },
            checks: vec![check, passed],
        };
        let text = text(&report);
        for part in [
            "3 applications are blocked",
            "FAILED   Firewall, required (firewall)",
            "fix: sudo ufw enable",
            "passed   Firewall",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\x1b') && text.matches("fix:").count() == 1);
    }
}
