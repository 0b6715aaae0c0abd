//! A file that is put aside when it is full; so many former ones are kept, and for so long.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Octets of one file.
const MOST: u64 = 10 << 20;
/// Former files that are kept.
const FORMER: u32 = 5;
/// How long they are kept.
const AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A file that rotates.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    most: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    /// Device and inode, so that a file that another program moved away is left to it.
    identity: (u64, u64),
}

impl Rotating {
    /// Nothing is opened before something is written.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), most: MOST, open: None }
    }

    /// Writes a text whole into one file.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        let is_full = self.open.as_ref().is_some_and(|open| open.length + text.len() as u64 > self.most);
        if is_full {
            self.open = None;
            self.rotate()?;
        }
        let open = self.opened()?;
        let written = open.file.write_all(text.as_bytes());
        open.length += text.len() as u64;
        if written.is_err() {
            self.open = None; // the next attempt begins anew
        }
        written
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let there = fs::metadata(&self.path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let open = match self.open.take() {
            Some(open) if there == Some(open.identity) => open,
            Some(_) | None => {
                self.remove_old();
                self.open_anew()?
            }
        };
        Ok(self.open.insert(open))
    }

    fn open_anew(&self) -> io::Result<Open> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
        let metadata = file.metadata()?;
        Ok(Open { file, length: metadata.len(), identity: (metadata.dev(), metadata.ino()) })
    }

    /// `log` becomes `log.1`, that `log.2`, and so on; the last one goes.
    fn rotate(&self) -> io::Result<()> {
        for number in (1..FORMER).rev() {
            let _ = fs::rename(self.former(number), self.former(number + 1)); // there may be none
        }
        fs::rename(&self.path, self.former(1))
    }

    fn remove_old(&self) {
        let now = SystemTime::now();
        for path in (1..=FORMER).map(|number| self.former(number)) {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > AGE) {
                let _ = fs::remove_file(&path); // tried again at the next rotation
            }
        }
    }

    fn former(&self, number: u32) -> PathBuf {
        self.path.with_added_extension(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_put_aside_and_the_last_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.log");
        let mut file = Rotating { most: 10, ..Rotating::new(&path) };
        for number in 0..9 {
            file.write(&format!("line-{number}\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line-8\n");
        assert_eq!(fs::read_to_string(file.former(1)).unwrap(), "line-7\n");
        assert_eq!(fs::read_to_string(file.former(FORMER)).unwrap(), "line-3\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count() as u32, FORMER + 1);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !0o640, 0);
    }

    #[test]
    fn old_files_go_and_a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.log");
        let mut file = Rotating::new(&path);
        file.write("a\n").unwrap();
        fs::rename(&path, file.former(2)).unwrap();
        let moved = File::options().write(true).open(file.former(2)).unwrap();
        moved.set_modified(SystemTime::now() - AGE - Duration::from_secs(60)).unwrap();
        file.write("b\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
        assert!(!file.former(2).exists());
    }
}
