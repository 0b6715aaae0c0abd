//! The audit: one line of JSON for each flow at its end and for each refusal, written where no packet waits for it.

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;

pub use line::{Entry, Verdict};

/// Lines that may wait for the disk: some seconds of a busy gateway.
const QUEUE: usize = 8192;

/// Where entries are handed in. Clones write to the same place.
#[derive(Debug, Clone)]
pub struct Audit {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes; ends when the last [`Audit`] is dropped.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

#[derive(Debug)]
enum Message {
    Entry(Box<Entry>),
    /// Begins the file anew: it may have been moved away.
    Reopen,
}

impl Audit {
    /// Starts to write to a file (mode 0600, lines are added), or to standard output.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn start(file: Option<&Path>) -> anyhow::Result<(Self, Writer)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let target = Target::open(file).with_context(|| {
            format!("failed to open audit file: `{}`", file.unwrap_or(Path::new("-")).display())
        })?;
        let counter = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread
            .spawn(move || write_all(&receiver, target, &counter))
            .context("failed to start the audit")?;
        Ok((Self { sender, lost }, Writer(thread)))
    }

    /// Hands in an entry; one that finds no room is counted, and the count is written later.
    pub fn write(&self, entry: Entry) {
        self.send(Message::Entry(Box::new(entry)));
    }

    /// Opens the file again, for programs that rotate logs.
    pub fn reopen(&self) {
        self.send(Message::Reopen);
    }

    fn send(&self, message: Message) {
        match self.sender.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Writer {
    /// Waits until everything is written; drop every [`Audit`] before.
    pub fn finish(self) {
        let _ = self.0.join(); // a panic there was told already
    }
}

/// Where lines go.
struct Target {
    path: Option<PathBuf>,
    output: BufWriter<Box<dyn Write + Send>>,
    has_failed: bool,
}

impl Target {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(open_file(path)?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { path: path.map(Path::to_owned), output: BufWriter::new(output), has_failed: false })
    }

    fn reopen(&mut self) {
        self.flush();
        match Self::open(self.path.as_deref()) {
            Ok(target) => *self = target,
            Err(error) => self.complain(&error),
        }
    }

    fn line(&mut self, line: &str) {
        if let Err(error) = writeln!(self.output, "{line}") {
            self.complain(&error);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.output.flush() {
            self.complain(&error);
        }
    }

    /// Says so once: a full disk fails with every line.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::error!("failed to write the audit: {error}");
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Writes in batches: flushed when nothing waits any more.
fn write_all(receiver: &Receiver<Message>, mut target: Target, lost: &AtomicU64) {
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Entry(entry) => target.line(&entry.to_json()),
                Message::Reopen => target.reopen(),
            }
            next = receiver.try_recv().ok();
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            target.line(&line::lost(lost));
        }
        target.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_private_file_and_go_on_in_a_new_one_after_rotation() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (audit, writer) = Audit::start(Some(&path)).unwrap();
        audit.write(line::tests::entry());
        // The file is there from the start; it is moved once the first line is in it.
        while std::fs::read_to_string(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        audit.reopen();
        audit.write(line::tests::entry());
        audit.write(line::tests::entry());
        drop(audit);
        writer.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert_eq!(std::fs::read_to_string(folder.path().join("old")).unwrap().lines().count(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told() {
        let (sender, receiver) = sync_channel(1);
        let audit = Audit { sender, lost: Arc::new(AtomicU64::new(0)) };
        for _ in 0..4 {
            audit.write(line::tests::entry());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let target = Target::open(Some(&path)).unwrap();
        let lost = Arc::clone(&audit.lost);
        drop(audit);
        write_all(&receiver, target, &lost);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("\"event\":\"lost\"") && text.contains("\"count\":3"), "{text}");
    }
}
