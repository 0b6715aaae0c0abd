//! Tells when a file is written, replaced or removed, by inotify.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    path::PathBuf,
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Bytes for the events of one read; more of them come with the next.
const EVENT_BUFFER: usize = 4096;

/// What a folder tells of its files.
const FOLDER_EVENTS: WatchFlags =
    WatchFlags::CLOSE_WRITE.union(WatchFlags::MOVED_TO).union(WatchFlags::CREATE).union(WatchFlags::DELETE);

/// A watch of some files and of the folders they are in; readable when something happened.
#[derive(Debug)]
pub struct FileWatch {
    inotify: OwnedFd,
    paths: Vec<PathBuf>,
    /// Watches of folders in which everything concerns.
    folders: Vec<i32>,
}

impl FileWatch {
    /// Starts to watch. The files may come and go; their folders should be there.
    ///
    /// # Errors
    /// The system has no inotify instances left.
    pub fn new(paths: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let watch = Self { inotify, paths, folders: Vec::new() };
        watch.arm();
        Ok(watch)
    }

    /// Watches everything in some folders as well, which must be there.
    ///
    /// # Errors
    /// The system has no inotify instances left, or a folder is not there.
    pub fn with_folders(paths: Vec<PathBuf>, folders: &[PathBuf]) -> io::Result<Self> {
        let mut watch = Self::new(paths)?;
        for folder in folders {
            let number = inotify::add_watch(&watch.inotify, folder, FOLDER_EVENTS | WatchFlags::ONLYDIR)?;
            watch.folders.push(number);
        }
        Ok(watch)
    }

    /// Takes the events that wait; answers whether one of them concerns one of the files.
    ///
    /// # Errors
    /// The system's, which ends the watch.
    pub fn drain(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BUFFER];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut concerned = false;
        loop {
            match reader.next() {
                Ok(event) => concerned |= self.concerns(&event),
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A file that was replaced is another inode now, on which there is no watch yet.
        self.arm();
        Ok(concerned)
    }

    /// Folders tell of replacement; the file itself of writes where it is a bind mount.
    fn arm(&self) {
        for path in &self.paths {
            let _ = inotify::add_watch(&self.inotify, path, WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY);
            if let Some(folder) = path.parent() {
                let _ = inotify::add_watch(&self.inotify, folder, FOLDER_EVENTS | WatchFlags::ONLYDIR);
            }
        }
    }

    fn concerns(&self, event: &inotify::Event<'_>) -> bool {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return true;
        }
        let Some(name) = event.file_name() else { return true };
        if self.folders.contains(&event.wd()) {
            return true;
        }
        self.paths
            .iter()
            .any(|path| path.file_name().is_some_and(|own| own.as_encoded_bytes() == name.to_bytes()))
    }
}

impl AsFd for FileWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for FileWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writing_replacing_and_removing_are_told_and_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let other = folder.path().join("other");
        fs::write(&path, "a").unwrap();
        let watch = FileWatch::new(vec![path.clone()]).unwrap();
        assert!(!watch.drain().unwrap());
        fs::write(&other, "x").unwrap();
        assert!(!watch.drain().unwrap());
        fs::write(&path, "b").unwrap();
        assert!(watch.drain().unwrap());
        fs::rename(&other, &path).unwrap();
        assert!(watch.drain().unwrap());
        fs::write(&path, "c").unwrap();
        assert!(watch.drain().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(watch.drain().unwrap());
        assert!(!watch.drain().unwrap());
    }

    #[test]
    fn everything_in_a_watched_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        fs::create_dir(&records).unwrap();
        let watch = FileWatch::with_folders(vec![folder.path().join("file")], std::slice::from_ref(&records))
            .unwrap();
        fs::write(folder.path().join("other"), "x").unwrap();
        assert!(!watch.drain().unwrap());
        fs::write(records.join("eth0"), "x").unwrap();
        assert!(watch.drain().unwrap());
    }
}
