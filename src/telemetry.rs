//! The log: level, format, where it goes, and what is kept quiet.

mod file;
mod layer;
mod line;
mod ring;
mod rotation;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

pub use line::Line;
pub use ring::Ring;

use crate::config::{LogLevel, VARIABLE_PREFIX};
use file::LogFile;
use layer::Lines;

/// All levels, the quietest first.
pub const LEVELS: [LogLevel; 5] =
    [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

/// How long the end of the program waits until the log's last lines are in its file.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    /// Sets another filter.
    refilter: Box<dyn Fn(EnvFilter) + Send + Sync>,
    /// Place of the level in [`LEVELS`].
    level: AtomicU8,
    ring: Ring,
    file: LogFile,
}

/// Starts the log on standard error. A second call in one process is ignored.
///
/// `level` is `[server].log_level`, which the environment overrides before it comes here.
pub fn start(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(directives(level)));
    let (ring, file) = (Ring::default(), LogFile::default());
    let lines = Lines::new(ring.clone(), file.clone());
    // only tests start it twice, and then the first one is as good
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let refilter = Box::new(move |filter| {
            let _ = handle.reload(filter); // fails only when the log itself is gone
        });
        let _ = LOG.set(Log { refilter, level: AtomicU8::new(place(level)), ring, file });
    }
}

/// Logs at another level from now on.
pub fn set_level(level: LogLevel) {
    if let Some(log) = LOG.get() {
        log.level.store(place(level), Ordering::Relaxed);
        (log.refilter)(EnvFilter::new(directives(level)));
    }
}

/// The level now.
#[must_use]
pub fn level() -> LogLevel {
    let place = LOG.get().map_or(0, |log| log.level.load(Ordering::Relaxed));
    LEVELS.get(usize::from(place)).copied().unwrap_or(LogLevel::Info)
}

/// Writes the log to this file as well, or to none.
pub fn set_file(path: Option<PathBuf>) {
    if let Some(log) = LOG.get() {
        log.file.follow(path);
    }
}

/// The latest lines, and those to come; none before [`start`].
#[must_use]
pub fn ring() -> Option<Ring> {
    LOG.get().map(|log| log.ring.clone())
}

/// Waits for a moment until what was logged is in the file.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.file.flush(FLUSH_LIMIT);
    }
}

/// The level to log with before the configuration could be read.
#[must_use]
pub fn early_level() -> LogLevel {
    let given = std::env::var(format!("{VARIABLE_PREFIX}SERVER_LOG_LEVEL")).unwrap_or_default();
    level_of(&given).unwrap_or(LogLevel::Info)
}

/// The level of a word, in whatever case.
#[must_use]
pub fn level_of(word: &str) -> Option<LogLevel> {
    LEVELS.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
}

fn place(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    }
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
        for level in LEVELS {
            let text = directives(level);
            EnvFilter::try_new(&text).unwrap();
            assert_eq!(text.contains("boringtun=off"), level != LogLevel::Trace);
        }
    }

    #[test]
    fn each_level_has_its_place_and_its_word() {
        for level in LEVELS {
            assert_eq!(LEVELS[usize::from(place(level))], level);
            assert_eq!(level_of(&level.as_str().to_uppercase()), Some(level));
        }
        assert_eq!(level_of("loud"), None);
    }
}
