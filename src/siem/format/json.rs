//! JSON (RFC 8259) on one line, with the names of the Elastic Common Schema.

use std::net::IpAddr;
use std::time::SystemTime;

use super::text::{is_hidden, write_hidden, write_number};
use super::{Context, Numbered, PRODUCT, VENDOR, names, since_epoch, weight};
use crate::event::Field;

/// The version of the schema whose names are used.
const ECS: &str = "8.11.0";

/// What is inside an object of the line.
type Part<'a> = (&'static str, &'static str, Value<'a>);

enum Value<'a> {
    Text(&'a str),
    /// Digits, as they are.
    Number(&'a str),
}

pub(super) fn write(context: &Context, numbered: &Numbered, out: &mut String) {
    let event = &numbered.event;
    let at = SystemTime::UNIX_EPOCH + since_epoch(event.at);
    out.push_str("{\"@timestamp\":\"");
    write_number(humantime::format_rfc3339_millis(at), out);
    out.push_str("\",\"ecs\":{\"version\":\"");
    out.push_str(ECS);
    out.push_str("\"},\"message\":");
    text(&event.message, out);
    out.push_str(",\"log\":{\"level\":\"");
    out.push_str(event.severity.as_str());
    out.push_str("\"},\"observer\":{\"vendor\":\"");
    out.push_str(VENDOR);
    out.push_str("\",\"product\":\"");
    out.push_str(PRODUCT);
    out.push_str("\",\"version\":\"");
    out.push_str(env!("CARGO_PKG_VERSION"));
    out.push_str("\"}");
    let mut parts: Vec<Part<'_>> = vec![("host", "hostname", Value::Text(&context.hostname))];
    parts.extend(context.fields(event).map(|(field, value)| part(field, value)));
    parts.sort_by_key(|(object, ..)| *object);
    of_event(numbered, &parts, out);
    for group in parts.chunk_by(|(one, ..), (other, ..)| one == other) {
        if group[0].0 != "event" {
            object(group, out);
        }
    }
    out.push('}');
}

/// The object `event`.
fn of_event(numbered: &Numbered, parts: &[Part<'_>], out: &mut String) {
    let Numbered { sequence, event } = numbered;
    let (category, types) = names::category(event.kind);
    out.push_str(",\"event\":{\"id\":\"");
    write_number(event.id, out);
    out.push_str("\",\"code\":\"");
    write_number(event.kind.id(), out);
    for (key, value) in [
        ("\",\"action\":\"", event.kind.name()),
        ("\",\"kind\":\"event\",\"category\":[\"", category),
        ("\"],\"type\":[", types),
        ("],\"outcome\":\"", names::outcome(event.severity)),
    ] {
        out.push_str(key);
        out.push_str(value);
    }
    out.push_str("\",\"severity\":");
    write_number(weight(event.severity), out);
    out.push_str(",\"sequence\":");
    write_number(sequence, out);
    for (_, key, value) in parts.iter().filter(|(object, ..)| *object == "event") {
        out.push(',');
        member(key, value, out);
    }
    out.push('}');
}

fn part(field: Field, value: &str) -> Part<'_> {
    let (object, key) = names::of(field).ecs;
    let is_number = matches!(
        field,
        Field::BytesReceived
            | Field::BytesSent
            | Field::Count
            | Field::DestinationPort
            | Field::DurationMs
            | Field::Sequence
            | Field::SourcePort
    );
    // a mapping of Elastic refuses a whole event for a text where it expects an address
    let is_no_address = key == "ip" && value.parse::<IpAddr>().is_err();
    let key = if is_no_address { "address" } else { key };
    let is_digits = value.parse::<u64>().is_ok_and(|number| number.to_string() == value);
    (object, key, if is_number && is_digits { Value::Number(value) } else { Value::Text(value) })
}

fn object(group: &[Part<'_>], out: &mut String) {
    out.push_str(",\"");
    out.push_str(group[0].0);
    out.push_str("\":{");
    for (index, (_, key, value)) in group.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        member(key, value, out);
    }
    out.push('}');
}

fn member(key: &str, value: &Value<'_>, out: &mut String) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
    match value {
        Value::Text(value) => text(value, out),
        Value::Number(digits) => out.push_str(digits),
    }
}

/// A string; what is hidden is escaped as RFC 8259 section 7 has it, so that a reader gets it back as it was.
pub(in crate::siem) fn text(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => write_hidden(c, "\\", out),
            c => out.push(c),
        }
    }
    out.push('"');
}
