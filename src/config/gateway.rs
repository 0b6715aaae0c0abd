//! `[[gateway]]`: a WireGuard server that applications are reached through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::endpoint::{Endpoint, parse_dns_server};
use super::keys::{parse_key, read_private_key};
use super::origin::{Origin, Setting};
use super::prefix::Prefix;
use super::reader::{Complaint, Reader};
use super::row::Row;
use super::secret::SecretKey;

/// A WireGuard server.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its name, unique.
    pub name: String,
    /// Its X25519 public key.
    pub public_key: [u8; 32],
    /// Where it listens; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Our addresses inside the tunnel, host bits kept; at least one.
    pub addresses: Vec<Prefix>,
    /// What may come out of the tunnel and go into it, host bits cleared; at least one.
    pub allowed_ips: Vec<Prefix>,
    /// Our private key; relative paths are resolved against the folder of the configuration.
    pub private_key_file: PathBuf,
    /// A symmetric key on top.
    pub preshared_key: Option<SecretKey>,
    /// DNS servers inside the tunnel: its own, else `dns.servers`, else `tunneling.dns_servers`.
    pub dns: Vec<SocketAddr>,
    /// Where the gateway is configured.
    pub origin: Origin,
    /// A reload took it out of the configuration; its place stays, so that the others keep their numbers.
    pub is_retired: bool,
}

impl Gateway {
    /// The same as a place that nothing goes through.
    #[must_use]
    pub fn retired(&self) -> Self {
        Self { is_retired: true, allowed_ips: Vec::new(), dns: Vec::new(), ..self.clone() }
    }

    /// Whether the address may be reached through this gateway.
    #[must_use]
    pub fn allows(&self, prefix: Prefix) -> bool {
        self.allowed_ips.iter().any(|allowed| allowed.covers(prefix))
    }
}

/// What WireGuard prints as a public key, as a hint.
const PUBLIC_KEY_HINT: &str =
    "the gateway's key as `wg pubkey` or `wg show` prints it: 44 characters that end in `=`";

/// Reads every row. A row in error is left out, its name is kept so that references to it are not errors as well.
pub(super) fn read(reader: &mut Reader<'_>) -> Gateways {
    let Some(rows) = reader.rows("gateway") else { return Gateways::default() };
    let mut gateways = Gateways::default();
    for row in Row::all(reader, "gateway", &rows) {
        read_row(reader, &row, &mut gateways);
    }
    gateways
}

/// What was read.
#[derive(Default)]
pub(super) struct Gateways {
    pub(super) list: Vec<Gateway>,
    /// The name of every row and its index in `list`, when the row is good.
    pub(super) names: Vec<(Setting<String>, Option<usize>)>,
}

/// What a reference to a gateway leads to.
pub(super) enum Reference {
    /// This one.
    Index(usize),
    /// One that is in error itself, or an error that was reported.
    Broken,
    /// There is no gateway at all yet.
    Waits,
}

impl Gateways {
    /// Finds a gateway by name, or the only one when no name is given.
    pub(super) fn resolve(
        &self,
        reader: &mut Reader<'_>,
        user: &str,
        name: Option<(&str, Origin)>,
        place: Origin,
    ) -> Reference {
        let Some((name, origin)) = name else { return self.only(reader, user, place) };
        if let Some((_, index)) = self.names.iter().find(|(known, _)| known.value == name) {
            return index.map_or(Reference::Broken, Reference::Index);
        }
        let known: Vec<&str> = self.names.iter().map(|(name, _)| name.value.as_str()).collect();
        let hint = match super::unknown::nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "add a `[[gateway]]` with this name".to_owned(),
            None => format!("known gateways: {}", known.join(", ")),
        };
        reader.complain(origin, Complaint::new(format!("unknown gateway `{name}` in {user}"), hint));
        Reference::Broken
    }

    fn only(&self, reader: &mut Reader<'_>, user: &str, place: Origin) -> Reference {
        match self.names.as_slice() {
            [] => Reference::Waits,
            [(_, index)] => index.map_or(Reference::Broken, Reference::Index),
            [..] => {
                let names: Vec<&str> = self.names.iter().map(|(name, _)| name.value.as_str()).collect();
                let message = format!("{user} does not say which gateway, and there are several");
                reader.complain(place, Complaint::new(message, format!("name one of {}", names.join(", "))));
                Reference::Broken
            }
        }
    }
}

/// The complaint about a name that was taken before.
pub(super) fn check_duplicate<'n>(
    reader: &mut Reader<'_>,
    kind: &str,
    name: &str,
    origin: &Origin,
    mut taken: impl Iterator<Item = &'n Setting<String>>,
) {
    if let Some(first) = taken.find(|other| other.value == name) {
        let message = format!("{kind} `{name}` is there twice, first at {}", first.origin);
        reader.complain(origin.clone(), Complaint::new(message, "give each a name of its own"));
    }
}

fn read_row<'a>(reader: &mut Reader<'a>, row: &Row<'a>, gateways: &mut Gateways) {
    let before = reader.problems.len();
    let name = row.required(reader, "name", "give the gateway a name, such as `name = \"hq\"`");
    let name = name.map(|(name, origin)| Setting { value: name.to_owned(), origin });
    if let Some(name) = &name {
        check_duplicate(
            reader,
            "gateway",
            &name.value,
            &name.origin,
            gateways.names.iter().map(|(name, _)| name),
        );
    }
    let gateway = read_values(reader, row, name.as_ref());
    if let Some(gateway) = &gateway {
        check_gateway(reader, row, gateway, &gateways.list);
    }
    let errors = reader.problems.iter().skip(before);
    let good = errors.filter(|problem| problem.severity == super::diagnostic::Severity::Error).count() == 0;
    let index = gateways.list.len();
    let usable = gateway.filter(|_| good);
    if let Some(name) = name {
        gateways.names.push((name, usable.is_some().then_some(index)));
    }
    gateways.list.extend(usable);
}

