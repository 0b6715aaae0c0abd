//! Files that only their owner may read: made whole or not at all, and told when others can read them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use crate::Error;

/// Bits of a file's mode that let its group or everybody read or write.
const OTHERS: u32 = 0o066;

/// Makes a new file of mode 0600 with these contents; it appears whole, or not at all, and is on the disk then.
///
/// # Errors
/// The file exists already (`AlreadyExists`), or its folder cannot be written.
pub fn create(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::system("create", "file", path.display(), source);
    let temporary = path.with_added_extension(format!("{}.new", std::process::id()));
    let result = write(&temporary, contents).and_then(|()| fs::hard_link(&temporary, path));
    // A hard link, unlike a rename, never replaces what another program made meanwhile.
    let _ = fs::remove_file(&temporary);
    result.map_err(fail)?;
    sync_parent(path).map_err(fail)
}

/// Makes a file of mode 0600 with these contents, or puts them in place of another's; whole, or not at all.
///
/// # Errors
/// Its folder cannot be written, or the disk is full.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let temporary = path.with_added_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&temporary); // left by a process of the same number that was killed
    let result = write(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
        .and_then(|()| sync_parent(path))
        .map_err(|source| Error::system("write", "file", path.display(), source))
}

/// Whether the file's group or everybody can read or write it.
///
/// # Errors
/// There is no such file.
pub fn others_can_read(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.mode() & OTHERS != 0)
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Puts a new name in a folder onto the disk (fsync(2): a file's own fsync does not).
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn file_is_for_its_owner_only_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hq.key");
        create(&path, b"first").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!others_can_read(&path).unwrap());
        assert!(create(&path, b"second").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        replace(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(others_can_read(&path).unwrap());
    }
}
