//! Each format against a strict reader of its own rules, with values that try to break out of their place.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::Kind;

/// Everything an attacker may put into the name of a host or a user.
const HOSTILE: &[&str] = &[
    "a=b c=d",
    "msg=forged cs1=x",
    "x|y\\|z",
    "\\",
    "back\\slash\\=",
    "line\nCEF:0|Evil|x|1|1|x|1|",
    "\r\n<13>1 - - - - - - forged",
    "tab\tsev=10",
    "nul\0nul",
    "\u{202e}gpj.exe\u{2066}",
    "\u{feff}bom\u{85}next\u{2028}line",
    "\"quote\" {\"a\":1}",
    "ünïcödé 名前 🦀",
    " leading and trailing ",
    "\x1b[31mred",
];

fn context(format: SiemFormat) -> Context {
    Context {
        format,
        hostname: "laptop=7".to_owned(),
        additional: vec![Field::Application, Field::DeviceId, Field::User, Field::Uid, Field::Fix],
        device_id: "device|1".to_owned(),
    }
}

fn numbered(value: &str) -> Numbered {
    let mut event = Event::new(Kind::AccessRefused, value);
    for field in Field::ALL {
        event = event.with(*field, value);
    }
    event = event.with(Field::SourceAddress, "10.1.2.3").with(Field::DestinationAddress, "2001:db8::1");
    Numbered { sequence: 77, event }
}

fn line(format: SiemFormat, numbered: &Numbered) -> String {
    let mut out = String::new();
    context(format).write(numbered, &mut out);
    out
}

/// As the formats without an escape for it show what is hidden.
fn shown(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '\n' | '\r' => out.push(c),
            c if text::is_hidden(c) => text::write_hidden(c, "\\", &mut out),
            c => out.push(c),
        }
    }
    out
}

/// Reads a header of CEF and its extension by the letter; panics at anything else.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut parts, mut part, mut chars) = (Vec::new(), String::new(), line.chars());
    while parts.len() < 7 {
        match chars.next().expect("seven parts of the header") {
            '\\' => {
                let next = chars.next().unwrap();
                assert!(next == '|' || next == '\\', "escape \\{next}");
                part.push(next);
            }
            '|' => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    let (mut pairs, mut key, mut value, mut in_value) = (Vec::new(), String::new(), String::new(), false);
    for c in WithEscapes(chars) {
        match (c, in_value) {
            (Ok('='), false) => in_value = true,
            (Ok('='), true) => {
                // an equals sign that is not escaped ends the value before its key
                let (rest, next) = value.rsplit_once(' ').expect("a key behind a blank");
                pairs.push((std::mem::take(&mut key), rest.to_owned()));
                (key, value) = (next.to_owned(), String::new());
            }
            (Ok(c) | Err(c), true) => value.push(c),
            (Ok(c) | Err(c), false) => key.push(c),
        }
    }
    pairs.push((key, value));
    let count = pairs.len();
    let map: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(map.len(), count, "a key twice");
    assert!(map.keys().all(|key| key.chars().all(|c| c.is_ascii_alphanumeric())), "{map:?}");
    (parts, map)
}

/// Plain characters are `Ok`, those that were escaped `Err`.
struct WithEscapes<'a>(std::str::Chars<'a>);

impl Iterator for WithEscapes<'_> {
    type Item = Result<char, char>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.next()? {
            '\\' => Some(Err(match self.0.next().expect("something escaped") {
                'n' => '\n',
                'r' => '\r',
                c @ ('\\' | '=') => c,
                c => panic!("escape \\{c}"),
            })),
            c => Some(Ok(c)),
        }
    }
}

