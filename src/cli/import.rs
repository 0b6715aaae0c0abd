//! `import`: a wg-quick configuration as a configuration of the connector.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use platform::secret_file;
use zeroize::Zeroizing;

use super::output;
use crate::config::keys::format_key;
use crate::error::{Exit, Failure};
use crate::import::{Imported, PresharedKeys, convert};

/// Longest file that is imported, in bytes: thousands of peers, yet nothing that fills the memory.
const MAX_FILE: u64 = 1 << 20;

/// Reads `file` and prints the configuration without any key, or writes it to `target` and the private key beside it.
pub(super) fn import(file: &Path, target: Option<&Path>) -> anyhow::Result<ExitCode> {
    let text = read(file)?;
    let imported = convert(file, &text)?;
    for warning in &imported.warnings {
        output::complain(&warning.to_string());
    }
    match target {
        Some(target) => write(&imported, target)?,
        None => print(&imported),
    }
    Ok(Exit::Success.into())
}

fn read(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let fail = |cause: String| {
        Failure::new(Exit::Failure, format!("failed to read file: `{}`: {cause}", file.display()))
    };
    let length = fs::metadata(file).map_err(|error| fail(error.to_string()))?.len();
    if length > MAX_FILE {
        return Err(fail("too long for a configuration".to_owned()).hint("name the file of one interface"));
    }
    match fs::read_to_string(file) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure { exit: Exit::NotPermitted, ..fail(error.to_string()) }
                .hint("run as root, or as the owner of the file"))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(fail("not UTF-8".to_owned()).hint("save it as UTF-8"))
        }
        Err(error) => Err(fail(error.to_string())),
    }
}

fn print(imported: &Imported) {
    output::line(&imported.to_toml(PresharedKeys::LeftOut));
    let what = if imported.has_preshared_key() { "keys are" } else { "key is" };
    output::complain(&format!(
        "the secret {what} not printed: use `--output FILE`, or put the private key into `{}` beside the configuration, \
         readable for its owner only",
        imported.key_file()
    ));
}

/// The key first: a configuration without its key would make a new one at the first start.
fn write(imported: &Imported, target: &Path) -> anyhow::Result<()> {
    let key_file = target.with_file_name(imported.key_file());
    for path in [target, &key_file] {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path).into());
        }
    }
    let key = Zeroizing::new(format!("{}\n", format_key(imported.private_key.reveal())));
    secret_file::create(&key_file, key.as_bytes()).context("failed to write the private key")?;
    let text = Zeroizing::new(imported.to_toml(PresharedKeys::Written));
    if let Err(error) = secret_file::create(target, text.as_bytes()) {
        // We made it a moment ago; without its configuration it is only a secret too many.
        let _ = fs::remove_file(&key_file);
        return Err(anyhow::Error::new(error).context("failed to write the configuration"));
    }
    output::line(&format!(
        "wrote `{}` and the private key `{}`\ncheck them: openztna-client-connector config validate --config {}",
        target.display(),
        key_file.display(),
        target.display()
    ));
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::Failure, format!("failed to create file: `{}`: it exists already", path.display()))
        .hint("name another file, or move this one away")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Config, Sources};

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wg-quick/road-warrior.conf")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn configuration_and_key_are_written_for_their_owner_only_and_load() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("client.toml");
        import(&fixture(), Some(&target)).unwrap();
        assert_eq!(names(folder.path()), ["client.toml", "road-warrior.key"]);
        for name in names(folder.path()) {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let config = Config::load(&Sources { file: target, ..Sources::default() }).unwrap();
        assert_eq!(config.warnings, []);
        let key = crate::config::keys::read_private_key(&config.gateways[0].private_key_file).unwrap();
        let expected = convert(&fixture(), &fs::read_to_string(fixture()).unwrap()).unwrap().private_key;
        assert_eq!(key, Some(expected));
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_behind() {
        for taken in ["client.toml", "road-warrior.key"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(taken), "mine").unwrap();
            let error = import(&fixture(), Some(&folder.path().join("client.toml"))).unwrap_err();
            assert!(error.to_string().ends_with("it exists already"), "{error}");
            assert_eq!(names(folder.path()), [taken]);
            assert_eq!(fs::read_to_string(folder.path().join(taken)).unwrap(), "mine");
        }
    }

    #[test]
    fn a_key_without_its_configuration_is_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        let imported = convert(&fixture(), &fs::read_to_string(fixture()).unwrap()).unwrap();
        // A name that is too long for the file system, though its folder takes the key.
        let target = folder.path().join("x".repeat(300));
        assert!(write(&imported, &target).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_is_absent_or_no_text_is_named() {
        let error = import(Path::new("/nonexistent/wg0.conf"), None).unwrap_err();
        assert!(error.to_string().starts_with("failed to read file: `/nonexistent/wg0.conf`: "), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [0xff, 0xfe, b'[', 0]).unwrap();
        assert!(import(file.path(), None).unwrap_err().to_string().ends_with("not UTF-8"));
    }
}
