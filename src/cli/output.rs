//! Everything that the program says on the terminal goes through here.

use std::io::{self, IsTerminal, Write};

use crate::status::Style;

/// A line, or several, on standard output.
pub(super) fn line(text: &str) {
    // A closed pipe, as of `status | head`, is no reason to fail.
    let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
}

/// The same; false when nobody reads any more.
pub(super) fn try_line(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()).is_ok()
}

/// An error with its hint on standard error.
pub(super) fn error(message: &str, hint: Option<&str>) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to be told when this fails.
    let _ = writeln!(stderr, "error: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "  hint: {hint}");
    }
}

/// Lines on standard error as they are.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Colours only on a terminal and without `NO_COLOR` (<https://no-color.org>).
pub(super) fn style() -> Style {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !is_refused { Style::Coloured } else { Style::Plain }
}
