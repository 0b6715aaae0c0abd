//! A rewrite of resolv.conf as it stands in the journal, and how it is taken back.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::file;
use crate::{Error, undo::Outcome};

/// A rewrite of the file: what it was and what we made of it, word for word.
///
/// The former text is put back only over our own, so that it is never a stale copy: whoever has news about the servers
/// writes the file, and from then on it is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvConfChange {
    /// The file, behind all symbolic links.
    pub path: PathBuf,
    /// What we write.
    pub ours: String,
    /// What stood there when we planned; `None` where there was no file.
    pub found: Option<String>,
    /// What is to stand there afterwards: the same, but for a file that an earlier instance left behind.
    pub original: Option<String>,
}

impl ResolvConfChange {
    /// Puts the former text back, if the file is as we wrote it or as a crash in the midst of writing left it.
    ///
    /// # Errors
    /// Immutable, read-only or full: with a hint.
    pub fn undo(&self) -> Result<Outcome, Error> {
        let failed = |source| write_error(&self.path, source);
        let present = file::read(&self.path).map_err(failed)?;
        if present == self.original {
            return Ok(Outcome::AlreadyGone);
        }
        let Some(present) = present else { return Ok(Outcome::LeftAlone) };
        if !self.is_ours(&present) {
            return Ok(Outcome::LeftAlone);
        }
        match &self.original {
            Some(original) => file::overwrite(&self.path, original),
            None => std::fs::remove_file(&self.path),
        }
        .map_err(failed)?;
        Ok(Outcome::Undone)
    }

    fn is_ours(&self, present: &str) -> bool {
        if present == self.ours {
            return true;
        }
        // A kill between the write and the cut to length: the new text with the rest of the old one behind it.
        let original = self.original.as_deref().unwrap_or_default();
        let found = self.found.as_deref().unwrap_or_default();
        let halfway_in = file::half_written(&self.ours, found);
        let halfway_out = file::half_written(original, &self.ours);
        let just_made = self.found.is_none() && present.is_empty();
        present == halfway_in || present == halfway_out || just_made
    }
}

pub(super) fn write_error(path: &Path, source: io::Error) -> Error {
    let hint = match source.raw_os_error() {
        Some(libc::EPERM) => Some("the file may be immutable: see lsattr, and chattr -i"),
        Some(libc::EROFS) => {
            Some("the file is on a read-only disk: make it writable, or set the DNS mode to off")
        }
        Some(libc::EACCES) => Some("run as root"),
        Some(libc::ENOSPC | libc::EDQUOT) => Some("the disk is full: free some space"),
        _ => None,
    };
    let error = Error::system("write", "DNS settings", path.display(), source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ORIGINAL: &str = "nameserver 192.0.2.53\nsearch a.example\n";
    const OURS: &str = "# ours\nnameserver 100.100.0.1\n";

    fn change(folder: &Path, original: Option<&str>) -> ResolvConfChange {
        let original = original.map(str::to_owned);
        ResolvConfChange {
            path: folder.join("resolv.conf"),
            ours: OURS.into(),
            found: original.clone(),
            original,
        }
    }

    #[test]
    fn former_text_comes_back_over_ours_only() {
        let folder = tempfile::tempdir().unwrap();
        let change = change(folder.path(), Some(ORIGINAL));
        fs::write(&change.path, OURS).unwrap();
        assert_eq!(change.undo().unwrap(), Outcome::Undone);
        assert_eq!(fs::read_to_string(&change.path).unwrap(), ORIGINAL);
        assert_eq!(change.undo().unwrap(), Outcome::AlreadyGone);
        fs::write(&change.path, "nameserver 198.51.100.1\n").unwrap();
        assert_eq!(change.undo().unwrap(), Outcome::LeftAlone);
        assert_eq!(fs::read_to_string(&change.path).unwrap(), "nameserver 198.51.100.1\n");
        fs::remove_file(&change.path).unwrap();
        assert_eq!(change.undo().unwrap(), Outcome::LeftAlone);
        assert!(!change.path.exists());
    }

    #[test]
    fn half_written_file_is_ours_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let change = change(folder.path(), Some(ORIGINAL));
        for halfway in [file::half_written(OURS, ORIGINAL), file::half_written(ORIGINAL, OURS)] {
            fs::write(&change.path, halfway).unwrap();
            change.undo().unwrap();
            assert_eq!(fs::read_to_string(&change.path).unwrap(), ORIGINAL);
        }
    }

    #[test]
    fn file_that_was_not_there_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let change = change(folder.path(), None);
        assert_eq!(change.undo().unwrap(), Outcome::AlreadyGone);
        for present in [OURS, ""] {
            fs::write(&change.path, present).unwrap();
            assert_eq!(change.undo().unwrap(), Outcome::Undone);
            assert!(!change.path.exists());
        }
    }
}
