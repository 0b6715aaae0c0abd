//! `status`, `up` and `down`: what the command line asks the running connector.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use platform::paths::{STATE_DIR_VARIABLE, control_socket, state_dir};

use super::output;
use crate::api::client::{self, ClientError};
use crate::error::{Exit, Failure};
use crate::status::{Status, render};

/// The state folder of the system's service, which a user without one of their own asks.
const SYSTEM_STATE_DIR: &str = "/var/lib/openztna";

/// Shows the status.
pub(super) fn status(json: bool) -> anyhow::Result<ExitCode> {
    let status = ask(async |socket| client::get_status(socket).await)?;
    if json {
        output::line(&serde_json::to_string_pretty(&status).context("failed to write status as JSON")?);
    } else {
        output::line(&render(&status, output::style()));
    }
    Ok(Exit::Success.into())
}

/// Connects.
pub(super) fn up() -> anyhow::Result<ExitCode> {
    let status = ask(async |socket| client::connect(socket).await)?;
    say(&status);
    Ok(Exit::Success.into())
}

/// Disconnects.
pub(super) fn down() -> anyhow::Result<ExitCode> {
    let status = ask(async |socket| client::disconnect(socket).await)?;
    say(&status);
    Ok(Exit::Success.into())
}

fn say(status: &Status) {
    output::line(&status.message);
    if let Some(hint) = &status.hint {
        output::line(&format!("  hint: {hint}"));
    }
}

/// Asks the connectors of this machine, until one answers.
///
/// # Errors
/// None runs, it does not answer, or says no.
pub(super) fn ask<T>(question: impl AsyncFn(&Path) -> Result<T, ClientError>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let mut outcome = Err(ClientError::NotRunning);
    for socket in sockets() {
        outcome = runtime.block_on(question(&socket));
        if !matches!(outcome, Err(ClientError::NotRunning)) {
            break;
        }
    }
    Ok(outcome.map_err(|error| failure(&error))?)
}

/// Our own state folder first; then the system's, unless a folder was named.
fn sockets() -> Vec<PathBuf> {
    let own = state_dir();
    let is_named = std::env::var_os(STATE_DIR_VARIABLE).is_some_and(|path| !path.is_empty());
    let system = (!is_named && own != Path::new(SYSTEM_STATE_DIR)).then(|| PathBuf::from(SYSTEM_STATE_DIR));
    std::iter::once(own).chain(system).map(|folder| control_socket(&folder)).collect()
}

fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::NotRunning => Failure::new(Exit::NotRunning, error)
            .hint("start it with `openztna-client-connector run --config FILE`"),
        ClientError::NotPermitted => Failure::new(Exit::NotPermitted, error).hint("run the command as root"),
        ClientError::Timeout => Failure::new(Exit::Failure, error).hint("look at its log"),
        ClientError::Protocol(_) => {
            Failure::new(Exit::Failure, error).hint("use the command line of the same version as the service")
        }
        ClientError::Problem(problem) => {
            const FORBIDDEN: u16 = 403;
            let exit = if problem.status == FORBIDDEN { Exit::NotPermitted } else { Exit::Failure };
            let failure = Failure::new(exit, error);
            match &problem.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Problem;

    #[test]
    fn each_failure_has_its_exit_code() {
        let problem = |status| {
            ClientError::Problem(Problem { status, title: String::new(), detail: "x".into(), hint: None })
        };
        for (error, exit) in [
            (ClientError::NotRunning, Exit::NotRunning),
            (ClientError::NotPermitted, Exit::NotPermitted),
            (ClientError::Timeout, Exit::Failure),
            (ClientError::Protocol("x".into()), Exit::Failure),
            (problem(403), Exit::NotPermitted),
            (problem(409), Exit::Failure),
        ] {
            assert_eq!(failure(&error).exit, exit);
        }
    }
}
