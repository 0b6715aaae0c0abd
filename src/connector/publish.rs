//! The status that people and programs see, put together from what the parts know.

use std::time::{Instant, SystemTime};

use netstack::datapath::Refusal as Refused;
use netstack::path_mtu::Known;

use super::connection::Connection;
use super::engine::{GatewayFacts, GatewayState as Seen, Snapshot};
use super::{Reach, Setup, browser, degraded, local_api, proxies};
use crate::api;
use crate::config::{Application, Gateway, keys};
use crate::dialer::words;
use crate::proxy::Report;
use crate::session::{Fault, Severity, View};
use crate::status::{
    ApplicationStatus, Colour, DnsStatus, GatewayState, GatewayStatus, PathMtu, PathMtuKnown, Refusal,
    SiemStatus, Status,
};

/// Hosts of an application that are shown; a list of 100,000 domains is counted.
const MOST_HOSTS: usize = 5;

/// A DNS server that has answered before and failed this often in a row is called silent: one lost packet is nothing.
const FAILURES_OF_A_SILENT_SERVER: u32 = 2;

/// Said while the connector may not make a TUN, though nobody wanted it without one.
const LACKS_RIGHTS: &str = "no TUN for lack of rights: only programs that use the proxies reach protected destinations; \
                            hint: run it as root or as a system service, or say --no-tun if that is what you want";

/// What is told beside the session and the connection.
pub(super) struct Beside<'a> {
    /// How the proxies are.
    pub(super) proxies: &'a Report,
    /// How the desktops' proxy settings are.
    pub(super) browser: &'a browser::Report,
    /// How the local API's ports are.
    pub(super) ports: &'a api::States,
    /// How events go to the SIEM.
    pub(super) siem: &'a SiemStatus,
    /// Why the file as it is now is not in force.
    pub(super) reload_failure: Option<&'a str>,
}

/// Puts the status together.
pub(super) fn status(
    setup: &Setup,
    view: &View,
    connection: Option<&Connection>,
    snapshot: Option<&Snapshot>,
    since: SystemTime,
    beside: &Beside<'_>,
) -> Status {
    let Beside { proxies: report, browser, ports, siem, reload_failure } = beside;
    let config = &setup.config;
    let mut warnings = warnings(setup, connection, snapshot);
    let is_warned = !silent_servers(setup, snapshot).is_empty() || reload_failure.is_some();
    let lacks_rights = setup.reach == Reach::ProxiesForLackOfRights;
    warnings.extend(lacks_rights.then(|| LACKS_RIGHTS.to_owned()));
    let of_ports =
        [proxies::warnings(setup, report), local_api::warnings(ports), siem_warnings(siem)].concat();
    let is_warned = is_warned || !setup.device.withheld.is_empty();
    let is_warned = is_warned || lacks_rights || !of_ports.is_empty() || !browser.warnings.is_empty();
    warnings.extend(of_ports);
    warnings.extend(browser.warnings.iter().cloned());
    warnings.extend(reload_failure.map(|why| format!("the changed configuration is not in force: {why}")));
    let gateways = config.gateways.iter().zip(&setup.keys).enumerate();
    let gateways = gateways.filter(|(_, (gateway, _))| !gateway.is_retired);
    let applications = config.applications.iter().enumerate();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: view.state,
        colour: if is_warned && view.colour == Colour::Green { Colour::Yellow } else { view.colour },
        message: view.message.clone(),
        hint: view.hint.clone(),
        since: time(since),
        gateways: gateways
            .map(|(id, (gateway, key))| {
                let facts = snapshot.and_then(|snapshot| snapshot.gateways.get(id)?.as_ref());
                let public_key = keys::format_key(&netstack::wireguard::public_key(*key.reveal()));
                let shown = gateway_status(gateway, public_key, facts, connection.is_some(), snapshot);
                match connection.and_then(|connection| connection.endpoints.problem(&gateway.endpoints)) {
                    Some(problem) => with_problem(shown, problem, facts),
                    None => shown,
                }
            })
            .collect(),
        applications: applications
            .map(|(id, application)| application_status(setup, id, application, connection, snapshot))
            .collect(),
        dns: connection.map(|connection| connection.dns.status().clone()).unwrap_or_else(off),
        system_changes: connection
            .map(Connection::changes)
            .into_iter()
            .flatten()
            .chain(browser.changes.iter().cloned())
            .collect(),
        carrier: connection.map(|connection| connection.carrier.words()),
        device: Some(setup.device.summary()),
        proxies: (!report.ports.is_empty()).then(|| proxies::status(report)),
        siem: (*siem).clone(),
        drops: drops(snapshot),
        warnings,
        not_effective: config.not_effective.iter().map(|entry| entry.key.clone()).collect(),
    }
}