fn check_cef(value: &str) {
    let text = line(SiemFormat::Cef, &numbered(value));
    assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
    let (header, pairs) = read_cef(&text);
    assert_eq!(header[0..2], ["CEF:0", "OpenZTNA"]);
    assert_eq!(header[4..7], ["301", "access.refused", "6"]);
    let (shown, upper) = (shown(value), shown(&value.to_ascii_uppercase()));
    for field in Field::ALL {
        let expected = match field.name() {
            "source_address" => "10.1.2.3",
            "destination_address" => {
                assert_eq!(pairs["c6a3"], "2001:db8::1");
                assert!(!pairs.contains_key("dst"));
                continue;
            }
            "protocol" => &upper,
            _ => &shown,
        };
        if value.is_empty() {
            continue;
        }
        assert_eq!(pairs[names::of(*field).cef], *expected, "{field:?}");
    }
    assert_eq!((&*pairs["msg"], &*pairs["cn1"], &*pairs["dvchost"]), (&*shown, "77", "laptop=7"));
}

fn check_leef(value: &str) {
    let text = line(SiemFormat::Leef, &numbered(value));
    assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
    let parts: Vec<&str> = text.splitn(7, '|').collect();
    assert_eq!(
        parts[..6],
        ["LEEF:2.0", "OpenZTNA", "Client Connector", env!("CARGO_PKG_VERSION"), "301", "x09"]
    );
    let mut pairs = BTreeMap::new();
    for pair in parts[6].split('\t') {
        let (key, value) = pair.split_once('=').unwrap();
        assert!(pairs.insert(key, value).is_none(), "{key} twice");
    }
    let expected = shown(&value.replace(['\t', '\n', '\r'], " "));
    assert_eq!(pairs["msg"], expected);
    for field in Field::ALL.iter().filter(|_| !value.is_empty()) {
        let expected = match field.name() {
            "source_address" => "10.1.2.3",
            "destination_address" => "2001:db8::1",
            _ => &expected,
        };
        assert_eq!(pairs[names::of(*field).leef], expected, "{field:?}");
    }
}

fn check_json(value: &str) {
    let text = line(SiemFormat::Json, &numbered(value));
    assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["message"], value);
    assert_eq!((&json["event"]["code"], &json["event"]["sequence"]), (&"301".into(), &77.into()));
    for field in Field::ALL.iter().filter(|_| !value.is_empty()) {
        let (object, key) = names::of(*field).ecs;
        let expected = match field.name() {
            "source_address" => "10.1.2.3",
            "destination_address" => "2001:db8::1",
            _ => value,
        };
        let found = &json[object][key];
        let same = found == expected || found.as_u64().is_some_and(|found| expected == found.to_string());
        assert!(same, "{field:?}: {found}");
    }
}

#[test]
fn hostile_values_stay_in_their_place_in_every_format() {
    let long = "=|\\\n\u{202e}x".repeat(9_000);
    for value in HOSTILE.iter().copied().chain([long.as_str(), "", "443"]) {
        check_cef(value);
        check_leef(value);
        check_json(value);
    }
}

proptest! {
    #[test]
    fn any_value_comes_back_as_it_was(value in any::<String>()) {
        check_cef(&value);
        check_leef(&value);
        check_json(&value);
    }
}

#[test]
fn what_says_who_a_person_is_is_sent_where_it_is_asked_for_only() {
    let numbered = numbered("alice");
    for format in [SiemFormat::Cef, SiemFormat::Leef, SiemFormat::Json] {
        let context = Context { additional: Vec::new(), hostname: "h".to_owned(), ..context(format) };
        let mut out = String::new();
        context.write(&numbered, &mut out);
        for key in ["suser", "usrName", "\"user\"", "suid", "device|1", "\"application\"", "cs1="] {
            assert!(!out.contains(key), "{key} in {out}");
        }
    }
}

#[test]
fn the_page_about_events_lists_every_kind_and_every_fact() {
    let page = include_str!("../../../docs/events.md");
    for kind in Kind::ALL {
        let row = format!("| {} | `{}` | {} |", kind.id(), kind.name(), kind.severity().as_str());
        assert!(page.contains(&row), "docs/events.md has no row `{row}`");
    }
    for field in Field::ALL {
        let names::Names { cef, leef, ecs: (object, key) } = names::of(*field);
        let sent = if is_additional(*field) { "on request" } else { "always" };
        let row = format!("| `{}` | {sent} | `{cef}` | `{leef}` | `{object}.{key}` |", field.name());
        assert!(page.contains(&row), "docs/events.md has no row `{row}`");
    }
}
