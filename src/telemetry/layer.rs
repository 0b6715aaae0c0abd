//! Where the events of the program become lines and are handed out.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::file::LogFile;
use super::line::{Line, Look};
use super::ring::Ring;

/// Hands lines to standard error, to the ring and to the file.
pub(super) struct Lines {
    look: Look,
    ring: Ring,
    file: LogFile,
}

impl Lines {
    pub(super) fn new(ring: Ring, file: LogFile) -> Self {
        Self { look: look(), ring, file }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        // nobody is left to be told when standard error is gone
        let _ = io::stderr().lock().write_all(line.shown(self.look).as_bytes());
        self.file.write(&line);
        self.ring.push(line);
    }
}

fn look() -> Look {
    let stderr = io::stderr();
    if is_journal() {
        return Look::Journal;
    }
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if stderr.is_terminal() && !is_refused { Look::Coloured } else { Look::Plain }
}

/// Whether journald has the other end of standard error: it says so by device and inode (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(said) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else { return false };
    said == format!("{}:{}", stat.st_dev, stat.st_ino)
}
