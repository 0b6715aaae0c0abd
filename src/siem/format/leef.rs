//! Log Event Extended Format, version 2.0: a header between pipes, then keys and values with tabs between.

use std::time::SystemTime;

use super::text::{is_hidden, write_hidden, write_number};
use super::{Context, Numbered, PRODUCT, VENDOR, names, since_epoch, weight};

/// As Java's `SimpleDateFormat` reads, which QRadar uses.
const TIME_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";

pub(super) fn write(context: &Context, numbered: &Numbered, out: &mut String) {
    let Numbered { sequence, event } = numbered;
    let kind = event.kind;
    for part in ["LEEF:2.0", VENDOR, PRODUCT, env!("CARGO_PKG_VERSION")] {
        out.push_str(part);
        out.push('|');
    }
    write_number(kind.id(), out);
    out.push_str("|x09|devTime=");
    write_time(event.at, out);
    pair("devTimeFormat", TIME_FORMAT, out);
    out.push_str("\tsev=");
    write_number(weight(event.severity), out);
    pair("cat", kind.name(), out);
    out.push_str("\teventId=");
    write_number(event.id, out);
    out.push_str("\tsequence=");
    write_number(sequence, out);
    pair("identHostName", &context.hostname, out);
    pair("msg", &event.message, out);
    for (field, value) in context.fields(event) {
        pair(names::of(field).leef, value, out);
    }
}

/// `2026-11-22T12:40:00.123+0000`.
fn write_time(at: SystemTime, out: &mut String) {
    let at = SystemTime::UNIX_EPOCH + since_epoch(at);
    let text = humantime::format_rfc3339_millis(at).to_string();
    out.push_str(text.trim_end_matches('Z'));
    out.push_str("+0000");
}

/// There is no way to escape anything: what separates pairs, or ends the line, becomes a blank.
fn pair(key: &str, value: &str, out: &mut String) {
    out.push('\t');
    out.push_str(key);
    out.push('=');
    for c in value.chars() {
        match c {
            '\t' | '\n' | '\r' => out.push(' '),
            c if is_hidden(c) => write_hidden(c, "\\", out),
            c => out.push(c),
        }
    }
}
