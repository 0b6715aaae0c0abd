//! Any texts as names of the PAC file: they stay within their quotes, and come out as they went in.
#![no_main]
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use openztna::config::NamePattern;
use openztna::proxy::pac::{Proxies, Rules, pac_names, script};

// Names are separated by zeros; the first byte of each says what kind of name it is.
fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let names: Vec<(NamePattern, bool)> = text.split('\0').filter_map(name).collect();
    let object = pac_names(names.iter().map(|(name, is_protected)| (name, *is_protected)));
    assert!(object.is_ascii() && !object.contains(['<', '>', '&', '\'', '\n', '\r']), "{object}");
    let expected: BTreeMap<String, u8> =
        names.iter().map(|(name, is_protected)| (key(name), u8::from(*is_protected))).collect();
    let read: BTreeMap<String, u8> = serde_json::from_str(&object).expect("an object of names");
    assert_eq!(read, expected);
    check_script(names.into_iter().map(|(name, _)| name).collect(), text);
});

/// Whatever the names are, the program of the script stands where it stood.
fn check_script(names: Vec<NamePattern>, search: &str) {
    let rules = Rules { protected: names.clone(), search: vec![search.to_owned()], ..Rules::default() };
    let script = script(&rules, &names, Proxies::default());
    let bare = self::script(&Rules::default(), &[], Proxies::default());
    assert_eq!(script.lines().count(), bare.lines().count());
    let at = bare.find("function has").expect("the program");
    assert!(script.ends_with(&bare[at..]), "{script}");
}

fn name(text: &str) -> Option<(NamePattern, bool)> {
    let mut characters = text.chars();
    let kind = characters.next()?;
    let name: Box<str> = characters.as_str().into();
    let pattern = match u32::from(kind) % 3 {
        0 => NamePattern::Exact(name),
        1 => NamePattern::Wildcard(name),
        _ => NamePattern::Suffix(name),
    };
    Some((pattern, u32::from(kind) % 2 == 0))
}

fn key(name: &NamePattern) -> String {
    let sign = match name {
        NamePattern::Exact(_) => '=',
        NamePattern::Wildcard(_) => '*',
        NamePattern::Suffix(_) => '+',
    };
    format!("{sign}{}", name.name())
}
