//! The addresses that names had last, kept for a start at which no DNS server answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file.
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("endpoints.json") }
    }

    /// What was saved; nothing when there is nothing, or nothing of use.
    pub(super) fn load(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let Ok(text) = std::fs::read(&self.path) else { return BTreeMap::new() };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!("the file of gateways' addresses cannot be read, a new one is begun: {error}");
            BTreeMap::new()
        })
    }

    /// Keeps them: all or nothing of it.
    ///
    /// # Errors
    /// When the folder cannot be written, or the disk is full.
    pub(super) fn save(&self, names: &BTreeMap<&str, &[IpAddr]>) -> anyhow::Result<()> {
        let text = serde_json::to_vec(names).context("failed to write the gateways' addresses")?;
        platform::secret_file::replace(&self.path, &text).context("failed to save the gateways' addresses")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn addresses_come_back_and_garbage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.load().is_empty());
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        for names in [["vpn.example.com", "b.example.com"], ["vpn.example.com", "c.example.com"]] {
            let names: BTreeMap<&str, &[IpAddr]> = names.map(|name| (name, &addresses[..])).into();
            store.save(&names).unwrap();
        }
        let names: Vec<String> = store.load().into_keys().collect();
        assert_eq!(names, ["c.example.com", "vpn.example.com"]);
        assert_eq!(store.load()["vpn.example.com"], addresses);
        assert_eq!(std::fs::metadata(&store.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::write(&store.path, "garbage").unwrap();
        assert!(store.load().is_empty());
    }
}
