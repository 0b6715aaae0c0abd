//! Endpoint detection and response: its own command is asked, or its process is looked for.

use std::path::Path;

use platform::posture::software::processes;
use platform::process::Printed;
use regex::Regex;

use super::probe::{Finding, Probe, Verdict, shown, unusable};
use super::products::{self, Product};
use crate::config::{Config, Origin, Setting, status_pattern};

/// Microsoft documents this command of Defender for Linux, and that it prints `true`. The other vendors document none
/// that a program could rely on: there the sensor's process is looked for.
const DEFENDER: (&str, &str) = ("/usr/bin/mdatp health --field healthy", "^true");

/// How the endpoint protection is asked.
#[derive(Debug, Clone)]
pub struct Edr {
    vendor: Option<String>,
    product: Option<&'static Product>,
    probe: Option<Probe>,
    pattern: Option<Regex>,
}

impl Edr {
    /// As `[device_assessment]` says; `None` without `edr_integration`.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let settings = &config.device_assessment;
        if !settings.edr_integration.value {
            return None;
        }
        let vendor = settings.edr_vendor.as_ref().map(|vendor| vendor.value.clone());
        let product = vendor.as_deref().and_then(products::named);
        let is_defender = product.is_some_and(|product| product.name.contains("Defender"));
        let (given, preset) = (&settings.edr_check_command, is_defender.then_some(DEFENDER));
        let command = given.as_ref().map(|command| command.value.clone());
        let command = command.or_else(|| preset.map(|(command, _)| command.to_owned()));
        let pattern = settings.edr_status_regex.as_ref().map(|pattern| pattern.value.as_str());
        let pattern = pattern.or_else(|| preset.filter(|_| given.is_none()).map(|(_, pattern)| pattern));
        let probe = command.map(|command| Probe {
            command,
            named_by: given.as_ref().filter(|command| is_of_file(command)).map(|_| config.path.clone()),
            run_as: settings.edr_run_as.as_ref().map(|user| user.value.clone()),
        });
        // the configuration was refused if it cannot be compiled
        Some(Self {
            vendor,
            product,
            probe,
            pattern: pattern.and_then(|pattern| status_pattern(pattern).ok()),
        })
    }

    /// Asks. Blocks for up to 10 s.
    #[must_use]
    pub fn ask(&self) -> Finding {
        match (&self.probe, self.product) {
            (Some(probe), _) => probe.ask(|printed, steps| self.read(printed, steps)),
            (None, Some(product)) => look_for(product),
            (None, None) => unusable("`edr_check_command` is missing, and this `edr_vendor` has no preset"),
        }
    }

    fn read(&self, printed: &Printed, steps: &mut Vec<String>) -> Finding {
        let name = self.name();
        if !printed.status.success() {
            let finding = Finding::new(Verdict::Failed, format!("the check ended with {}", printed.status));
            return finding.because(format!("{name} does not answer as it should")).fix(start(&name));
        }
        let Some(pattern) = &self.pattern else {
            return Finding::new(Verdict::Passed, "the check ended well");
        };
        let matches = pattern.is_match(&printed.output);
        steps.push(format!("the answer {} `{pattern}`", if matches { "matches" } else { "does not match" }));
        let seen = format!("it said: {}", shown(&printed.output));
        match matches {
            true => Finding::new(Verdict::Passed, seen),
            false => Finding::new(Verdict::Failed, seen)
                .because(format!("{name} is not running"))
                .fix(start(&name)),
        }
    }

    fn name(&self) -> String {
        let vendor = || self.vendor.clone().unwrap_or_else(|| "The endpoint protection".to_owned());
        self.product.map_or_else(vendor, |product| product.name.to_owned())
    }
}

/// Who may write the file that names a command, may run any command.
pub(super) fn is_of_file(setting: &Setting<String>) -> bool {
    matches!(setting.origin, Origin::File { .. })
}

fn look_for(product: &Product) -> Finding {
    let steps = vec![format!("no `edr_check_command`: looking for the processes of {}", product.name)];
    let finding = match processes(Path::new("/")) {
        Ok(processes) if product.runs(&processes) => {
            Finding::new(Verdict::Passed, format!("{} is running", product.name))
        }
        Ok(_) => {
            let reason = format!("{} is not running", product.name);
            Finding::new(Verdict::Failed, "none of its processes runs")
                .because(reason)
                .fix(start(product.name))
        }
        Err(error) => Finding::new(Verdict::Unknown, "it could not be seen").because(error.to_string()),
    };
    Finding { steps, ..finding }
}

fn start(name: &str) -> String {
    format!("Start {name}, or restart this device. If that does not help, ask your IT support to repair it.")
}

#[cfg(test)]
mod tests;