/// What the person should know about the SIEM.
fn siem_warnings(siem: &SiemStatus) -> Vec<String> {
    let hint =
        |hint: &Option<String>| hint.as_ref().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    let failure = siem.error.as_ref().map(|error| {
        format!("the SIEM takes no events, {} are kept: {error}{}", siem.spooled, hint(&siem.hint))
    });
    let spool = siem.spool_error.as_ref().map(|error| {
        format!(
            "events for the SIEM are kept in memory only, since the state folder cannot be written: {error}"
        )
    });
    failure.into_iter().chain(spool).collect()
}

/// What the system's DNS takes away, if it is not as it should be.
pub(super) fn dns_fault(dns: &DnsStatus) -> Option<Fault> {
    let note = dns.note.clone().filter(|_| matches!(dns.state.as_str(), "failed" | "yielded"))?;
    let (what, hint) = match note.split_once("; hint: ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (note, None),
    };
    Some(Fault { what, hint, severity: Severity::Impaired })
}

fn off() -> DnsStatus {
    DnsStatus { mode: "off".to_owned(), state: "off".to_owned(), ..DnsStatus::default() }
}

fn gateway_status(
    gateway: &Gateway,
    public_key: String,
    facts: Option<&GatewayFacts>,
    is_up: bool,
    snapshot: Option<&Snapshot>,
) -> GatewayStatus {
    let at = |instant: Option<Instant>| {
        instant.zip(snapshot).map(|(instant, snapshot)| wall(instant, snapshot.at))
    };
    let stats = facts.map(|facts| facts.stats).unwrap_or_default();
    let age =
        stats.established_at.zip(snapshot).map(|(at, snapshot)| snapshot.at.saturating_duration_since(at));
    let (state, error) = gateway_state(facts.map(|facts| facts.state), stats.proven_at.is_some(), is_up);
    GatewayStatus {
        name: gateway.name.clone(),
        state,
        endpoint: facts
            .and_then(|facts| facts.endpoint)
            .map_or_else(|| gateway.endpoints[0].to_string(), |endpoint| endpoint.to_string()),
        endpoints: candidates(facts),
        public_key,
        last_proven_at: at(stats.proven_at).map(time),
        last_round_trip_ms: stats.round_trip.map(|round_trip| round_trip.as_secs_f64() * 1_000.0),
        handshake_age_s: age.map(|age| age.as_secs()),
        bytes_sent: stats.sent,
        bytes_received: stats.received,
        path_mtu: facts.and_then(|facts| facts.path).map(path_mtu),
        error: error.map(str::to_owned),
    }
}

/// All addresses where it may be, if they are several.
fn candidates(facts: Option<&GatewayFacts>) -> Vec<String> {
    let endpoints = facts.map(|facts| facts.endpoints.as_slice()).unwrap_or_default();
    let is_choice = endpoints.len() > 1;
    endpoints.iter().filter(|_| is_choice).map(ToString::to_string).collect()
}

/// A name that cannot be resolved matters unless the gateway answers, where it was last.
fn with_problem(shown: GatewayStatus, problem: String, facts: Option<&GatewayFacts>) -> GatewayStatus {
    let has_address = facts.is_some_and(|facts| !facts.endpoints.is_empty());
    let error = match shown.error {
        _ if shown.state == GatewayState::Connected => None,
        Some(error) if has_address => Some(format!("{error}; {problem}: its last addresses are used")),
        Some(_) | None => Some(problem),
    };
    GatewayStatus { error, ..shown }
}

fn path_mtu(path: netstack::datapath::PathFacts) -> PathMtu {
    let known = match path.known {
        Known::Assumed => PathMtuKnown::Assumed,
        Known::Probed => PathMtuKnown::Probed,
        Known::NoAnswer => PathMtuKnown::NoAnswer,
    };
    PathMtu { outer: path.outer, inner: path.inner, known }
}

fn gateway_state(seen: Option<Seen>, was_proven: bool, is_up: bool) -> (GatewayState, Option<&'static str>) {
    match seen {
        None if is_up => (GatewayState::Connecting, None),
        None => (GatewayState::Disconnected, None),
        Some(Seen::Trying) => (GatewayState::Connecting, None),
        Some(Seen::Proven) => (GatewayState::Connected, None),
        Some(Seen::Lost) if was_proven => (GatewayState::Lost, Some("the gateway does not answer any more")),
        Some(Seen::Lost) => {
            let error = "no answer to the handshake: wrong endpoint or key, our public key is not known there, or UDP is blocked";
            (GatewayState::Failed, Some(error))
        }
    }
}

