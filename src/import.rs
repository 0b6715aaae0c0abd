//! wg-quick configurations as configurations of the connector.

mod entries;
mod interface;
mod peer;
mod render;

use std::path::Path;

use crate::config::{ConfigError, Diagnostic, SecretKey, Severity};
use entries::{Block, Findings, Section};
use interface::Interface;
use peer::Peer;

/// A wg-quick configuration that was read: what [`Imported::to_toml`] writes, and what does not belong there.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Our private key; it belongs into the file [`Imported::key_file`].
    pub private_key: SecretKey,
    /// What was left out or is worth knowing.
    pub warnings: Vec<Diagnostic>,
    name: String,
    interface: Interface,
    peers: Vec<Peer>,
}

/// What becomes of preshared keys, which stand in the configuration itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresharedKeys {
    /// They are written: for a file that only its owner reads.
    Written,
    /// A comment stands in their place.
    LeftOut,
}

/// Reads a wg-quick configuration (wg-quick(8), wg(8)). `path` is how it is called in messages, and gives the gateway
/// its name: `hq` for `hq.conf`.
///
/// # Errors
/// Everything that is wrong or that the connector does not do, with its line; no message holds a key.
pub fn convert(path: &Path, text: &str) -> Result<Imported, ConfigError> {
    let mut findings = Findings::new(path);
    let blocks = entries::read(text, &mut findings);
    let interface = read_interface(&blocks, &mut findings);
    let mut peers: Vec<Peer> = Vec::new();
    for block in blocks.iter().filter(|block| block.section == Section::Peer) {
        let peer = peer::read(block, &peers, &mut findings);
        peers.extend(peer);
    }
    let has_peer = blocks.iter().any(|block| block.section == Section::Peer);
    if !has_peer {
        findings.error(1, "there is no `[Peer]`", "add the WireGuard server as a `[Peer]`");
    }
    let failed = findings.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    match interface {
        Some((interface, private_key)) if !failed => {
            Ok(finish(gateway_name(path), interface, private_key, peers, findings))
        }
        Some(_) | None => Err(ConfigError { diagnostics: findings.list }),
    }
}

impl Imported {
    /// The name of the file for the private key, in the folder of the configuration.
    #[must_use]
    pub fn key_file(&self) -> String {
        format!("{}.key", self.name)
    }

    /// Whether a peer has a preshared key.
    #[must_use]
    pub fn has_preshared_key(&self) -> bool {
        self.peers.iter().any(|peer| peer.preshared_key.is_some())
    }

    /// The configuration: one `[[gateway]]` a peer, one `[[application]]` a network of it.
    #[must_use]
    pub fn to_toml(&self, preshared_keys: PresharedKeys) -> String {
        render::render(self, preshared_keys)
    }
}

fn read_interface(blocks: &[Block<'_>], findings: &mut Findings) -> Option<(Interface, SecretKey)> {
    let mut interfaces = blocks.iter().filter(|block| block.section == Section::Interface);
    let Some(block) = interfaces.next() else {
        findings.error(1, "there is no `[Interface]`", "import the file that `wg-quick up` takes");
        return None;
    };
    for second in interfaces {
        findings.error(second.line, "there is a second `[Interface]`", "import one interface at a time");
    }
    interface::read(block, findings)
}

fn finish(
    name: String,
    interface: Interface,
    private_key: SecretKey,
    mut peers: Vec<Peer>,
    mut findings: Findings,
) -> Imported {
    name_peers(&name, &mut peers);
    assign_dns(&interface, &mut peers, &mut findings);
    peer::warn_of_overlaps(&peers, &mut findings);
    Imported { private_key, warnings: findings.list, name, interface, peers }
}

/// The file's name without its ending; what is no letter, digit, `-`, `_` or `.` becomes a `-`.
fn gateway_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = stem.trim().chars().map(keep).collect();
    if name.is_empty() { "gateway".to_owned() } else { name }
}

/// `hq`; of several peers `hq-1`, `hq-2` and so on.
fn name_peers(name: &str, peers: &mut [Peer]) {
    let several = peers.len() > 1;
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.name = if several { format!("{name}-{}", index + 1) } else { name.to_owned() };
    }
}

/// A DNS server belongs to the peers that reach it; one that none reaches would be refused when loading.
fn assign_dns(interface: &Interface, peers: &mut [Peer], findings: &mut Findings) {
    for (server, line) in &interface.dns {
        let mut reached = false;
        for peer in peers.iter_mut().filter(|peer| peer.reaches(*server)) {
            peer.dns.push(*server);
            reached = true;
        }
        if !reached {
            let message = format!("DNS server `{server}` is outside every `AllowedIPs`, and was left out");
            let hint = "the system's own servers go on answering all names that are not protected";
            findings.warning(*line, message, hint);
        }
    }
}

#[cfg(test)]
mod tests;
