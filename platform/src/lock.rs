//! One connector per state folder: a lock that the kernel drops with the process, however it ends.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// How often a lock that another process holds is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The file in a state folder whose lock the running instance holds.
const INSTANCE: &str = "connector.lock";

/// How long an instance that was killed may still hold its lock: the kernel tears down its TUN first, which waits for
/// all processors.
const LETTING_GO: Duration = Duration::from_secs(2);

/// A lock on a file, which the kernel drops with the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of a connector's state folder, which is made if it is missing. Others may pass through the folder
    /// to the control socket, but not look into it (0711). Waits a moment for an instance that was killed: the kernel
    /// lets go of its lock after its TUN, and that takes some time.
    ///
    /// # Errors
    /// [`Error::Locked`] names the process that holds it; otherwise the folder or file cannot be made or written.
    pub fn of_instance(state_dir: &Path) -> Result<Self, Error> {
        let fail = |source| state_error(state_dir, source);
        fs::DirBuilder::new().recursive(true).mode(0o711).create(state_dir).map_err(fail)?;
        Self::acquire(&state_dir.join(INSTANCE), LETTING_GO)
    }

    /// Whether somebody holds the lock of a state folder now; a folder that cannot be looked into counts as held.
    pub fn is_instance_running(state_dir: &Path) -> bool {
        Self::acquire(&state_dir.join(INSTANCE), Duration::ZERO).is_err()
    }

    /// Takes the lock of a file, made if it is missing, and leaves our process number in it.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process holds it for longer than `patience`.
    pub fn acquire(path: &Path, patience: Duration) -> Result<Self, Error> {
        let fail = |source| state_error(path, source);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        let deadline = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    thread::sleep(RETRY_INTERVAL)
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(locked(path, &mut file)),
                Err(error) => return Err(fail(error.into())),
            }
        }
        file.set_len(0).map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

fn locked(path: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let known = file.read_to_string(&mut holder).is_ok() && holder.trim().parse::<u32>().is_ok();
    let holder = if known { holder.trim().to_owned() } else { "?".to_owned() };
    Error::Locked { path: path.display().to_string(), holder }
}

fn state_error(path: &Path, source: io::Error) -> Error {
    let hint = match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => "run as root, or set OPENZTNA_STATE_DIR to a folder of your own",
        Some(libc::ENOSPC | libc::EDQUOT) => "the disk is full: free some space",
        Some(libc::EROFS) => "the disk is read-only: set OPENZTNA_STATE_DIR to a folder that can be written",
        _ => "set OPENZTNA_STATE_DIR to a folder that can be written",
    };
    Error::system("use", "state", path.display(), source).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_instance_is_told_who_holds_the_lock_and_gets_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let lock = FileLock::of_instance(&state).unwrap();
        let error = FileLock::of_instance(&state).unwrap_err();
        let own = std::process::id().to_string();
        assert!(matches!(&error, Error::Locked { holder, .. } if *holder == own), "{error}");
        assert!(error.hint().unwrap().contains("OPENZTNA_STATE_DIR"));
        drop(lock);
        FileLock::of_instance(&state).unwrap();
    }

    #[test]
    fn patience_outlasts_a_short_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::acquire(&path, Duration::ZERO).unwrap();
        let thread = thread::spawn(move || FileLock::acquire(&path, Duration::from_secs(60)).map(drop));
        thread::sleep(RETRY_INTERVAL * 3);
        drop(held);
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn state_folder_that_cannot_be_made_is_a_clear_error() {
        let error = FileLock::of_instance(Path::new("/proc/none/state")).unwrap_err();
        assert_eq!(error.to_string(), "failed to use state: `/proc/none/state`");
        assert!(error.hint().is_some());
    }
}
