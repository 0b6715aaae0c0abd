//! The keys at the root of `gateway.toml` that hold addresses and files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Peer, is_content_error};
use crate::config::gateway::DNS_HINT;
use crate::config::reader::{Complaint, Reader, shorten};
use crate::config::{Diagnostic, Origin, Prefix, PrefixError, parse_dns_server};

/// Where names are answered from unless told otherwise: the last range of what carriers number their customers with
/// (RFC 6598), and one in the range of unique local addresses (RFC 4193).
const POOL: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 127, 0, 0), Ipv6Addr::new(0xfd7a, 0x7a74, 0x6e61, 0, 0, 0, 0, 0));
/// What the table of virtual addresses holds, in bits of a prefix: as many as it has places for.
const LENGTHS: (u8, u8) = (16, 48);

const LISTEN_HINT: &str = "write `listen = [\"0.0.0.0:51820\", \"[::]:51820\"]`";
const POOL_HINT: &str = "write `pool = [\"100.127.0.0/16\", \"fd7a:7a74:6e61::/48\"]`";
const NAMES_HINT: &str = "an address of each family inside the tunnel, such as `address = [\"10.99.0.1\"]`";

/// A pair of IPv4 and IPv6 addresses.
pub(super) type Pair = (Ipv4Addr, Ipv6Addr);

/// Where datagrams are expected.
pub(super) fn read_listen(reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    reader.each("", "listen", |text| {
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
        let wrong = || Complaint::new(format!("`{text}` is not `address:port`"), LISTEN_HINT);
        let address = address.ok_or_else(wrong)?;
        if addresses.iter().any(|other: &SocketAddr| other.is_ipv4() == address.is_ipv4()) {
            let message = format!("`{address}` is a second address of its family");
            return Err(Complaint::new(
                message,
                "listen on one address a family; `0.0.0.0` and `[::]` are all of them",
            ));
        }
        addresses.push(address);
        Ok(())
    });
    if reader.find("", "listen").is_none() {
        missing(reader, "listen", LISTEN_HINT);
    }
    addresses
}

/// Where metrics and health checks are answered.
pub(super) fn read_metrics(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let listen = reader.text("metrics", "listen")?;
    let address = listen.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    if address.is_none() {
        let message = format!("`metrics.listen` must be `address:port`, not `{}`", shorten(&listen));
        reader.complain(listen.origin, Complaint::new(message, "write `listen = \"127.0.0.1:9091\"`"));
    }
    address
}

/// DNS servers that names are asked of.
pub(super) fn read_servers(reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    reader.each("", "dns", |text| {
        servers.push(parse_dns_server(text).map_err(|error| Complaint::new(error, DNS_HINT))?);
        Ok(())
    });
    servers
}

/// The file of the private key; one that is there must hold a key.
pub(super) fn read_key_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let Some(path) = reader.text("", "private_key_file") else {
        let hint = "name a file: it is made at the first start when absent";
        missing(reader, "private_key_file", hint);
        return None;
    };
    let origin = path.origin.clone();
    let path = beside(reader, &path);
    if let Some(error) = is_content_error(&path) {
        reader.complain(origin.clone(), Complaint::new(&error, error.hint()));
    }
    if platform::secret_file::others_can_read(&path).unwrap_or(false) {
        let warning = format!("private key `{}` can be read by others", path.display());
        let warning = Diagnostic::warning(origin, warning);
        reader.problems.push(warning.hint(format!("chmod 600 {}", path.display())));
    }
    Some(path)
}

/// Relative paths start at the folder of the configuration file.
pub(super) fn beside(reader: &Reader<'_>, path: &str) -> PathBuf {
    reader.source.path.parent().unwrap_or(Path::new("")).join(path)
}

/// The ranges that names are answered from.
pub(super) fn read_pool(reader: &mut Reader<'_>) -> Pair {
    let mut pool = POOL;
    reader.each("", "pool", |text| {
        let prefix: Prefix = text.parse().map_err(|error: PrefixError| Complaint::new(error, POOL_HINT))?;
        let prefix = prefix.network();
        match prefix.address {
            IpAddr::V4(address) if prefix.length == LENGTHS.0 => pool.0 = address,
            IpAddr::V6(address) if prefix.length == LENGTHS.1 => pool.1 = address,
            IpAddr::V4(_) | IpAddr::V6(_) => {
                let message = format!("`{prefix}` is not a block of 16 bits (IPv4) or 48 bits (IPv6)");
                return Err(Complaint::new(message, POOL_HINT));
            }
        }
        Ok(())
    });
    pool
}

/// Where peers ask for names: what is configured, or the first address of each range.
pub(super) fn read_names(reader: &mut Reader<'_>, pool: Pair) -> Pair {
    let mut names = (Ipv4Addr::from_bits(pool.0.to_bits() | 1), Ipv6Addr::from_bits(pool.1.to_bits() | 1));
    reader.each("", "address", |text| {
        let address = text.parse::<Prefix>().map_err(|error| Complaint::new(error, NAMES_HINT))?.address;
        match address {
            IpAddr::V4(address) => names.0 = address,
            IpAddr::V6(address) => names.1 = address,
        }
        Ok(())
    });
    names
}

/// An address of a peer that is also one of the answers would never be reached.
pub(super) fn check_pool(reader: &mut Reader<'_>, pool: Pair, peers: &[Peer]) {
    for prefix in prefixes(pool) {
        let overlaps = |other: &Prefix| prefix.covers(*other) || other.covers(prefix);
        let taken = peers.iter().find(|peer| peer.allowed_ips.iter().any(overlaps));
        if let Some(peer) = taken {
            let origin = reader.find("", "pool").map_or_else(|| whole(reader), |found| found.origin);
            let message = format!("the pool `{prefix}` overlaps `allowed_ips` of peer `{}`", peer.name);
            reader.complain(
                origin,
                Complaint::new(message, "choose another `pool`, or other addresses for peers"),
            );
        }
    }
}

/// Both ranges.
pub(super) fn prefixes(pool: Pair) -> [Prefix; 2] {
    [
        Prefix { address: pool.0.into(), length: LENGTHS.0 },
        Prefix { address: pool.1.into(), length: LENGTHS.1 },
    ]
}

fn missing(reader: &mut Reader<'_>, key: &str, hint: &str) {
    let place = whole(reader);
    reader.complain(place, Complaint::new(format!("`{key}` is missing"), hint));
}

/// The file as a whole.
fn whole(reader: &Reader<'_>) -> Origin {
    reader.source.origin(&(0..0))
}
