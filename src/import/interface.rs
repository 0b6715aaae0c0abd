//! `[Interface]`: our key, addresses, DNS servers, search domains and MTU.

use std::net::IpAddr;

use super::entries::{Block, Findings};
use crate::config::keys::parse_key;
use crate::config::{NamePattern, Prefix, SecretKey};

/// What the connector takes from `[Interface]`, but for the private key.
#[derive(Debug, Clone, Default)]
pub(super) struct Interface {
    /// Host bits kept, as written.
    pub(super) addresses: Vec<Prefix>,
    /// With the line that names it.
    pub(super) dns: Vec<(IpAddr, u32)>,
    pub(super) search_domains: Vec<String>,
    /// Octets.
    pub(super) mtu: Option<i64>,
}

const KNOWN: &[&str] = &["PrivateKey", "Address", "DNS", "MTU", "ListenPort"];
const COMMANDS: &str = "remove the line: the connector runs no commands of a configuration";
const REFUSED: &[(&str, &str)] = &[
    ("PreUp", COMMANDS),
    ("PostUp", COMMANDS),
    ("PreDown", COMMANDS),
    ("PostDown", COMMANDS),
    ("Table", "remove the line: the connector routes what its applications name, by rules of its own"),
    ("SaveConfig", "remove the line: the connector never writes its configuration"),
    ("FwMark", "remove the line: the connector marks its own packets itself"),
];
/// As `tunneling.mtu` takes it, octets.
const MTU: std::ops::RangeInclusive<i64> = 576..=9000;

/// Reads it all, so that every complaint is made; `None` without a usable private key.
pub(super) fn read(block: &Block<'_>, findings: &mut Findings) -> Option<(Interface, SecretKey)> {
    block.check_keys(KNOWN, REFUSED, findings);
    let private_key = private_key(block, findings);
    let mut interface = Interface { addresses: addresses(block, findings), ..Interface::default() };
    read_dns(block, &mut interface, findings);
    interface.mtu = mtu(block, findings);
    if let Some(entry) = block.one("ListenPort", findings) {
        let hint = "the gateway is always called by the connector, from a port that the system chooses";
        findings.warning(entry.line, "`ListenPort` was left out", hint);
    }
    Some((interface, private_key?))
}

fn private_key(block: &Block<'_>, findings: &mut Findings) -> Option<SecretKey> {
    let hint = "put in what `wg genkey` prints; the server must know its public key";
    let Some(entry) = block.one("PrivateKey", findings) else {
        findings.error(block.line, "`PrivateKey` is missing", hint);
        return None;
    };
    match parse_key(entry.value) {
        Ok(key) => Some(SecretKey::new(key)),
        Err(error) => {
            findings.error(entry.line, format!("`PrivateKey` is not a WireGuard key: {error}"), hint);
            None
        }
    }
}

fn addresses(block: &Block<'_>, findings: &mut Findings) -> Vec<Prefix> {
    let hint = "our address inside the tunnel, such as `Address = 10.77.0.3/32`";
    let mut addresses: Vec<Prefix> = Vec::new();
    let mut is_given = false;
    for entry in block.list("Address") {
        is_given = true;
        match entry.value.parse::<Prefix>() {
            Ok(address) if addresses.contains(&address) => {}
            Ok(address) => addresses.push(address),
            Err(error) => findings.error(entry.line, error, hint),
        }
    }
    if !is_given {
        findings.error(block.line, "`Address` is missing", hint);
    }
    addresses
}

/// What is no address is a search domain, as for wg-quick(8).
fn read_dns(block: &Block<'_>, interface: &mut Interface, findings: &mut Findings) {
    for entry in block.list("DNS") {
        if let Ok(server) = entry.value.parse::<IpAddr>() {
            if interface.dns.iter().all(|(known, _)| *known != server) {
                interface.dns.push((server, entry.line));
            }
            continue;
        }
        match NamePattern::parse_host(entry.value) {
            Ok(NamePattern::Exact(name)) => interface.search_domains.push(name.into()),
            Ok(NamePattern::Wildcard(_) | NamePattern::Suffix(_)) | Err(_) => {
                let message = "`DNS` holds what is neither an address nor a search domain";
                findings.error(entry.line, message, "write `DNS = 10.77.0.53, corp.example.com`");
            }
        }
    }
}

fn mtu(block: &Block<'_>, findings: &mut Findings) -> Option<i64> {
    let entry = block.one("MTU", findings)?;
    let mtu = entry.value.parse().ok().filter(|mtu| MTU.contains(mtu));
    if mtu.is_none() {
        let message = format!("`MTU` must be between {} and {}", MTU.start(), MTU.end());
        findings.error(entry.line, message, "remove the line: 1420 suits most networks");
    }
    mtu
}
