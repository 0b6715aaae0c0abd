//! The assessor at work on this machine, with checks that take their time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::Config;
use crate::status::{CheckState, DeviceState};

/// Far longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// An administrator's check that does what a file says.
struct Script(tempfile::TempDir);

impl Script {
    fn new() -> Self {
        let script = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(script.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        script.says("true");
        script
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("check")
    }

    /// The program is another from now on, in one step.
    fn says(&self, passed: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("#!/bin/sh\necho '{{\"passed\":{passed}}}'\n")).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, self.path()).unwrap();
    }

    fn rules(&self) -> Rules {
        let path = self.0.path().canonicalize().unwrap().join("c.toml");
        let text = format!("[device_assessment]\ncustom_assessment_script = \"{}\"\n", self.path().display());
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Rules::of(&Config::parse(&path, &text).unwrap())
    }
}

fn state(assessment: &Assessment, id: &str) -> Option<CheckState> {
    let report = assessment.report();
    report.checks.iter().find(|check| check.id == id).map(|check| check.state)
}

#[tokio::test]
async fn it_begins_at_once_tells_changes_and_looks_anew_when_asked() {
    let script = Script::new();
    let mut assessor = Assessor::start(script.rules()).await;
    assert!(state(&assessor.latest(), "os_version").is_some(), "what is quick is seen at the start");
    let passed = async {
        while state(&assessor.latest(), "custom") != Some(CheckState::Passed) {
            assessor.changed().await;
        }
    };
    timeout(LONG, passed).await.expect("the slow check is told when it is done");
    script.says("false");
    let fresh = timeout(LONG, assessor.assess()).await.unwrap();
    assert_eq!((state(&fresh, "custom"), fresh.state), (Some(CheckState::Failed), DeviceState::Failed));
    script.says("true");
    assert_eq!(timeout(LONG, assessor.assess()).await.unwrap().state, DeviceState::Passed);
}

#[tokio::test]
async fn other_rules_hold_at_once_and_off_is_off() {
    let script = Script::new();
    let assessor = Assessor::start(Rules::default()).await;
    assert_eq!(assessor.latest().state, DeviceState::Off);
    assert_eq!(assessor.assess().await.state, DeviceState::Off, "and answers all the same");
    let strict = assessor.set_rules(script.rules());
    assert_ne!(strict.state, DeviceState::Passed, "nobody has looked yet");
    assert_eq!(timeout(LONG, assessor.assess()).await.unwrap().state, DeviceState::Passed);
    assert_eq!(assessor.set_rules(Rules::default()).state, DeviceState::Off);
    assert!(Path::new(&script.path()).exists());
}
