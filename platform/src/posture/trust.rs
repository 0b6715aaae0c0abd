//! Whether a file can only have been written by an administrator: it, every folder above it, and every link on the way.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on one path (as the kernel's own `MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// Group and others may write.
const WRITABLE: u32 = 0o022;
/// In such a folder nobody removes or renames what is another's.
const STICKY: u32 = 0o1000;

/// Why a file is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It is not there, or may not be looked at.
    #[error("failed to look at `{}`: {error}", path.display())]
    Unseen {
        /// What.
        path: PathBuf,
        /// The system's word.
        error: String,
    },
    /// Somebody else owns it, and could change it at any time.
    #[error("`{}` belongs to user {owner}, not to an administrator", path.display())]
    Owner {
        /// What.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others than its owner may write to it.
    #[error("others than its owner may write to `{}`", .0.display())]
    Writable(PathBuf),
    /// It is no file, or the path is not absolute.
    #[error("`{}` is not the full path of a file", .0.display())]
    NoFile(PathBuf),
}

impl Untrusted {
    /// What an administrator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unseen { .. } => "check the path, and that the connector may read it".to_owned(),
            Self::Owner { path, .. } => format!("sudo chown root:root '{}'", path.display()),
            Self::Writable(path) => format!("sudo chmod go-w '{}'", path.display()),
            Self::NoFile(_) => "give the full path of a file".to_owned(),
        }
    }
}

/// Follows `path` and looks at everything on the way. Root's things are trusted, and those of the user that this process
/// runs as. Answers with the file's real path.
///
/// # Errors
/// The first thing on the way that another user owns or may write to.
pub fn trusted(path: &Path) -> Result<PathBuf, Untrusted> {
    if !path.is_absolute() {
        return Err(Untrusted::NoFile(path.to_owned()));
    }
    let own = rustix::process::geteuid().as_raw();
    let mut walk = Walk { own, links: 0, at: PathBuf::from("/") };
    walk.look(&fs::symlink_metadata("/").map_err(|error| unseen(Path::new("/"), &error))?)?;
    walk.follow(path)?;
    match fs::metadata(&walk.at) {
        Ok(metadata) if metadata.is_file() => Ok(walk.at),
        Ok(_) => Err(Untrusted::NoFile(walk.at)),
        Err(error) => Err(unseen(&walk.at, &error)),
    }
}

struct Walk {
    own: u32,
    links: usize,
    /// Real path so far.
    at: PathBuf,
}

impl Walk {
    fn follow(&mut self, path: &Path) -> Result<(), Untrusted> {
        for component in path.components() {
            match component {
                Component::RootDir => self.at = PathBuf::from("/"),
                Component::ParentDir => {
                    self.at.pop();
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) => self.enter(Path::new(name))?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, name: &Path) -> Result<(), Untrusted> {
        let next = self.at.join(name);
        let metadata = fs::symlink_metadata(&next).map_err(|error| unseen(&next, &error))?;
        if metadata.is_symlink() {
            self.links += 1;
            self.look_at_owner(&next, &metadata)?;
            let target = fs::read_link(&next).map_err(|error| unseen(&next, &error))?;
            return match self.links > MOST_LINKS {
                true => Err(Untrusted::NoFile(next)),
                false => self.follow(&target),
            };
        }
        self.at = next;
        self.look(&metadata)
    }

    fn look(&self, metadata: &Metadata) -> Result<(), Untrusted> {
        self.look_at_owner(&self.at, metadata)?;
        let is_kept_apart = metadata.is_dir() && metadata.mode() & STICKY != 0;
        match metadata.mode() & WRITABLE != 0 && !is_kept_apart {
            true => Err(Untrusted::Writable(self.at.clone())),
            false => Ok(()),
        }
    }

    fn look_at_owner(&self, path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        let owner = metadata.uid();
        match owner == 0 || owner == self.own {
            true => Ok(()),
            false => Err(Untrusted::Owner { path: path.to_owned(), owner }),
        }
    }
}

fn unseen(path: &Path, error: &std::io::Error) -> Untrusted {
    Untrusted::Unseen { path: path.to_owned(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::create_dir(real.join("sub")).unwrap();
        fs::write(real.join("sub/check"), "").unwrap();
        set(&real.join("sub"), 0o755);
        set(&real.join("sub/check"), 0o755);
        (folder, real)
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_only_we_can_write_is_trusted_also_behind_links() {
        let (_folder, real) = folder();
        let file = real.join("sub/check");
        assert_eq!(trusted(&file), Ok(file.clone()));
        symlink("sub", real.join("link")).unwrap();
        assert_eq!(trusted(&real.join("link/../link/./check")), Ok(file));
        symlink("loop", real.join("loop")).unwrap();
        assert!(matches!(trusted(&real.join("loop")), Err(Untrusted::NoFile(_))));
    }

    #[test]
    fn a_writable_file_or_folder_is_named_wherever_it_is() {
        let (_folder, real) = folder();
        let file = real.join("sub/check");
        set(&file, 0o757);
        assert_eq!(trusted(&file), Err(Untrusted::Writable(file.clone())));
        set(&file, 0o755);
        set(&real.join("sub"), 0o775);
        assert_eq!(trusted(&file), Err(Untrusted::Writable(real.join("sub"))));
        set(&real.join("sub"), 0o755);
        fs::create_dir(real.join("open")).unwrap();
        set(&real.join("open"), 0o777);
        symlink(&file, real.join("open/link")).unwrap();
        assert_eq!(trusted(&real.join("open/link")), Err(Untrusted::Writable(real.join("open"))));
        set(&real.join("open"), 0o1777);
        assert_eq!(trusted(&real.join("open/link")), Ok(file));
    }

    #[test]
    fn another_users_file_is_not_trusted() {
        if !rustix::process::geteuid().is_root() {
            return; // only root gives files away
        }
        let (_folder, real) = folder();
        let file = real.join("sub/check");
        chown(&file, Some(1234), None).unwrap();
        assert_eq!(trusted(&file), Err(Untrusted::Owner { path: file, owner: 1234 }));
    }

    #[test]
    fn what_is_no_file_is_not_trusted() {
        let (_folder, real) = folder();
        assert!(matches!(trusted(&real.join("gone")), Err(Untrusted::Unseen { .. })));
        assert!(matches!(trusted(&real), Err(Untrusted::NoFile(_))));
        assert!(matches!(trusted(Path::new("check")), Err(Untrusted::NoFile(_))));
    }
}
