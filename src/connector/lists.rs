//! Open connections and names in use, as they are shown.

use std::time::{Instant, SystemTime};

use super::Setup;
use super::connection::Connection;
use super::engine::NamedFlow;
use crate::status::{FlowList, FlowStatus, NameList, NameStatus};

/// Names that one list holds.
const MOST_NAMES: usize = 1_000;

/// The open connections; none while the connector is down.
pub(super) async fn flows(connection: Option<&Connection>) -> FlowList {
    let Some(connection) = connection else { return FlowList::default() };
    let Some(list) = connection.flows().await else { return FlowList::default() };
    FlowList { flows: list.flows.iter().map(|flow| status(flow, list.at)).collect(), total: list.total }
}

/// The names that were given out; none while the connector is down.
pub(super) async fn names(setup: &Setup, connection: Option<&Connection>) -> NameList {
    let Some(connection) = connection else { return NameList::default() };
    let entries = connection.addresses().await.unwrap_or_default();
    let total = entries.len();
    let name = |entry: dns::Entry| NameStatus {
        name: entry.name,
        virtual_address: entry.virtual_address,
        real: entry.real,
        gateway: setup.config.gateways.get(entry.gateway as usize).map(|gateway| gateway.name.clone()),
    };
    let names = entries.into_iter().take(MOST_NAMES).map(name).collect();
    NameList { dns: connection.dns.status().clone(), names, total }
}

fn status(flow: &NamedFlow, now: Instant) -> FlowStatus {
    let facts = &flow.facts;
    let text = |name: &Option<std::sync::Arc<str>>| name.as_deref().map(str::to_owned);
    let started_at = SystemTime::now() - now.saturating_duration_since(facts.began_at);
    FlowStatus {
        application: text(&flow.application),
        gateway: text(&flow.gateway),
        protocol: super::flow_reporter::protocol(facts.protocol),
        source: facts.source,
        destination: facts.remote,
        host: text(&flow.host),
        bytes_sent: facts.sent,
        bytes_received: facts.received,
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        idle_s: now.saturating_duration_since(facts.last_seen).as_secs(),
    }
}
