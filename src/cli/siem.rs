//! `--test-siem` and `siem verify`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::output;
use crate::config::{Config, Sources};
use crate::error::{Exit, Failure};
use crate::siem;

/// Sends a test event and says each step and what came back.
pub(super) fn test(file: PathBuf) -> anyhow::Result<ExitCode> {
    let config = Config::load(&Sources::of_process(file))?;
    if config.logging.siem_destination.is_none() {
        let failure = Failure::new(Exit::Configuration, "no SIEM is configured");
        return Err(failure.hint("set `siem_integration` and `siem_destination` in `[logging]`").into());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    let say = |step: &str| output::line(&format!("- {step}"));
    let sent = runtime.block_on(siem::send_test(&config, &platform::paths::state_dir(), &say));
    runtime.shutdown_background(); // a look-up of a name may still hang in the system
    sent.map_err(|problem| {
        let failure = Failure::new(Exit::Failure, &problem.message);
        problem.hint.iter().fold(failure, |failure, hint| failure.hint(hint))
    })?;
    output::line("the SIEM integration works");
    Ok(Exit::Success.into())
}

/// Looks through the kept events for what was changed.
pub(super) fn verify(heads: Option<&Path>) -> anyhow::Result<ExitCode> {
    let read = |path: &Path| {
        let octets = std::fs::read(path);
        octets.with_context(|| format!("failed to read file: `{}`", path.display()))
    };
    let witnesses = heads.map(read).transpose()?;
    let witnesses = witnesses.as_deref().map(String::from_utf8_lossy);
    let verified = siem::verify(&platform::paths::state_dir(), witnesses.as_deref());
    let verified = verified.map_err(|error| unreadable(&error))?;
    output::line(&verified.lines.join("\n"));
    if verified.findings.is_empty() {
        output::line("nothing was changed");
        return Ok(Exit::Success.into());
    }
    let findings = verified.findings.join("\n");
    Err(Failure::new(Exit::Failure, format!("the kept events are not as they were:\n{findings}")).into())
}

fn unreadable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(Exit::Failure, "no events were ever kept here");
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        let failure = Failure::new(Exit::NotPermitted, "the kept events may not be read");
        return failure.hint("run the command as root");
    }
    Failure::new(Exit::Failure, format!("failed to read the kept events: {error}"))
}
