//! `[Peer]`: a WireGuard server, and the networks behind it.

use std::net::IpAddr;

use super::entries::{Block, Entry, Findings};
use crate::config::keys::parse_key;
use crate::config::{Endpoint, Prefix, SecretKey};

/// A peer as the gateway that it becomes.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Given when all peers are known.
    pub(super) name: String,
    pub(super) public_key: [u8; 32],
    pub(super) preshared_key: Option<SecretKey>,
    pub(super) endpoint: Endpoint,
    /// Host bits cleared, each once, with its line; at least one.
    pub(super) networks: Vec<(Prefix, u32)>,
    /// Seconds; 0 is off, `None` is not said.
    pub(super) keep_alive: Option<u16>,
    /// Those that the networks cover; given when all peers are known.
    pub(super) dns: Vec<IpAddr>,
}

const KNOWN: &[&str] = &["PublicKey", "PresharedKey", "Endpoint", "AllowedIPs", "PersistentKeepalive"];
const NETWORKS_HINT: &str =
    "name the networks or hosts that are to be protected, such as `AllowedIPs = 10.77.0.0/16`";
/// Shortest prefixes that are taken for internal networks: 10.0.0.0/8 (RFC 1918), and fc00::/7 (RFC 4193).
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 7;

/// Reads it all, so that every complaint is made; `None` when something that must be there is wrong.
pub(super) fn read(block: &Block<'_>, others: &[Peer], findings: &mut Findings) -> Option<Peer> {
    block.check_keys(KNOWN, &[], findings);
    let public_key = public_key(block, others, findings);
    let preshared_key = preshared_key(block, findings);
    let endpoint = endpoint(block, findings);
    let networks = networks(block, others, findings);
    let keep_alive = keep_alive(block, findings);
    Some(Peer {
        name: String::new(),
        public_key: public_key?,
        preshared_key,
        endpoint: endpoint?,
        networks,
        keep_alive,
        dns: Vec::new(),
    })
}

impl Peer {
    /// Whether an address lies in one of the networks.
    pub(super) fn reaches(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|(network, _)| network.contains(address))
    }
}

/// A network within another peer's: wg(8) takes the longer prefix, the connector refuses the later application.
pub(super) fn warn_of_overlaps(peers: &[Peer], findings: &mut Findings) {
    for (index, peer) in peers.iter().enumerate() {
        for (network, line) in &peer.networks {
            let others = peers.iter().take(index).flat_map(|other| &other.networks);
            for (other, _) in others.filter(|(other, _)| other.covers(*network) || network.covers(*other)) {
                let message = format!("`{network}` overlaps `{other}` of another peer, and will be refused");
                findings.warning(*line, message, "name hosts instead of the network in its application");
            }
        }
    }
}

fn public_key(block: &Block<'_>, others: &[Peer], findings: &mut Findings) -> Option<[u8; 32]> {
    let hint = "the server's key as `wg show` prints it: 44 characters that end in `=`";
    let Some(entry) = block.one("PublicKey", findings) else {
        findings.error(block.line, "`PublicKey` is missing", hint);
        return None;
    };
    match parse_key(entry.value) {
        Ok(key) if others.iter().any(|other| other.public_key == key) => {
            findings.error(entry.line, "another peer has the same `PublicKey`", "keep one of the two peers");
            None
        }
        Ok(key) => Some(key),
        Err(error) => {
            findings.error(entry.line, format!("`PublicKey` is not a WireGuard key: {error}"), hint);
            None
        }
    }
}

fn preshared_key(block: &Block<'_>, findings: &mut Findings) -> Option<SecretKey> {
    let entry = block.one("PresharedKey", findings)?;
    match parse_key(entry.value) {
        Ok(key) => Some(SecretKey::new(key)),
        Err(error) => {
            let message = format!("`PresharedKey` is not a WireGuard key: {error}");
            findings.error(entry.line, message, "put in what `wg genpsk` printed on the server");
            None
        }
    }
}

fn endpoint(block: &Block<'_>, findings: &mut Findings) -> Option<Endpoint> {
    let Some(entry) = block.one("Endpoint", findings) else {
        let hint = "say where the server listens: the connector always calls it, and is never called";
        findings.error(block.line, "`Endpoint` is missing", hint);
        return None;
    };
    let hint = "write `198.51.100.7:51820`, `[2001:db8::7]:51820` or `gateway.example.com:51820`";
    Endpoint::parse(entry.value).map_err(|error| findings.error(entry.line, error, hint)).ok()
}

fn networks(block: &Block<'_>, others: &[Peer], findings: &mut Findings) -> Vec<(Prefix, u32)> {
    let mut networks: Vec<(Prefix, u32)> = Vec::new();
    let mut is_given = false;
    for entry in block.list("AllowedIPs") {
        is_given = true;
        let Some(network) = network(entry, others, findings) else { continue };
        if networks.iter().all(|(known, _)| *known != network) {
            networks.push((network, entry.line));
        }
    }
    if !is_given {
        findings.error(block.line, "`AllowedIPs` is missing", NETWORKS_HINT);
    }
    networks
}

fn network(entry: Entry<'_>, others: &[Peer], findings: &mut Findings) -> Option<Prefix> {
    let network = match entry.value.parse::<Prefix>() {
        Ok(prefix) => prefix.network(),
        Err(error) => {
            findings.error(entry.line, error, NETWORKS_HINT);
            return None;
        }
    };
    let shortest = if network.address.is_ipv4() { SHORTEST_V4 } else { SHORTEST_V6 };
    if network.length < shortest {
        let message = if network.length == 0 {
            format!("`{network}` would send all traffic into the tunnel")
        } else {
            format!("`{network}` is more than any internal network")
        };
        findings.error(entry.line, message, NETWORKS_HINT);
        return None;
    }
    if others.iter().flat_map(|other| &other.networks).any(|(other, _)| *other == network) {
        findings.error(entry.line, format!("`{network}` is another peer's as well"), "keep it at one peer");
        return None;
    }
    Some(network)
}

fn keep_alive(block: &Block<'_>, findings: &mut Findings) -> Option<u16> {
    let entry = block.one("PersistentKeepalive", findings)?;
    if entry.value.eq_ignore_ascii_case("off") {
        return Some(0);
    }
    let seconds = entry.value.parse().ok();
    if seconds.is_none() {
        let message = "`PersistentKeepalive` must be `off` or between 0 and 65535";
        findings.error(entry.line, message, "write `PersistentKeepalive = 25`");
    }
    seconds
}
