//! The log: level, format, and what is kept quiet.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{LogLevel, VARIABLE_PREFIX};

/// Sets another filter for the log that was started.
static REFILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Starts the log on standard error. A second call in one process is ignored.
///
/// `level` is `[server].log_level`, which the environment overrides before it comes here.
pub fn start(level: LogLevel) {
    let is_terminal =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level)))
        .with_writer(io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .compact()
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    // Only tests start it twice, and then the first one is as good.
    if subscriber.try_init().is_ok() {
        let refilter = move |filter| {
            let _ = handle.reload(filter); // fails only when the log itself is gone
        };
        let _ = REFILTER.set(Box::new(refilter)); // the first one is as good
    }
}

/// Logs at another level from now on.
pub fn set_level(level: LogLevel) {
    if let Some(refilter) = REFILTER.get() {
        refilter(EnvFilter::new(directives(level)));
    }
}

/// The level to log with before the configuration could be read.
#[must_use]
pub fn early_level() -> LogLevel {
    let given = std::env::var(format!("{VARIABLE_PREFIX}SERVER_LOG_LEVEL")).unwrap_or_default();
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(&given)).unwrap_or(LogLevel::Info)
}

/// Our own crates at the level, everything else no louder than warnings unless tracing is asked for.
///
/// boringtun logs at error level whenever a peer was silent for 540 s, which the session says in its own words, and
/// names peers; it is off below `trace`.
fn directives(level: LogLevel) -> String {
    match level {
        LogLevel::Trace => "trace".to_owned(),
        LogLevel::Error => "error,boringtun=off".to_owned(),
        LogLevel::Warn | LogLevel::Info | LogLevel::Debug => {
            let level = level.as_str();
            format!("warn,openztna={level},netstack={level},dns={level},platform={level},boringtun=off")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_understood_and_boringtun_is_quiet() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            let text = directives(level);
            EnvFilter::try_new(&text).unwrap();
            assert_eq!(text.contains("boringtun=off"), level != LogLevel::Trace);
        }
    }
}
