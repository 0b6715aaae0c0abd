//! One line of the log, and how it looks on a terminal, in a journal and in a file.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::config::LogLevel;

/// Longest message, in characters: a line is no place for a document.
const MOST: usize = 4_096;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// The part of the program.
    pub target: &'static str,
    /// What happened, with its facts; control characters are escaped, but for ends of lines.
    pub message: String,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Time, level, message.
    Plain,
    /// The same in colours.
    Coloured,
    /// Priority and message, as journald takes them from standard error (sd-daemon(3)); it knows the time.
    Journal,
}

impl Line {
    /// The line of an event that happens now.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let message = clean(&format!("{}{}", text.message, text.facts));
        Self { at: SystemTime::now(), level: level(*metadata.level()), target: metadata.target(), message }
    }

    /// When, in RFC 3339 and UTC.
    #[must_use]
    pub fn time(&self) -> String {
        humantime::format_rfc3339_millis(self.at).to_string()
    }

    /// As it is shown, with its end.
    pub(super) fn shown(&self, look: Look) -> String {
        let (level, message) = (self.level.as_str().to_uppercase(), self.message.replace('\n', "\n    "));
        match look {
            Look::Plain => format!("{} {level:>5} {message}\n", self.time()),
            Look::Coloured => {
                let colour = colour(self.level);
                format!("\x1b[2m{}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m {message}\n", self.time())
            }
            // each line of the text is an entry of its own there
            Look::Journal => {
                message.lines().map(|line| format!("<{}>{line}\n", priority(self.level))).collect()
            }
        }
    }
}

/// As in the file.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown(Look::Plain).trim_end())
    }
}

#[derive(Default)]
struct Text {
    message: String,
    facts: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // writing to a text does not fail
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.facts, " {name}={value:?}"),
        };
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// Names and answers of others may hold anything: no terminal obeys them, and no line is forged.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars().take(MOST) {
        match character {
            '\n' => clean.push('\n'),
            control if control.is_control() => clean.extend(control.escape_default()),
            other => clean.push(other),
        }
    }
    clean
}

/// ANSI: red, yellow, green, blue, magenta.
fn colour(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 31,
        LogLevel::Warn => 33,
        LogLevel::Info => 32,
        LogLevel::Debug => 34,
        LogLevel::Trace => 35,
    }
}

/// Severities of syslog (RFC 5424, section 6.2.1).
fn priority(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 3,
        LogLevel::Warn => 4,
        LogLevel::Info => 6,
        LogLevel::Debug | LogLevel::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> Line {
        let message = clean(message);
        Line { at: SystemTime::UNIX_EPOCH, level: LogLevel::Warn, target: "openztna", message }
    }

    #[test]
    fn each_look_shows_the_level_and_the_message() {
        let line = line("the gateway is silent");
        assert_eq!(line.shown(Look::Plain), "1970-01-01T00:00:00.000Z  WARN the gateway is silent\n");
        assert_eq!(line.shown(Look::Journal), "<4>the gateway is silent\n");
        assert!(line.shown(Look::Coloured).contains("\x1b[33m WARN\x1b[0m the"));
        assert_eq!(line.to_string(), "1970-01-01T00:00:00.000Z  WARN the gateway is silent");
    }

    #[test]
    fn nobody_forges_a_line_or_steers_a_terminal() {
        let line = line("a\n2026-01-01T00:00:00Z  INFO forged\x1b[2J\r\u{9b}");
        assert!(
            line.shown(Look::Plain).contains("\n    2026-01-01T00:00:00Z  INFO forged\\u{1b}[2J\\r\\u{9b}")
        );
        assert_eq!(line.shown(Look::Journal).matches("<4>").count(), 2);
    }
}
