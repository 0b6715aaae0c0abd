//! Facts about the device's security, one file a subject: what was seen, or why it cannot be known. Nothing is judged here.
//!
//! Everything but the firewall is read below a given folder, which is `/` but for tests. Nothing here asks a shell.

pub mod encryption;
pub mod firewall;
pub mod screen_lock;
pub mod secure_boot;
pub mod software;
pub mod system;
pub mod trust;
pub mod updates;

use std::fs;
use std::path::Path;

/// A fact, or why it is not known.
pub type Fact<T> = Result<T, Unknown>;

/// Why a fact is not known, as a sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub String);

impl Unknown {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Largest file of the system that is read as a whole, in bytes: the list of mounts of a host with many containers.
const LARGEST_FILE: u64 = 4 << 20;

/// The text of a file of the system; one that is too long is not read at all.
fn read(path: &Path) -> Fact<String> {
    let failed =
        |error: std::io::Error| Unknown::new(format!("failed to read file: `{}`: {error}", path.display()));
    if fs::metadata(path).map_err(failed)?.len() > LARGEST_FILE {
        return Err(Unknown::new(format!("failed to read file: `{}`: it is too long", path.display())));
    }
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed)
}
