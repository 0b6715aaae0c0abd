//! `[dns]`: who resolves which names inside the tunnel.

use std::net::SocketAddr;

use super::application::{Application, warn_waiting};
use super::endpoint::parse_dns_server;
use super::gateway::{DNS_HINT, Gateways, Reference, check_server};
use super::host::{Host, NamePattern, parse_name};
use super::origin::Origin;
use super::prefix::Prefix;
use super::reader::{Complaint, Found, Reader, wrong_type};
use super::row::Row;
use super::schema::SPLIT_DNS;
use super::sections::host_complaint;
use super::unknown::check_keys;

/// An entry of `dns.split_dns`: says who resolves, and grants nothing.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The name at and below which these servers answer; lower-case, no trailing dot.
    pub domain: Box<str>,
    /// Who answers; at least one.
    pub servers: Vec<SocketAddr>,
    /// Index in [`Config::gateways`](super::Config::gateways).
    pub gateway: usize,
    /// Where it is configured.
    pub origin: Origin,
}

/// Servers that are used where nothing nearer names any, each with its place.
type Fallback = Vec<(SocketAddr, Origin)>;

/// Reads `[dns]`, and gives each gateway without servers of its own the ones that it may use.
pub(super) fn read(reader: &mut Reader<'_>, gateways: &mut Gateways) -> Vec<Zone> {
    share_servers(reader, gateways);
    let Some(found) = reader.find("dns", "split_dns") else { return Vec::new() };
    if found.value.as_array().is_none_or(|rows| rows.iter().any(|row| !row.get_ref().is_table())) {
        let complaint = wrong_type("dns.split_dns", "an array of tables", found.value);
        let hint = "write `split_dns = [{ domain = \"corp.example.com\", servers = [\"10.77.0.53\"] }]`";
        reader.complain(found.origin, Complaint::new(complaint.message, hint));
        return Vec::new();
    }
    check_zone_keys(reader, &found);
    let rows = Row::all(reader, "dns.split_dns", &found);
    let mut zones: Vec<Zone> = Vec::new();
    for row in rows {
        let zone = read_zone(reader, &row, gateways);
        if let Some(zone) = &zone
            && let Some(first) = zones.iter().find(|other| other.domain == zone.domain)
        {
            let message = format!("zone `{}` is there twice, first at {}", zone.domain, first.origin);
            reader
                .complain(zone.origin.clone(), Complaint::new(message, "put all its servers into one entry"));
        }
        zones.extend(zone);
    }
    zones
}

/// A name that nobody could resolve is an error.
pub(super) fn check_names(
    reader: &mut Reader<'_>,
    applications: &[Application],
    zones: &[Zone],
    gateways: &Gateways,
) {
    for application in applications {
        let Some(gateway) = gateways.list.get(application.gateway).filter(|gateway| gateway.dns.is_empty())
        else {
            continue;
        };
        let unresolved = application.hosts.iter().find_map(|host| match host {
            Host::Name(pattern) => Some(pattern).filter(|pattern| !is_covered(pattern, zones)),
            Host::Address(_) | Host::Network(_) => None,
        });
        if let Some(pattern) = unresolved {
            let message = format!("no DNS server for `{pattern}`: gateway `{}` has none", gateway.name);
            let hint = "add `dns = [\"…\"]` to the gateway, or `servers` to `[dns]`";
            reader.complain(application.origin.clone(), Complaint::new(message, hint));
        }
    }
}

