//! The journal of changes: on the disk before a change is made, so that a later process can take it back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Outcome, Undo};
use crate::{Error, secret_file};

/// Changes with each start of the system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// One line: a change that is about to be made, or one that was taken back early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The change with this number is about to be made.
    Announce {
        /// Counted up by the one process that writes.
        id: u64,
        /// How to take it back.
        undo: Undo,
    },
    /// The change with this number needs no undoing any more.
    Withdraw {
        /// The number it was announced with.
        id: u64,
    },
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    boot: String,
}

/// What became of one change.
#[derive(Debug)]
pub struct Restored {
    /// The change.
    pub undo: Undo,
    /// What taking it back came to.
    pub result: Result<Outcome, Error>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    boot: String,
    record: Record,
}

impl Journal {
    /// Opens the journal, made with mode 0600 if it is missing; a torn last line is closed off.
    ///
    /// # Errors
    /// The state folder cannot be written: read-only, full, or not ours.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
            close_torn_line(&mut file)?;
            secret_file::sync_parent(path)?;
            Ok(file)
        };
        let file = open().map_err(|source| failed("open", path, source))?;
        Ok(Self { file, path: path.to_owned(), boot: boot_id() })
    }

    /// Adds a line; it is on the disk when this returns.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let line = Line { boot: self.boot.clone(), record: record.clone() };
        let mut write = || {
            let mut text = serde_json::to_string(&line)?;
            text.push('\n');
            // One write, so that a line of ours is torn only by a full disk or a crash of the system.
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(|source| failed("write", &self.path, source))
    }
}

/// The changes that still stand, with their numbers, in the order they were made.
///
/// Lines that cannot be read are skipped; changes that a restart of the system has undone are left out.
///
/// # Errors
/// The file is there and cannot be read.
pub fn pending(path: &Path) -> Result<Vec<(u64, Undo)>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("read", path, source)),
    };
    Ok(standing(&bytes, &boot_id()))
}

/// Takes back what the journal holds, the last change first, and removes the journal when nothing is left in it.
///
/// # Errors
/// The journal cannot be read or removed; what a single change came to is in the answer.
pub fn restore(path: &Path) -> Result<Vec<Restored>, Error> {
    restore_all(pending(path)?.into_iter().map(|(_, undo)| undo).collect(), path)
}

/// Likewise for changes that the caller knows, and the journal that holds the same.
///
/// # Errors
/// The journal cannot be removed.
pub fn restore_all(changes: Vec<Undo>, path: &Path) -> Result<Vec<Restored>, Error> {
    let undo_one = |undo: Undo| Restored { result: undo.apply(), undo };
    let restored: Vec<_> = changes.into_iter().rev().map(undo_one).collect();
    if restored.iter().all(|restored| restored.result.is_ok()) {
        remove(path)?;
    }
    Ok(restored)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

fn standing(bytes: &[u8], boot: &str) -> Vec<(u64, Undo)> {
    let mut standing = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Line { boot: written, record }) = serde_json::from_slice(line) else { continue };
        match record {
            Record::Announce { id, undo } if written == boot || undo.survives_reboot() => {
                standing.push((id, undo));
            }
            Record::Announce { .. } => {}
            Record::Withdraw { id } => standing.retain(|(other, _)| *other != id),
        }
    }
    standing
}

fn close_torn_line(file: &mut File) -> io::Result<()> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> Error {
    let error = Error::system(verb, "journal", path.display(), source);
    match error.errno() {
        Some(libc::ENOSPC | libc::EDQUOT) => error.with_hint("the disk is full: free some space"),
        Some(libc::EROFS) => {
            error.with_hint("the disk is read-only: set OPENZTNA_STATE_DIR to a folder elsewhere")
        }
        Some(libc::EACCES | libc::EPERM) => error.with_hint("run as root, or set OPENZTNA_STATE_DIR"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Family,
        netlink::{Rule, RuleAction},
    };

    fn change(priority: u32) -> Undo {
        Undo::Rule(Rule::new(Family::V4, priority, RuleAction::Prohibit))
    }

    fn announce(id: u64) -> Record {
        Record::Announce { id, undo: change(id as u32) }
    }

    fn ids(path: &Path) -> Vec<u64> {
        pending(path).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn withdrawn_changes_are_not_pending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("undo.journal");
        assert_eq!(ids(&path), [0; 0]);
        let mut journal = Journal::open(&path).unwrap();
        for record in [announce(1), announce(2), Record::Withdraw { id: 1 }, announce(3)] {
            journal.append(&record).unwrap();
        }
        assert_eq!(pending(&path).unwrap(), [(2, change(2)), (3, change(3))]);
    }

    #[test]
    fn torn_last_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("undo.journal");
        Journal::open(&path).unwrap().append(&announce(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes.extend(&whole[..cut]);
            fs::write(&path, bytes).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            journal.append(&announce(2)).unwrap();
            let found = ids(&path);
            // A line that lacks only its end is a line.
            assert!(found == [1, 2] || (cut == whole.len() - 1 && found == [1, 1, 2]), "{cut}: {found:?}");
        }
    }

    #[test]
    fn kernel_changes_of_an_earlier_start_of_the_system_are_history() {
        let line = serde_json::to_vec(&Line { boot: "before".into(), record: announce(1) }).unwrap();
        assert_eq!(standing(&line, "before").len(), 1);
        assert_eq!(standing(&line, "now").len(), 0);
    }
}
