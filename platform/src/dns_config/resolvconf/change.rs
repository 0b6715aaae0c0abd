//! A record of ours as it stands in the journal, and how it is taken back.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{RECORD_DIRS, SYSTEM_FILE, program, read, text};
use crate::{Error, lock::FileLock, undo::Outcome};

/// How long a run of the program is waited for that outlived the connector; it takes 0.1 s.
const PATIENCE: Duration = Duration::from_secs(1);

/// A record that we handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// The program.
    pub program: PathBuf,
    /// The record's name.
    pub record: String,
    /// What it lists.
    pub resolvers: Vec<IpAddr>,
    /// A file that is locked for as long as the program is at work for us.
    pub log: PathBuf,
}

impl RecordChange {
    /// Takes the record back. Resolv.conf then says what all others handed in last.
    ///
    /// # Errors
    /// The program is gone or fails, and resolv.conf lists our resolver still: with a hint.
    pub fn undo(&self) -> Result<Outcome, Error> {
        // Else the record could be handed in after it was taken back.
        let lock = FileLock::acquire(&self.log, PATIENCE);
        if self.is_recorded() == Some(false) && !self.is_listed() {
            return Ok(Outcome::AlreadyGone);
        }
        let deleted = program::run(&self.program, &["-d", &self.record], "", None);
        if self.is_listed() {
            // The record was gone before the file was written anew.
            let _ = program::run(&self.program, &["-u"], "", None);
        }
        drop(lock);
        if !self.is_listed() {
            return Ok(if deleted.is_ok() { Outcome::Undone } else { Outcome::AlreadyGone });
        }
        let cause = deleted.err().unwrap_or_else(|| io::Error::other("our resolver is listed still"));
        let error = Error::system("take our servers from", "resolvconf", self.program.display(), cause);
        Err(error.with_hint("write the name servers of your network to /etc/resolv.conf"))
    }

    /// Whether resolv.conf has one of our resolvers in force.
    pub(super) fn is_listed(&self) -> bool {
        text::lists_any(&read(Path::new(SYSTEM_FILE)), &self.resolvers)
    }

    /// Whether the record is there; `None` where the records are kept at another place than usual.
    fn is_recorded(&self) -> Option<bool> {
        let mut folders = RECORD_DIRS.iter().map(Path::new).filter(|folder| folder.is_dir()).peekable();
        folders.peek()?;
        Some(folders.any(|folder| folder.join(&self.record).exists()))
    }
}