fn is_covered(pattern: &NamePattern, zones: &[Zone]) -> bool {
    zones.iter().any(|zone| {
        let rest = pattern.name().strip_suffix(&*zone.domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn share_servers(reader: &mut Reader<'_>, gateways: &mut Gateways) {
    let fallback = read_fallback(reader);
    for gateway in gateways.list.iter_mut().filter(|gateway| gateway.dns.is_empty()) {
        let usable = fallback.iter().map(|(server, _)| *server);
        gateway.dns = usable
            .filter(|server| gateway.allowed_ips.iter().any(|prefix| prefix.contains(server.ip())))
            .collect();
    }
    check_fallback(reader, gateways, &fallback);
}

/// `dns.servers`, else `tunneling.dns_servers`. Both are checked.
fn read_fallback(reader: &mut Reader<'_>) -> Fallback {
    let dns = read_servers(reader, "dns", "servers");
    let tunneling = read_servers(reader, "tunneling", "dns_servers");
    if dns.is_empty() { tunneling } else { dns }
}

fn read_servers(reader: &mut Reader<'_>, table: &str, key: &str) -> Fallback {
    let Some(found) = reader.find(table, key) else { return Vec::new() };
    let mut servers = Vec::new();
    reader.each_of(&format!("{table}.{key}"), &found, |text| {
        let server = parse_dns_server(text).map_err(|error| Complaint::new(error, DNS_HINT))?;
        servers.push((server, found.origin.clone()));
        Ok(())
    });
    servers
}

/// A server must be within reach of one gateway that would use it, when there is such a gateway.
fn check_fallback(reader: &mut Reader<'_>, gateways: &Gateways, fallback: &Fallback) {
    let users = || {
        gateways.list.iter().filter(|gateway| {
            // Servers of its own are not among the shared ones unless they are the same.
            gateway.dns.iter().all(|server| fallback.iter().any(|(shared, _)| shared == server))
        })
    };
    if users().next().is_none() {
        return;
    }
    for (server, origin) in fallback {
        if users().any(|gateway| gateway.allows(Prefix::host(server.ip()))) {
            continue;
        }
        let names: Vec<String> = users().map(|gateway| format!("`{}`", gateway.name)).collect();
        let message =
            format!("DNS server `{}` is outside `allowed_ips` of gateway {}", server.ip(), names.join(", "));
        let hint = format!("add `{}` to `allowed_ips`, or name a server within", Prefix::host(server.ip()));
        reader.complain(origin.clone(), Complaint::new(message, hint));
    }
}

fn check_zone_keys<'a>(reader: &mut Reader<'a>, found: &Found<'a>) {
    let tables = found.value.as_array().into_iter().flat_map(|rows| rows.iter());
    for table in tables.filter_map(|row| row.get_ref().as_table()) {
        check_keys(reader.schema, reader.source, "dns.split_dns", table, SPLIT_DNS, &mut reader.problems);
    }
}

fn read_zone<'a>(reader: &mut Reader<'a>, row: &Row<'a>, gateways: &Gateways) -> Option<Zone> {
    let domain = row.required(reader, "domain", "name the zone, such as `domain = \"corp.example.com\"`");
    let domain = domain.and_then(|(text, origin)| {
        parse_name(text, text).map_err(|error| reader.complain(origin, host_complaint(error))).ok()
    });
    let mut servers = row.list(reader, "servers", |text| {
        parse_dns_server(text).map_err(|error| Complaint::new(error, DNS_HINT))
    });
    let place = row.place(reader, "servers");
    let user = domain
        .as_ref()
        .map_or_else(|| "`split_dns`".to_owned(), |domain| format!("`split_dns` of `{domain}`"));
    let name = row.text(reader, "gateway");
    let gateway = match gateways.resolve(reader, &user, name, row.origin.clone()) {
        Reference::Index(index) => index,
        Reference::Broken => return None,
        Reference::Waits => {
            warn_waiting(reader, &user, row.origin.clone());
            return None;
        }
    };
    let of = gateways.list.get(gateway)?;
    for server in &servers {
        check_server(reader, of, server, &place);
    }
    if servers.is_empty() {
        servers.clone_from(&of.dns);
    }
    if servers.is_empty() {
        let complaint = Complaint::new(format!("{user} has no DNS server"), "add `servers = [\"…\"]`");
        reader.complain(row.origin.clone(), complaint);
    }
    Some(Zone { domain: domain?, servers, gateway, origin: row.origin.clone() })
}
