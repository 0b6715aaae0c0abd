//! The connector's metrics, from its status.

use super::{MOST_SERIES, Page, Series, Type};
use crate::event::{Events, Kind};
use crate::status::{GatewayState, GatewayStatus, State, Status};

const STATES: [State; 6] = [
    State::Disconnected,
    State::Connecting,
    State::Connected,
    State::Degraded,
    State::Blocked,
    State::Failed,
];

/// The page. Series are bounded: of gateways and applications the first hundred have their own.
#[must_use]
pub fn page(status: &Status, events: &Events) -> Page {
    let mut page = Page::default();
    let version = vec![("version", status.version.clone())];
    page.add("openztna_build_info", "The version that runs", Type::Gauge, [(version, 1.0)]);
    let states =
        STATES.map(|state| (vec![("state", state.as_str().to_owned())], number(state == status.state)));
    page.add("openztna_state", "1 for the state that was last proven", Type::Gauge, states);
    page.add_one(
        "openztna_warnings",
        "What the person should know",
        Type::Gauge,
        status.warnings.len() as f64,
    );
    add_gateways(&mut page, &status.gateways);
    add_applications(&mut page, status);
    add_packets(&mut page, status);
    add_proxies(&mut page, status);
    let counted =
        Kind::ALL.iter().map(|kind| (vec![("kind", kind.name().to_owned())], events.count(*kind) as f64));
    page.add("openztna_events_total", "Events since the start", Type::Counter, counted);
    page
}

/// Whether the connector does its work.
#[must_use]
pub fn is_ready(status: &Status) -> bool {
    match status.state {
        State::Connected | State::Degraded => true,
        State::Disconnected | State::Connecting | State::Blocked | State::Failed => false,
    }
}

fn add_gateways(page: &mut Page, gateways: &[GatewayStatus]) {
    let each = |value: fn(&GatewayStatus) -> Option<f64>| {
        let gateways = gateways.iter().take(MOST_SERIES);
        let series = gateways
            .filter_map(move |gateway| Some((vec![("gateway", gateway.name.clone())], value(gateway)?)));
        series.collect::<Vec<_>>()
    };
    let up = each(|gateway| Some(number(gateway.state == GatewayState::Connected)));
    page.add("openztna_gateway_up", "Whether the gateway answers", Type::Gauge, up);
    let sent = each(|gateway| Some(gateway.bytes_sent as f64));
    page.add("openztna_gateway_sent_bytes_total", "Octets sent inside the tunnel", Type::Counter, sent);
    let received = each(|gateway| Some(gateway.bytes_received as f64));
    let help = "Octets received inside the tunnel";
    page.add("openztna_gateway_received_bytes_total", help, Type::Counter, received);
    let round_trip = each(|gateway| Some(gateway.last_round_trip_ms? / 1_000.0));
    page.add("openztna_gateway_round_trip_seconds", "The last round trip", Type::Gauge, round_trip);
    let age = each(|gateway| Some(gateway.handshake_age_s? as f64));
    page.add("openztna_gateway_handshake_age_seconds", "Age of the session's keys", Type::Gauge, age);
}

fn add_applications(page: &mut Page, status: &Status) {
    let counted = ["available", "refused", "blocked"].map(|word| {
        let has = |state: &str| state.split(':').next() == Some(word);
        let count = status.applications.iter().filter(|application| has(&application.state)).count();
        (vec![("state", word.to_owned())], count as f64)
    });
    page.add("openztna_applications", "Applications by state", Type::Gauge, counted);
    let applications = status.applications.iter().take(MOST_SERIES);
    let flows = applications
        .map(|application| (vec![("application", application.name.clone())], application.flows as f64));
    page.add("openztna_application_flows", "Open flows", Type::Gauge, unique(flows));
}

fn add_packets(page: &mut Page, status: &Status) {
    let dropped =
        status.drops.iter().map(|(reason, count)| (vec![("reason", reason.clone())], *count as f64));
    page.add("openztna_dropped_packets_total", "Packets dropped or refused", Type::Counter, dropped);
}

fn add_proxies(page: &mut Page, status: &Status) {
    let Some(proxies) = &status.proxies else { return };
    page.add_one("openztna_proxy_connections", "Connections now", Type::Gauge, proxies.connections as f64);
    let accepted = proxies.accepted as f64;
    page.add_one("openztna_proxy_accepted_total", "Connections accepted", Type::Counter, accepted);
    let outcomes = [("refused", proxies.refused), ("failed", proxies.failed)];
    let outcomes = outcomes.map(|(word, count)| (vec![("outcome", word.to_owned())], count as f64));
    page.add("openztna_proxy_requests_not_granted_total", "Requests not granted", Type::Counter, outcomes);
}

/// Two applications of one name are one series.
fn unique(series: impl Iterator<Item = Series>) -> Vec<Series> {
    let mut unique: Vec<Series> = Vec::new();
    for (labels, value) in series {
        match unique.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum += value,
            None => unique.push((labels, value)),
        }
    }
    unique
}

fn number(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}
