//! WireGuard keys as text and in files: 32 bytes in base64, as `wg genkey` writes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::secret::SecretKey;

/// Longest key file that is read, in bytes: 44 characters of base64 and generous white space.
const MAX_KEY_FILE: u64 = 4096;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error("not base64")]
    Base64,
    /// Base64 of another length.
    #[error("{0} bytes instead of 32")]
    Length(usize),
    /// Only zeros, which is no key.
    #[error("all zeros")]
    Zero,
}

/// Why a private key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is there, but cannot be read.
    #[error("failed to read private key: `{}`: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file holds no key. Its content is not shown.
    #[error("failed to read private key: `{}`: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        error: KeyError,
    },
    /// The file was absent and could not be made.
    #[error("failed to create private key: `{}`: {error}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl KeyFileError {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "run the connector as root, or give its user the right to read the file",
            Self::Content { .. } => {
                "put in what `wg genkey` prints, or move the file away: a new key is made at the next start"
            }
            Self::Create { error, .. } => create_hint(error.kind()),
        }
    }
}

fn create_hint(kind: io::ErrorKind) -> &'static str {
    let hints = [
        (io::ErrorKind::StorageFull, "free some space on that disk"),
        (io::ErrorKind::QuotaExceeded, "free some space on that disk"),
        (io::ErrorKind::ReadOnlyFilesystem, "name a `private_key_file` in a folder that can be written"),
        (io::ErrorKind::NotFound, "create the folder first"),
        (
            io::ErrorKind::PermissionDenied,
            "run the connector as root, or name a folder that its user may write",
        ),
    ];
    let known = hints.iter().find(|(of, _)| *of == kind);
    known.map_or("create it by hand: `umask 077; wg genkey > FILE`", |(_, hint)| hint)
}

/// Reads a key of 32 bytes from base64.
///
/// # Errors
/// When it is no base64, has another length, or is all zeros.
pub fn parse_key(text: &str) -> Result<[u8; 32], KeyError> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Base64)?);
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyError::Length(bytes.len()))?;
    if key == [0; 32] {
        return Err(KeyError::Zero);
    }
    Ok(key)
}

/// The text of a key, as `wg` prints it.
#[must_use]
pub fn format_key(key: &[u8; 32]) -> String {
    STANDARD.encode(key)
}

/// Reads the private key at `path`, or makes one there when nothing is: readable by its owner only (0600), base64.
///
/// # Errors
/// When the file cannot be read or made, or holds no key.
pub fn load_or_create_private_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    match read_private_key(path) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => create_private_key(path),
        Err(error) => Err(error),
    }
}

/// Reads the private key at `path`; `None` when no file is there.
///
/// # Errors
/// When the file cannot be read or holds no key.
pub fn read_private_key(path: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    let read = || -> io::Result<Zeroizing<String>> {
        let length = fs::metadata(path)?.len();
        if length > MAX_KEY_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too long for a key"));
        }
        fs::read_to_string(path).map(Zeroizing::new)
    };
    match read() {
        Ok(text) => match parse_key(&text) {
            Ok(key) => Ok(Some(SecretKey::new(key))),
            Err(error) => Err(KeyFileError::Content { path: path.to_owned(), error }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyFileError::Read { path: path.to_owned(), error }),
    }
}

fn create_private_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let key =
        generate_private_key().map_err(|error| KeyFileError::Create { path: path.to_owned(), error })?;
    let text = Zeroizing::new(format!("{}\n", format_key(key.reveal())));
    write_new(path, text.as_bytes())
        .map_err(|error| KeyFileError::Create { path: path.to_owned(), error })?;
    Ok(key)
}

/// 32 random bytes, clamped as X25519 wants them (RFC 7748 section 5), so that the file equals `wg genkey`'s.
fn generate_private_key() -> io::Result<SecretKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(io::Error::other)?;
    bytes[0] &= 248;
    bytes[31] = (bytes[31] & 127) | 64;
    Ok(SecretKey::new(*bytes))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    platform::secret_file::create(path, content).map_err(|error| match error {
        platform::Error::System { source, .. } => source,
        locked @ platform::Error::Locked { .. } => io::Error::other(locked),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn makes_a_key_once_and_reads_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hq.key");
        let made = load_or_create_private_key(&path).unwrap();
        let again = load_or_create_private_key(&path).unwrap();
        assert_eq!(made, again);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 45);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!((made.reveal()[0] & 7, made.reveal()[31] & 0xc0), (0, 0x40));
    }

    #[test]
    fn wrong_content_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hq.key");
        for content in ["hunter2", "", "aGVsbG8=", &format_key(&[0; 32]), &"x".repeat(10_000)] {
            fs::write(&path, content).unwrap();
            let error = load_or_create_private_key(&path).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn a_folder_that_is_absent_is_named() {
        let error = load_or_create_private_key(Path::new("/nonexistent/folder/hq.key")).unwrap_err();
        assert!(error.to_string().starts_with("failed to create private key: `/nonexistent/folder/hq.key`"));
        assert_eq!(error.hint(), "create the folder first");
    }

    #[test]
    fn keys_are_32_bytes_of_base64() {
        let key = [9; 32];
        assert_eq!(parse_key(&format_key(&key)), Ok(key));
        assert_eq!(parse_key("…"), Err(KeyError::Base64));
        assert_eq!(parse_key("aGVsbG8="), Err(KeyError::Length(5)));
        assert_eq!(parse_key(&format_key(&[0; 32])), Err(KeyError::Zero));
    }
}
