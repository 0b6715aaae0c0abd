//! What the demo makes in a folder of its own: keys, and the configurations of a gateway and of connectors.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use platform::lock::FileLock;

use super::intranet::Intranet;
use super::zone::ZONE;
use crate::config::keys::{format_key, load_or_create_private_key};

/// First part of the folder's name.
const PREFIX: &str = "openztna-demo-";
/// Where the gateway answers names, and what it answers with: its defaults.
const GATEWAY_NAMES: Ipv4Addr = Ipv4Addr::new(100, 127, 0, 1);
const GATEWAY_POOL: &str = "100.127.0.0/16";

/// A connector's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Without root, by the proxies.
    Laptop,
    /// A network of its own with a TUN.
    Device,
}

impl Role {
    pub(super) const ALL: [Self; 2] = [Self::Laptop, Self::Device];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Laptop => "laptop",
            Self::Device => "device",
        }
    }

    fn address(self) -> Ipv4Addr {
        match self {
            Self::Laptop => Ipv4Addr::new(10, 99, 0, 2),
            Self::Device => Ipv4Addr::new(10, 99, 0, 3),
        }
    }
}

/// The folder, which is removed when this is dropped.
pub(super) struct World {
    folder: tempfile::TempDir,
    _lock: FileLock,
}

/// Ports that the connector without root listens on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) socks: u16,
    pub(super) http: u16,
    pub(super) pac: u16,
}

impl World {
    /// Makes the folder, after removing those that killed demos left.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub(super) fn make() -> anyhow::Result<Self> {
        remove_leftovers();
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir();
        let folder = folder.context("failed to make a folder for the demo")?;
        let lock = FileLock::of_instance(folder.path())?;
        Ok(Self { folder, _lock: lock })
    }

    /// The folder of that name, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("failed to make folder: `{name}`"))?;
        Ok(path)
    }

    /// Writes `gateway.toml` and gives its path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write_gateway(&self, listen: SocketAddr, intranet: &Intranet) -> anyhow::Result<PathBuf> {
        let folder = self.folder("gateway")?;
        self.public_key("gateway")?; // made now, not by two threads at one time
        let mut text = format!(
            "listen = [\"{listen}\"]\nprivate_key_file = \"gateway.key\"\ndns = [\"{}\"]\naudit_file = \"audit.jsonl\"\nlog_level = \"warn\"\n\n",
            intranet.zone.address
        );
        for role in Role::ALL {
            let key = self.public_key(role.name())?;
            text.push_str(&format!(
                "[[peer]]\nname = \"{}\"\npublic_key = \"{key}\"\nallowed_ips = [\"{}/32\"]\napplications = [\"wiki\", \"echo\"]\n\n",
                role.name(),
                role.address()
            ));
        }
        // the intranet lives on loopback, which a gateway never dials unless an application lists it
        let applications = [
            ("wiki", format!("\"tcp/{}\", \"tcp/{}\"", intranet.web, intranet.stream)),
            ("echo", format!("\"tcp/{0}\", \"udp/{0}\"", intranet.echo)),
        ];
        for (name, ports) in applications {
            text.push_str(&format!(
                "[[application]]\nname = \"{name}\"\nhosts = [\"{name}.{ZONE}\", \"127.0.0.1\"]\nports = [{ports}]\n\n"
            ));
        }
        write(&folder.join("gateway.toml"), &text)
    }

    /// Writes a connector's configuration and gives its path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write_connector(
        &self,
        role: Role,
        gateway: SocketAddr,
        intranet: &Intranet,
        ports: Option<Ports>,
    ) -> anyhow::Result<PathBuf> {
        let folder = self.folder(role.name())?;
        let mut text = match ports {
            Some(ports) => format!(
                "[proxy]\nsocks_proxy = true\nsocks_port = {}\nhttp_proxy = true\nhttp_port = {}\n\n[api]\nport = {}\n\n",
                ports.socks, ports.http, ports.pac
            ),
            None => {
                "[proxy]\nsocks_proxy = false\nhttp_proxy = false\n\n[api]\nenabled = false\n\n".to_owned()
            }
        };
        text.push_str("[server]\nlog_level = \"warn\"\n\n");
        text.push_str(&format!(
            "[[gateway]]\nname = \"demo\"\npublic_key = \"{}\"\nendpoint = \"{gateway}\"\naddress = [\"{}/32\"]\nallowed_ips = [\"{GATEWAY_POOL}\"]\nprivate_key_file = \"{}.key\"\ndns = [\"{GATEWAY_NAMES}\"]\n\n",
            self.public_key("gateway")?,
            role.address(),
            role.name(),
        ));
        let applications = [
            ("wiki", format!("\"tcp/{}\", \"tcp/{}\"", intranet.web, intranet.stream)),
            ("echo", format!("\"tcp/{0}\", \"udp/{0}\"", intranet.echo)),
            ("payroll", format!("\"tcp/{}\"", intranet.echo)),
        ];
        for (name, ports) in applications {
            text.push_str(&format!(
                "[[application]]\nname = \"{name}\"\nhost = \"{name}.{ZONE}\"\nports = [{ports}]\ngateway = \"demo\"\n\n"
            ));
        }
        write(&folder.join("client-connector.toml"), &text)
    }

    /// The public key of the one of that name, whose private key is made if it is not there.
    fn public_key(&self, name: &str) -> anyhow::Result<String> {
        let file = self.folder(name)?.join(format!("{name}.key"));
        let key = load_or_create_private_key(&file)?;
        Ok(format_key(&netstack::wireguard::public_key(*key.reveal())))
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    std::fs::write(path, text).with_context(|| format!("failed to write file: `{}`", path.display()))?;
    Ok(path.to_path_buf())
}

/// A demo that was killed could not remove its folder; whoever still runs holds its lock.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let is_of_demo = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_of_demo && is_our_folder(&entry) && !FileLock::is_instance_running(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path()); // what cannot be removed now stays for the next demo
        }
    }
}

/// Others may put anything into the folder of temporary files.
fn is_our_folder(entry: &std::fs::DirEntry) -> bool {
    let us = platform::privileges::user();
    entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == us)
}
