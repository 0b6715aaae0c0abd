//! How an error becomes a message, a hint and an exit code.

use crate::api::SocketError;
use crate::config::ConfigError;
use crate::config::keys::KeyFileError;
use crate::error::{Exit, Failure};

/// Looks through the causes of an error for one that knows its hint and exit code.
pub(super) fn explain(error: &anyhow::Error) -> Failure {
    let Some((exit, hint)) = error.chain().find_map(known) else {
        return Failure::new(Exit::Failure, whole(error));
    };
    Failure { exit, message: whole(error), hint }
}

/// All causes on one line.
fn whole(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

fn known(error: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some((failure.exit, failure.hint.clone()));
    }
    if let Some(error) = error.downcast_ref::<platform::Error>() {
        return Some((platform_exit(error), error.hint().map(str::to_owned)));
    }
    if let Some(error) = error.downcast_ref::<KeyFileError>() {
        return Some((Exit::Failure, Some(error.hint().to_owned())));
    }
    if let Some(error) = error.downcast_ref::<SocketError>() {
        return Some((Exit::Failure, Some(error.hint().to_owned())));
    }
    // It has its hints within.
    error.is::<ConfigError>().then_some((Exit::Configuration, None))
}

fn platform_exit(error: &platform::Error) -> Exit {
    match error {
        platform::Error::Locked { .. } => Exit::AlreadyRunning,
        platform::Error::System { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::NotPermitted
        }
        platform::Error::System { .. } => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use anyhow::Context;

    use super::*;
    use crate::config::Config;

    fn explained(result: Result<(), impl Into<anyhow::Error>>) -> Failure {
        explain(&result.map_err(Into::into).context("failed to start").unwrap_err())
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code_and_keeps_its_hint() {
        let denied = platform::Error::system("add", "route", "x", io::ErrorKind::PermissionDenied.into());
        let failure = explained(Err(denied.with_hint("run as root")));
        assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::NotPermitted, Some("run as root")));
        let locked = platform::Error::Locked { path: "x".into(), holder: "7".into() };
        assert_eq!(explained(Err(locked)).exit, Exit::AlreadyRunning);
        let config = Config::parse(Path::new("c.toml"), "x = 1").map(drop);
        assert_eq!(explained(config).exit, Exit::Configuration);
        let own = Failure::new(Exit::NotRunning, "x").hint("y");
        assert_eq!(explained(Err(own)).hint.as_deref(), Some("y"));
        let other = explained(Err(anyhow::anyhow!("no idea")));
        assert_eq!((other.exit, other.message.as_str()), (Exit::Failure, "failed to start: no idea"));
    }
}