/// Reads all keys, so that every complaint is made; `None` when one that must be there is absent.
fn read_values<'a>(
    reader: &mut Reader<'a>,
    row: &Row<'a>,
    name: Option<&Setting<String>>,
) -> Option<Gateway> {
    let public_key = read_key(reader, row, "public_key");
    let endpoints = row.required_list(reader, "endpoint", ENDPOINT_HINT, |text| {
        Endpoint::parse(text).map_err(|error| Complaint::new(error, ENDPOINT_HINT))
    });
    let addresses =
        row.required_list(reader, "address", ADDRESS_HINT, |text| parse_prefix(text, ADDRESS_HINT));
    let allowed_ips = row.required_list(reader, "allowed_ips", ALLOWED_HINT, |text| {
        parse_prefix(text, ALLOWED_HINT).map(Prefix::network)
    });
    let private_key_file =
        row.required(reader, "private_key_file", "name a file: it is made at the first start when absent");
    let preshared_key =
        row.find(reader, "preshared_key").and_then(|_| read_key(reader, row, "preshared_key"));
    let dns = row
        .list(reader, "dns", |text| parse_dns_server(text).map_err(|error| Complaint::new(error, DNS_HINT)));
    Some(Gateway {
        name: name?.value.clone(),
        public_key: public_key?,
        endpoints,
        addresses,
        allowed_ips,
        private_key_file: resolve_path(reader, private_key_file?.0),
        preshared_key: preshared_key.map(SecretKey::new),
        dns,
        origin: row.origin.clone(),
        is_retired: false,
    })
}

const ENDPOINT_HINT: &str =
    "write `198.51.100.7:51820`, `[2001:db8::7]:51820` or `gateway.example.com:51820`";
const ADDRESS_HINT: &str = "our address inside the tunnel, such as `10.77.0.3/32`";
const ALLOWED_HINT: &str = "what lies behind the gateway, such as `10.77.0.0/16`";
pub(crate) const DNS_HINT: &str = "write an address, such as `10.77.0.53`, or `10.77.0.53:5353`";

fn parse_prefix(text: &str, hint: &str) -> Result<Prefix, Complaint> {
    text.parse().map_err(|error: super::prefix::PrefixError| Complaint::new(error, hint))
}

fn read_key<'a>(reader: &mut Reader<'a>, row: &Row<'a>, key: &str) -> Option<[u8; 32]> {
    let (text, origin) = match key {
        "preshared_key" => row.text(reader, key)?,
        _ => row.required(reader, key, PUBLIC_KEY_HINT)?,
    };
    match parse_key(text) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let hint = if key == "preshared_key" { "what `wg genpsk` prints" } else { PUBLIC_KEY_HINT };
            let message = format!("`{}` is not a WireGuard key: {error}", row.name(key));
            reader.complain(origin, Complaint::new(message, hint));
            None
        }
    }
}

/// Relative paths start at the folder of the configuration file.
fn resolve_path(reader: &Reader<'_>, path: &str) -> PathBuf {
    reader.source.path.parent().unwrap_or(Path::new("")).join(path)
}

fn check_gateway<'a>(reader: &mut Reader<'a>, row: &Row<'a>, gateway: &Gateway, others: &[Gateway]) {
    if let Some(other) = others.iter().find(|other| other.public_key == gateway.public_key) {
        let message = format!("gateway `{}` has the same public key as `{}`", gateway.name, other.name);
        let hint = "one WireGuard server is one gateway: put its endpoints into a list";
        reader.complain(row.place(reader, "public_key"), Complaint::new(message, hint));
    }
    let dns = row.place(reader, "dns");
    for server in &gateway.dns {
        check_server(reader, gateway, server, &dns);
    }
    check_key_file(reader, &row.place(reader, "private_key_file"), &gateway.private_key_file);
}

/// A DNS server that the gateway would not let through is an error.
pub(super) fn check_server(reader: &mut Reader<'_>, gateway: &Gateway, server: &SocketAddr, origin: &Origin) {
    if gateway.allows(Prefix::host(server.ip())) {
        return;
    }
    let message =
        format!("DNS server `{}` is outside `allowed_ips` of gateway `{}`", server.ip(), gateway.name);
    let hint = format!("add `{}` to `allowed_ips`, or name a server within", Prefix::host(server.ip()));
    reader.complain(origin.clone(), Complaint::new(message, hint));
}

/// A key that is there already is looked at; one that is absent is made at the start.
fn check_key_file(reader: &mut Reader<'_>, origin: &Origin, path: &Path) {
    if let Err(error @ super::keys::KeyFileError::Content { .. }) = read_private_key(path) {
        reader.complain(origin.clone(), Complaint::new(&error, error.hint()));
    }
    if platform::secret_file::others_can_read(path).unwrap_or(false) {
        let warning = format!("private key `{}` can be read by others", path.display());
        reader
            .problems
            .push(Diagnostic::warning(origin.clone(), warning).hint(format!("chmod 600 {}", path.display())));
    }
}
