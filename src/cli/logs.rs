//! `logs`: the latest lines of the running connector's log, and those to come.

use std::process::ExitCode;

use axum::http::Method;
use serde::Deserialize;

use super::{control, output};
use crate::api::{LogLine, client};
use crate::error::Exit;

#[derive(Deserialize)]
struct Lines {
    lines: Vec<LogLine>,
}

/// Shows lines that matter at least as much as `level`; with `follow`, all that come as well.
pub(super) fn logs(level: &str, limit: u16, follow: bool) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/logs?level={level}&limit={limit}");
    if follow {
        control::ask(async |socket| {
            client::follow(socket, &path, |line| output::try_line(&shown(&line))).await
        })?;
        return Ok(Exit::Success.into());
    }
    let Lines { lines } = control::ask(async |socket| client::request(socket, Method::GET, &path).await)?;
    lines.iter().for_each(|line| output::line(&shown(line)));
    Ok(Exit::Success.into())
}

fn shown(line: &LogLine) -> String {
    let message = line.message.replace('\n', "\n    ");
    format!("{} {:>5} {message}", line.at, line.level.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_and_message() {
        let line = LogLine {
            at: "2026-01-02T03:04:05.006Z".to_owned(),
            level: "warn".to_owned(),
            target: "openztna".to_owned(),
            message: "two\nlines".to_owned(),
        };
        assert_eq!(shown(&line), "2026-01-02T03:04:05.006Z  WARN two\n    lines");
    }
}
