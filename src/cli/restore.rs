//! `restore`: undo what a connector left on the system when neither it nor its guardian could.

use std::error::Error;
use std::process::ExitCode;

use platform::paths::{journals, state_dir};
use platform::undo::Outcome;
use platform::undo::journal::Restored;

use super::output;
use crate::error::Exit;
use crate::guardian;

/// Undoes what the journals of the state folder hold, and says what became of each change.
pub(super) fn restore() -> anyhow::Result<ExitCode> {
    let mut restored = Vec::new();
    for journal in journals(&state_dir()) {
        restored.extend(guardian::restore(&journal)?);
    }
    if restored.is_empty() {
        output::line("nothing to undo");
        return Ok(Exit::Success.into());
    }
    let mut exit = Exit::Success;
    for change in restored {
        match sentence(&change) {
            Ok(text) => output::line(&text),
            Err((text, hint)) => {
                output::error(&text, hint);
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit.into())
}

/// What became of one change; an error when it still stands.
fn sentence(change: &Restored) -> Result<String, (String, Option<&'static str>)> {
    let undo = &change.undo;
    match &change.result {
        Ok(Outcome::Undone) => Ok(format!("undone: {undo}")),
        Ok(Outcome::AlreadyGone) => Ok(format!("already gone: {undo}")),
        Ok(Outcome::LeftAlone) => Ok(format!("left alone, since somebody else changed it: {undo}")),
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Err((format!("failed to undo {undo}: {error}{cause}"), error.hint()))
        }
    }
}
