//! The log's file, written by a thread of its own: a disk that is full, slow or read-only keeps nobody waiting.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Line;
use super::rotation::Rotating;

/// Lines that may wait for the disk: some seconds of a very talkative level.
const QUEUE: usize = 4_096;
/// How often a file that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The way to the file; there may be none. Clones lead to the same.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFile(Arc<Mutex<Option<Writer>>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    orders: SyncSender<Order>,
    lost: Arc<AtomicU64>,
}

enum Order {
    Write(String),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

impl LogFile {
    /// Writes to this file from now on, or to none.
    pub(super) fn follow(&self, path: Option<PathBuf>) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.as_ref().map(|writer| &writer.path) != path.as_ref() {
            // dropped without the lock's being held by the thread: it ends when its queue is empty
            *writer = path.and_then(start);
        }
    }

    /// Hands over a line; one that finds no room is counted.
    pub(super) fn write(&self, line: &Line) {
        let writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = writer.as_ref() else { return };
        if writer.orders.try_send(Order::Write(format!("{line}\n"))).is_err() {
            writer.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines are written, but no longer than this.
    pub(super) fn flush(&self, limit: Duration) {
        let orders = {
            let writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writer.as_ref().map(|writer| writer.orders.clone())
        };
        let (done, is_done) = sync_channel(1);
        if orders.is_some_and(|orders| orders.try_send(Order::Flush(done)).is_ok()) {
            let _ = is_done.recv_timeout(limit); // what takes longer is lost with a disk that hangs
        }
    }
}

/// A thread that cannot be had is a log without a file.
fn start(path: PathBuf) -> Option<Writer> {
    let (orders, take_orders) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let (of_thread, counter) = (path.clone(), Arc::clone(&lost));
    let work = move || work(&of_thread, &take_orders, &counter);
    thread::Builder::new().name("log".to_owned()).spawn(work).ok()?;
    Some(Writer { path, orders, lost })
}

fn work(path: &Path, orders: &Receiver<Order>, lost: &AtomicU64) {
    let mut file = Rotating::new(path);
    let mut failed_at: Option<Instant> = None;
    while let Ok(order) = orders.recv() {
        let text = match order {
            Order::Flush(done) => {
                let _ = done.try_send(()); // who asked may be gone
                continue;
            }
            Order::Write(text) => text,
        };
        if failed_at.is_some_and(|at| at.elapsed() < RETRY) {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        let note = match missing {
            0 => String::new(),
            missing => format!("… {missing} lines are missing here\n"),
        };
        match file.write(&(note + &text)) {
            Ok(()) => failed_at = None,
            Err(error) => {
                lost.fetch_add(missing + 1, Ordering::Relaxed);
                if failed_at.replace(Instant::now()).is_none() {
                    tracing::warn!(
                        "failed to write log file: `{}`: {error}; it is tried again",
                        path.display()
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::config::LogLevel;

    const LIMIT: Duration = Duration::from_secs(20);

    fn line(message: &str) -> Line {
        Line {
            at: SystemTime::UNIX_EPOCH,
            level: LogLevel::Info,
            target: "openztna",
            message: message.to_owned(),
        }
    }

    #[test]
    fn lines_are_in_the_file_after_a_flush() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/connector.log");
        let file = LogFile::default();
        file.write(&line("to nowhere"));
        file.follow(Some(path.clone()));
        file.write(&line("first"));
        file.write(&line("second"));
        file.flush(LIMIT);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "1970-01-01T00:00:00.000Z  INFO first\n1970-01-01T00:00:00.000Z  INFO second\n"
        );
        file.follow(None);
        file.write(&line("to nowhere"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn what_cannot_be_written_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile::default();
        file.follow(Some(folder.path().to_owned())); // a folder is no file
        for number in 0..2 * QUEUE {
            file.write(&line(&number.to_string()));
        }
        file.flush(LIMIT);
        let writer = file.0.lock().unwrap();
        assert!(writer.as_ref().unwrap().lost.load(Ordering::Relaxed) > 0);
    }
}
