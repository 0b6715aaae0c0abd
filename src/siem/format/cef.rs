//! Common Event Format, version 0: a header between pipes, then keys and values.

use std::net::IpAddr;

use super::text::{is_hidden, write_hidden, write_number};
use super::{Context, Numbered, PRODUCT, VENDOR, names, since_epoch, weight};
use crate::event::Field;

pub(super) fn write(context: &Context, numbered: &Numbered, out: &mut String) {
    let Numbered { sequence, event } = numbered;
    let (kind, version) = (event.kind, env!("CARGO_PKG_VERSION"));
    out.push_str("CEF:0|");
    for part in [VENDOR, PRODUCT, version] {
        header(part, out);
    }
    write_number(kind.id(), out);
    out.push('|');
    header(kind.name(), out);
    write_number(weight(event.severity), out);
    out.push_str("|rt=");
    write_number(since_epoch(event.at).as_millis(), out);
    out.push_str(" externalId=");
    write_number(event.id, out);
    pair("dvchost", &context.hostname, out);
    pair("cat", kind.name(), out);
    pair("outcome", names::outcome(event.severity), out);
    pair("msg", &event.message, out);
    out.push_str(" cn1Label=sequence cn1=");
    write_number(sequence, out);
    for (field, value) in context.fields(event) {
        fact(field, value, out);
    }
}

fn fact(field: Field, value: &str, out: &mut String) {
    let key = names::of(field).cef;
    if ["cs", "cn", "flexString"].iter().any(|custom| has_number(key, custom)) {
        return labelled(key, field.name(), value, out);
    }
    match key {
        "dst" => address(value, key, ("c6a3", "Destination IPv6 Address"), out),
        "src" => address(value, key, ("c6a2", "Source IPv6 Address"), out),
        "proto" => pair(key, &value.to_ascii_uppercase(), out),
        _ => pair(key, value, out),
    }
}

/// Whether a key is this word with one digit behind.
fn has_number(key: &str, word: &str) -> bool {
    key.strip_prefix(word).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
}

/// `src` and `dst` hold addresses of IPv4; those of IPv6 have keys of their own.
fn address(value: &str, key: &str, (key_of_ipv6, label): (&str, &str), out: &mut String) {
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => labelled(key_of_ipv6, label, value, out),
        Ok(IpAddr::V4(_)) | Err(_) => pair(key, value, out),
    }
}

fn labelled(key: &str, label: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(key);
    out.push_str("Label=");
    out.push_str(label);
    pair(key, value, out);
}

fn pair(key: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(key);
    out.push('=');
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '=' => out.push_str("\\="),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => write_hidden(c, "\\\\", out),
            c => out.push(c),
        }
    }
}

/// A field of the header with the pipe behind it.
fn header(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '|' => out.push_str("\\|"),
            c => out.push(c),
        }
    }
    out.push('|');
}