fn application_status(
    setup: &Setup,
    id: usize,
    application: &Application,
    connection: Option<&Connection>,
    snapshot: Option<&Snapshot>,
) -> ApplicationStatus {
    let withheld = setup.device.withheld.get(&(id as u32));
    let refused = connection.and_then(|connection| connection.plan.refused.get(&id));
    let last_refusal =
        connection.zip(snapshot).and_then(|(connection, snapshot)| last_refusal(id, connection, snapshot));
    ApplicationStatus {
        name: application.name.clone(),
        hosts: application.hosts.iter().take(MOST_HOSTS).map(ToString::to_string).collect(),
        host_count: application.hosts.len(),
        ports: application.ports.iter().map(ToString::to_string).collect(),
        gateway: setup.config.gateways[application.gateway].name.clone(),
        state: match (refused, withheld) {
            (_, Some(_)) => "blocked: device".to_owned(),
            (Some(refused), None) => refused.clone(),
            (None, None) => "available".to_owned(),
        },
        reason: withheld.map(|withheld| withheld.reason.clone()),
        flows: snapshot.and_then(|snapshot| snapshot.flows.get(id)).copied().unwrap_or(0).into(),
        last_refusal,
        description: application.description.clone(),
        url: application.url.clone(),
    }
}

/// The latest refusal under a grant that this application is part of.
fn last_refusal(id: usize, connection: &Connection, snapshot: &Snapshot) -> Option<Refusal> {
    let grants = &connection.plan.policy.grants;
    let is_ours = |refused: &&Refused| {
        let grant = grants.get(refused.grant as usize);
        grant.is_some_and(|grant| grant.applications.iter().any(|application| application.id as usize == id))
    };
    let refused = snapshot.refusals.iter().filter(is_ours).max_by_key(|refused| refused.at)?;
    let protocol = match refused.protocol {
        netstack::packet::TCP => "tcp",
        netstack::packet::UDP => "udp",
        _ => "icmp",
    };
    Some(Refusal {
        reason: refused.reason.code().to_owned(),
        text: words(refused.reason).to_owned(),
        at: time(wall(refused.at, snapshot.at)),
        destination: Some(format!("{protocol}/{} at {}", refused.port, refused.destination)),
    })
}

fn drops(snapshot: Option<&Snapshot>) -> std::collections::BTreeMap<String, u64> {
    let Some(snapshot) = snapshot else { return std::collections::BTreeMap::new() };
    let mut drops: std::collections::BTreeMap<String, u64> =
        snapshot.drops.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    for (reason, count) in &snapshot.refused {
        drops.insert(format!("refused_{}", reason.code()), *count);
    }
    drops
}

fn warnings(setup: &Setup, connection: Option<&Connection>, snapshot: Option<&Snapshot>) -> Vec<String> {
    let mut warnings: Vec<String> = setup.config.warnings.iter().map(ToString::to_string).collect();
    if let Some(connection) = connection {
        warnings.extend(connection.notes.iter().cloned());
    }
    warnings.extend(silent_servers(setup, snapshot));
    if let Some(snapshot) = snapshot {
        warnings.extend(degraded::of_sockets(&snapshot.sockets, setup.config.tunneling.offload.value));
    }
    if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.exhausted > 0) {
        let (count, addresses) = (snapshot.exhausted, snapshot.addresses);
        warnings.push(format!(
            "{count} names failed: all virtual addresses of their application are in use ({addresses})"
        ));
    }
    if let Some((count, Some(error))) =
        snapshot.map(|snapshot| &snapshot.unsent).filter(|(count, _)| *count > 0)
    {
        warnings.push(format!("{count} datagrams to gateways could not be sent: {error}"));
    }
    warnings
}

/// DNS servers inside tunnels that do not answer, though their gateway does.
fn silent_servers(setup: &Setup, snapshot: Option<&Snapshot>) -> Vec<String> {
    let Some(snapshot) = snapshot else { return Vec::new() };
    let sentence = |(via, server, health): &(dns::Via, std::net::SocketAddr, dns::ServerHealth)| {
        let dns::Via::Gateway(gateway) = via else { return None };
        let is_proven = snapshot.gateways.get(*gateway as usize)?.as_ref()?.state == Seen::Proven;
        let is_silent = match health.answered {
            0 => health.failed_in_a_row > 0,
            _ => health.failed_in_a_row >= FAILURES_OF_A_SILENT_SERVER,
        };
        let is_silent = is_proven && is_silent;
        let name = &setup.config.gateways.get(*gateway as usize)?.name;
        is_silent.then(|| {
            format!("DNS server {server} behind gateway `{name}` does not answer: names it serves fail")
        })
    };
    snapshot.servers.iter().filter_map(sentence).collect()
}

/// The wall time of an instant, seen from a snapshot taken now.
fn wall(instant: Instant, now: Instant) -> SystemTime {
    SystemTime::now() - now.saturating_duration_since(instant)
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
