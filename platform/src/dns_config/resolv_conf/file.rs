//! Reading and writing the file itself, so that a kill at any moment leaves a state that can be told.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Symbolic links that are followed one after the other (Linux's own limit, path_resolution(7)).
const LONGEST_CHAIN: usize = 40;

/// The file that a chain of symbolic links leads to; it need not exist, but its folder must.
pub(super) fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            // What is no link, or does not exist, is where the chain ends.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                return with_real_folder(&path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// The text, or `None` where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the text in place: first written over, then cut to length, so that it is never empty in between.
pub(super) fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)?;
    file.sync_data()
}

/// Makes the file, readable for everybody.
pub(super) fn create(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_data()
}

/// What [`overwrite`] leaves when it is killed before the cut.
pub(super) fn half_written(new: &str, old: &str) -> String {
    let rest = old.as_bytes().get(new.len()..).unwrap_or_default();
    format!("{new}{}", String::from_utf8_lossy(rest))
}

fn with_real_folder(path: &Path) -> io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(fs::canonicalize(folder)?.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_to_a_file_that_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("run")).unwrap();
        symlink("second", root.join("first")).unwrap();
        symlink("run/target", root.join("second")).unwrap();
        assert_eq!(follow_links(&root.join("first")).unwrap(), root.join("run/target"));
        assert_eq!(follow_links(&root.join("none")).unwrap(), root.join("none"));
        symlink("nowhere/target", root.join("dangling")).unwrap();
        assert_eq!(follow_links(&root.join("dangling")).unwrap_err().kind(), io::ErrorKind::NotFound);
        symlink("loop", root.join("loop")).unwrap();
        assert!(follow_links(&root.join("loop")).is_err());
    }

    #[test]
    fn overwriting_keeps_the_inode_and_leaves_exactly_the_new_text() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "a longer text than the next").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        for text in ["short", "long again, longer", ""] {
            overwrite(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }
}
