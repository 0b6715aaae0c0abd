//! How each fact and each kind is called in each format. docs/events.md lists the same.

use crate::event::{Field, Kind, Severity};

/// The names of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::siem) struct Names {
    /// CEF: one key, or for `cs`, `cn` and `flexString` a value with its label.
    pub(in crate::siem) cef: &'static str,
    pub(in crate::siem) leef: &'static str,
    /// ECS: the object and the key in it.
    pub(in crate::siem) ecs: (&'static str, &'static str),
}

/// The names of a fact. `in` and `out` of CEF count from the source, which is the device.
pub(in crate::siem) fn of(field: Field) -> Names {
    let (cef, leef, ecs) = match field {
        Field::Application => ("cs1", "application", (OWN, "application")),
        Field::BytesReceived => ("out", "dstBytes", ("destination", "bytes")),
        Field::BytesSent => ("in", "srcBytes", ("source", "bytes")),
        Field::Check => ("cs5", "check", (OWN, "check")),
        Field::Count => ("cnt", "count", (OWN, "count")),
        Field::DestinationAddress => ("dst", "dst", ("destination", "ip")),
        Field::DestinationHost => ("dhost", "dstHost", ("destination", "domain")),
        Field::DestinationPort => ("dpt", "dstPort", ("destination", "port")),
        Field::DeviceId => ("deviceExternalId", "deviceId", ("host", "id")),
        Field::DurationMs => ("cn2", "durationMs", (OWN, "duration_ms")),
        Field::Fix => ("flexString1", "fix", (OWN, "fix")),
        Field::Gateway => ("cs2", "gateway", (OWN, "gateway")),
        Field::Interface => ("sourceServiceName", "interface", (OWN, "interface")),
        Field::Hash => ("cs6", "hash", (OWN, "hash")),
        Field::Object => ("flexString2", "object", (OWN, "object")),
        Field::Protocol => ("proto", "proto", ("network", "transport")),
        Field::Reason => ("reason", "reason", ("event", "reason")),
        Field::Sequence => ("cn3", "ofSequence", (OWN, "of_sequence")),
        Field::SourceAddress => ("src", "src", ("source", "ip")),
        Field::SourcePort => ("spt", "srcPort", ("source", "port")),
        Field::State => ("cs3", "state", (OWN, "state")),
        Field::StateBefore => ("cs4", "stateBefore", (OWN, "state_before")),
        Field::Uid => ("suid", "uid", ("user", "id")),
        Field::User => ("suser", "usrName", ("user", "name")),
    };
    Names { cef, leef, ecs }
}

/// The object of ECS that holds what ECS has no name for.
pub(super) const OWN: &str = "openztna";

/// `event.category` and `event.type` of ECS, the latter as the inside of a JSON array.
pub(super) fn category(kind: Kind) -> (&'static str, &'static str) {
    let (about, _) = kind.name().split_once('.').unwrap_or((kind.name(), ""));
    let category = match about {
        "service" => "process",
        "session" => "session",
        "gateway" | "access" => "network",
        "policy" | "configuration" | "steering" => "configuration",
        "tamper" => "intrusion_detection",
        _ => "host",
    };
    let types = match kind.name() {
        "service.started" => r#""start""#,
        "service.stopped" => r#""end""#,
        "gateway.proven" => r#""connection","start""#,
        "access.allowed" => r#""connection","start","allowed""#,
        "access.refused" => r#""connection","denied""#,
        "access.revoked" => r#""connection","end","denied""#,
        "gateway.lost" | "access.ended" => r#""connection","end""#,
        "policy.changed" | "configuration.changed" | "steering.done" => r#""change""#,
        "steering.refused" => r#""access""#,
        _ => r#""info""#,
    };
    (category, types)
}

/// `event.outcome` of ECS and `outcome` of CEF.
pub(super) fn outcome(severity: Severity) -> &'static str {
    if severity >= Severity::Warn { "failure" } else { "success" }
}
