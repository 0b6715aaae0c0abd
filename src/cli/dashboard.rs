//! `dashboard`: opens the page in the person's browser.

use std::process::{Command, ExitCode, Stdio};

use axum::http::Method;

use super::{control, output};
use crate::api::{PageUrl, client};
use crate::error::Exit;

/// Programs that open a URL in the browser of the session: freedesktop's, GNOME's.
const OPENERS: [&[&str]; 2] = [&["xdg-open"], &["gio", "open"]];

/// Opens the page; where there is no browser, or with `print`, the URL is printed. It can be used once, for a minute.
pub(super) fn dashboard(print: bool) -> anyhow::Result<ExitCode> {
    let code = "/api/v1/session/code";
    let PageUrl { url } = control::ask(async |socket| client::request(socket, Method::POST, code).await)?;
    if !print && has_session() && OPENERS.iter().any(|opener| opens(opener, &url)) {
        output::line("The dashboard is opened in your browser");
    } else {
        output::line(&url);
    }
    Ok(Exit::Success.into())
}

/// Without a desktop an opener would start a browser for terminals, or wait.
fn has_session() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn opens(opener: &[&str], url: &str) -> bool {
    let Some((program, arguments)) = opener.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
