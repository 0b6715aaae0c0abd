//! `[[peer]]` of `gateway.toml`: a device, and what it may reach.

use std::collections::BTreeMap;

use super::application::Applications;
use crate::config::keys::parse_key;
use crate::config::reader::{Complaint, Reader};
use crate::config::row::Row;
use crate::config::unknown::nearest;
use crate::config::{Diagnostic, Origin, Prefix, PrefixError, SecretKey};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, unique.
    pub name: String,
    /// Its X25519 public key, unique.
    pub public_key: [u8; 32],
    /// A symmetric key on top.
    pub preshared_key: Option<SecretKey>,
    /// Its addresses inside the tunnel, host bits cleared; at least one, and no other peer has the same.
    pub allowed_ips: Vec<Prefix>,
    /// Indices in [`Config::applications`](super::Config::applications), ascending.
    pub applications: Vec<u32>,
}

/// What was taken by whom, to find what is there twice.
#[derive(Default)]
struct Taken {
    names: BTreeMap<String, Origin>,
    keys: BTreeMap<[u8; 32], String>,
    prefixes: BTreeMap<Prefix, String>,
}

/// Reads every row; those in error are left out.
pub(super) fn read(reader: &mut Reader<'_>, applications: &Applications) -> Vec<Peer> {
    let mut peers = Vec::new();
    let mut taken = Taken::default();
    let Some(rows) = reader.rows("peer") else { return peers };
    for row in Row::all(reader, "peer", &rows) {
        peers.extend(read_row(reader, &row, applications, &mut taken));
    }
    peers
}

fn read_row<'a>(
    reader: &mut Reader<'a>,
    row: &Row<'a>,
    applications: &Applications,
    taken: &mut Taken,
) -> Option<Peer> {
    let name = row.required(reader, "name", "give the peer a name, such as `name = \"ada-laptop\"`");
    let public_key = read_key(reader, row, "public_key");
    let preshared_key =
        row.find(reader, "preshared_key").and_then(|_| read_key(reader, row, "preshared_key"));
    let allowed_ips = row.required_list(reader, "allowed_ips", ALLOWED_HINT, |text| {
        let prefix: Prefix =
            text.parse().map_err(|error: PrefixError| Complaint::new(error, ALLOWED_HINT))?;
        Ok(prefix.network())
    });
    let granted = read_applications(reader, row, applications);
    let (name, origin) = name?;
    taken.check_name(reader, name, &origin);
    let peer = Peer {
        name: name.to_owned(),
        public_key: public_key?,
        preshared_key: preshared_key.map(SecretKey::new),
        allowed_ips,
        applications: granted,
    };
    taken.check(reader, row, &peer);
    Some(peer)
}

/// What WireGuard prints as a public key, as a hint.
const KEY_HINT: &str = "the device's key as `wg pubkey` or `openztna-client-connector status` prints it";
const ALLOWED_HINT: &str = "the device's address inside the tunnel, such as `10.99.0.2/32`";

fn read_key<'a>(reader: &mut Reader<'a>, row: &Row<'a>, key: &str) -> Option<[u8; 32]> {
    let is_public = key == "public_key";
    let hint = if is_public { KEY_HINT } else { "what `wg genpsk` prints" };
    let (text, origin) = if is_public { row.required(reader, key, hint)? } else { row.text(reader, key)? };
    match parse_key(text) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let message = format!("`{}` is not a WireGuard key: {error}", row.name(key));
            reader.complain(origin, Complaint::new(message, hint));
            None
        }
    }
}

/// The numbers of the applications; a name that there is none of is an error, unless that application is in error.
fn read_applications<'a>(reader: &mut Reader<'a>, row: &Row<'a>, applications: &Applications) -> Vec<u32> {
    let named = row.list(reader, "applications", |text| match applications.names.get(text) {
        Some((_, index)) => Ok(index.map(|index| index as u32)),
        None => Err(unknown(text, applications)),
    });
    let mut granted: Vec<u32> = named.into_iter().flatten().collect();
    granted.sort_unstable();
    granted.dedup();
    granted
}

fn unknown(name: &str, applications: &Applications) -> Complaint {
    let hint = match nearest(name, applications.names.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add an `[[application]]` with this name".to_owned(),
    };
    Complaint::new(format!("unknown application `{name}`"), hint)
}

impl Taken {
    fn check_name(&mut self, reader: &mut Reader<'_>, name: &str, origin: &Origin) {
        if let Some(first) = self.names.get(name) {
            let message = format!("peer `{name}` is there twice, first at {first}");
            reader.complain(origin.clone(), Complaint::new(message, "give each a name of its own"));
        }
        self.names.entry(name.to_owned()).or_insert_with(|| origin.clone());
    }

    fn check<'a>(&mut self, reader: &mut Reader<'a>, row: &Row<'a>, peer: &Peer) {
        if let Some(other) = self.keys.insert(peer.public_key, peer.name.clone()) {
            let message = format!("peer `{}` has the same public key as `{other}`", peer.name);
            let place = row.place(reader, "public_key");
            reader.complain(place, Complaint::new(message, "one key is one device: remove one of the two"));
        }
        for prefix in &peer.allowed_ips {
            if let Some(other) = self.prefixes.insert(*prefix, peer.name.clone()) {
                let message = format!("`{prefix}` belongs to peer `{other}` and to peer `{}`", peer.name);
                let place = row.place(reader, "allowed_ips");
                reader.complain(place, Complaint::new(message, "give each device addresses of its own"));
            }
        }
        if peer.applications.is_empty() {
            let warning = format!("peer `{}` may reach nothing", peer.name);
            let place = row.place(reader, "applications");
            let hint = "list what it may reach: `applications = [\"wiki\"]`";
            reader.problems.push(Diagnostic::warning(place, warning).hint(hint));
        }
    }
}
