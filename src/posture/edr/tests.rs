//! The endpoint protection is asked for real: stubs that answer, refuse, hang, flood, run away and lie.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

/// A folder that only its owner can write, with the configuration and a program in it.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new(script: &str) -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(stage.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(stage.program(), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(stage.program(), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    fn program(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("falconctl")
    }

    fn config(&self, more: &str) -> Config {
        let path = self.0.path().canonicalize().unwrap().join("c.toml");
        let text =
            format!("[device_assessment]\nedr_integration = true\nedr_vendor = \"crowdstrike\"\n{more}\n");
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Config::parse(&path, &text).unwrap()
    }

    fn ask(&self, pattern: &str) -> Finding {
        let command = format!("edr_check_command = \"{} status\"", self.program().display());
        let pattern = format!("edr_status_regex = \"{pattern}\"");
        Edr::of(&self.config(&format!("{command}\n{pattern}"))).unwrap().ask()
    }
}

fn is_failed(finding: &Finding, reason: &str) -> bool {
    let has_reason = finding.reason.as_deref().is_some_and(|text| text.contains(reason));
    finding.verdict == Verdict::Failed && has_reason && finding.fix.is_some()
}

#[test]
fn an_answer_that_matches_passes_and_another_does_not() {
    let stage = Stage::new("test \"$1\" = status && echo 'State: Running'");
    let finding = stage.ask("State: Running");
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    assert!(finding.steps.iter().any(|step| step.contains("matches `State: Running`")), "{finding:?}");
    let finding = Stage::new("echo 'State: Stopped'").ask("State: Running");
    assert!(is_failed(&finding, "CrowdStrike Falcon is not running"), "{finding:?}");
}

#[test]
fn who_fails_and_says_it_runs_is_not_believed() {
    let finding = Stage::new("echo 'State: Running'; exit 3").ask("State: Running");
    assert!(is_failed(&finding, "does not answer as it should"), "{finding:?}");
    let finding = Stage::new("echo 'State: Running' >&2").ask("State: Running");
    assert!(is_failed(&finding, "is not running"), "{finding:?}");
    let finding = Stage::new("kill -9 $$").ask("State: Running");
    assert!(is_failed(&finding, "does not answer"), "{finding:?}");
}

#[test]
fn who_hangs_or_floods_fails_with_the_reason() {
    let finding = Stage::new("echo 'State: Running'; sleep 600").ask("State: Running");
    assert!(is_failed(&finding, "did not end within 10 s"), "{finding:?}");
    let finding = Stage::new("while :; do echo 'State: Running'; done").ask("State: Running");
    assert!(is_failed(&finding, "more than 64 KiB"), "{finding:?}");
}

#[test]
fn children_that_run_away_do_not_hold_the_answer_up() {
    let finding = Stage::new("setsid sleep 600 & sleep 600 & echo 'State: Running'").ask("State: Running");
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
}

#[test]
fn what_others_could_have_changed_is_not_run() {
    let loose = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let stage = Stage::new("echo 'State: Running'");
    loose(&stage.program());
    assert!(is_failed(&stage.ask("Running"), "may write to"), "the program");
    let stage = Stage::new("echo 'State: Running'");
    loose(stage.0.path());
    assert!(is_failed(&stage.ask("Running"), "may write to"), "its folder");
    let stage = Stage::new("echo 'State: Running'");
    let config = stage.config(&format!("edr_check_command = \"{}\"", stage.program().display()));
    loose(&config.path);
    let finding = Edr::of(&config).unwrap().ask();
    assert!(is_failed(&finding, "c.toml"), "what names it: {finding:?}");
    assert!(!finding.steps.iter().any(|step| step.contains("printed")), "{finding:?}");
}

#[test]
fn vendors_without_a_command_are_known_by_their_process() {
    let stage = Stage::new("");
    let finding = Edr::of(&stage.config("")).unwrap().ask();
    assert!(is_failed(&finding, "CrowdStrike Falcon is not running"), "{finding:?}");
    let text = stage.config("").path;
    let other =
        Config::parse(&text, "[device_assessment]\nedr_integration = true\nedr_vendor = \"acme\"\n").unwrap();
    assert!(is_failed(&Edr::of(&other).unwrap().ask(), "`edr_check_command` is missing"));
    let off = Config::parse(&text, "[device_assessment]\nedr_vendor = \"acme\"\n").unwrap();
    assert!(Edr::of(&off).is_none());
}

#[test]
fn the_guides_fragments_load_and_fail_closed_where_the_product_is_not_installed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mission");
    for (fragment, reason) in [
        ("device-edr.toml", "no program of that name is installed: `/opt/CrowdStrike/falconctl`"),
        ("device-crowdstrike.toml", "CSFalconService.exe` is a program of Windows"),
        ("device-sentinelone.toml", "`powershell` is a program of Windows"),
    ] {
        let text = fs::read_to_string(folder.join(fragment)).unwrap();
        let config = Config::parse(Path::new("/etc/openztna/client-connector.toml"), &text).unwrap();
        let finding = Edr::of(&config).unwrap().ask();
        assert!(is_failed(&finding, reason), "{fragment}: {finding:?}");
    }
}
