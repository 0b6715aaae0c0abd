//! Whether the firmware starts signed systems only.

use std::fs;
use std::path::Path;

use super::{Fact, Unknown};

/// The firmware's variable `SecureBoot` (UEFI 2.10, section 3.3): four octets of attributes, then 1 or 0.
const VARIABLE: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Whether secure boot is on.
///
/// # Errors
/// The system was not started by UEFI, or its variables cannot be read.
pub fn secure_boot(root: &Path) -> Fact<bool> {
    if !root.join("sys/firmware/efi").exists() {
        return Err(Unknown::new("the system was not started by UEFI, or hides its firmware"));
    }
    match fs::read(root.join(VARIABLE)) {
        Ok(bytes) => Ok(bytes.get(4) == Some(&1)),
        Err(error) => Err(Unknown::new(format!("failed to read variable: `SecureBoot`: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_tells_and_its_absence_is_no_answer() {
        let root = tempfile::tempdir().unwrap();
        assert!(secure_boot(root.path()).unwrap_err().to_string().contains("UEFI"));
        let variable = root.path().join(VARIABLE);
        fs::create_dir_all(variable.parent().unwrap()).unwrap();
        assert!(secure_boot(root.path()).is_err());
        for (bytes, is_on) in [(&[6, 0, 0, 0, 1][..], true), (&[6, 0, 0, 0, 0], false), (&[], false)] {
            fs::write(&variable, bytes).unwrap();
            assert_eq!(secure_boot(root.path()), Ok(is_on));
        }
    }
}
