//! The administrator's own check: a program that prints a JSON object.

use platform::process::Printed;
use serde::Deserialize;

use super::edr::is_of_file;
use super::probe::{Finding, Probe, Verdict, shown};
use crate::config::Config;

/// What the program prints.
#[derive(Debug, Deserialize)]
struct Answer {
    /// Whether the device is as it should be.
    passed: bool,
    /// What was seen.
    #[serde(default)]
    seen: Option<String>,
    /// Why it did not pass.
    #[serde(default)]
    reason: Option<String>,
    /// What the person can do.
    #[serde(default)]
    fix: Option<String>,
}

/// The program of `custom_assessment_script`, if there is one. It runs as `edr_run_as` says.
pub(super) fn probe(config: &Config) -> Option<Probe> {
    let settings = &config.device_assessment;
    let script = settings.custom_assessment_script.as_ref()?;
    Some(Probe {
        command: script.value.clone(),
        named_by: is_of_file(script).then(|| config.path.clone()),
        run_as: settings.edr_run_as.as_ref().map(|user| user.value.clone()),
    })
}

/// What it printed; a program that fails, or prints anything else, has not said yes.
pub(super) fn read(printed: &Printed) -> Finding {
    const ASK: &str = "ask your administrator to correct the check";
    if !printed.status.success() {
        let finding = Finding::new(Verdict::Failed, format!("it ended with {}", printed.status));
        return finding.because("your organization's own check failed").fix(ASK);
    }
    let answer: Answer = match serde_json::from_str(&printed.output) {
        Ok(answer) => answer,
        Err(error) => {
            let finding = Finding::new(Verdict::Failed, format!("it printed: {}", shown(&printed.output)));
            return finding
                .because(format!("your organization's own check printed no valid answer: {error}"))
                .fix(ASK);
        }
    };
    let seen = answer.seen.as_deref().map_or_else(|| "it answered".to_owned(), shown);
    if answer.passed {
        return Finding::new(Verdict::Passed, seen);
    }
    let reason =
        answer.reason.as_deref().map_or_else(|| "your organization's own check says no".to_owned(), shown);
    let fix = answer.fix.as_deref().map_or_else(|| "ask your IT support what to do".to_owned(), shown);
    Finding::new(Verdict::Failed, seen).because(reason).fix(fix)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn answer(code: i32, output: &str) -> Finding {
        let status = ExitStatus::from_raw(code << 8);
        read(&Printed { status, output: output.to_owned(), errors: String::new() })
    }

    #[test]
    fn only_a_clear_yes_passes() {
        assert_eq!(answer(0, r#"{"passed":true,"seen":"all well"}"#).verdict, Verdict::Passed);
        assert_eq!(answer(1, r#"{"passed":true}"#).verdict, Verdict::Failed);
        let no = answer(
            0,
            "{\"passed\":false,\"reason\":\"USB \\u001b[2Jis on\",\"fix\":\"turn it off\",\"more\":1}",
        );
        assert_eq!((no.verdict, no.reason.as_deref()), (Verdict::Failed, Some("USB  [2Jis on")));
        assert_eq!(no.fix.as_deref(), Some("turn it off"));
        for garbage in ["", "true", "{}", r#"{"passed":"yes"}"#, "{\"passed\":true} trailing", "[[[[[[[["] {
            let finding = answer(0, garbage);
            assert_eq!(finding.verdict, Verdict::Failed, "{garbage}");
            assert!(finding.reason.is_some() && finding.fix.is_some());
        }
    }
}
