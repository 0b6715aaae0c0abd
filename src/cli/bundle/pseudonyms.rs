//! Words for names, addresses and persons: the same one gets the same word, and nothing leads back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What is no name of a host though it has a dot.
const NO_NAMES: [&str; 17] = [
    "conf", "d", "gz", "html", "journal", "js", "json", "key", "lock", "log", "md", "pac", "pem", "rs",
    "service", "sock", "toml",
];
/// Shorter names would be found within ordinary sentences.
const SHORTEST: usize = 2;

/// What looks like an identity, the most special first. Each alternative is a group.
static IDENTITIES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let alternatives = [
        r"(?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)",
        r"(?P<key>[A-Za-z0-9+/]{43}=)",
        r"(?P<mac>\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b)",
        r"(?P<six>[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:\.\d{1,3}){0,3})",
        r"(?P<four>\b\d{1,3}(?:\.\d{1,3}){3}\b)",
        r"(?P<home>/home/[^/\s:]+)",
        r"(?P<name>\b(?:[\p{L}0-9_](?:[\p{L}0-9_-]*[\p{L}0-9_])?\.)+\p{L}[\p{L}0-9-]*\b)",
    ];
    Regex::new(&alternatives.join("|")).ok()
});

/// The words that were given.
#[derive(Debug, Default)]
pub(super) struct Pseudonyms {
    /// Names that are known, longest first, so that a part of one is not taken for another.
    known: Vec<(String, String)>,
    words: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Pseudonyms {
    /// Knows the names of a status, of persons and of the device.
    pub(super) fn new(status: Option<&Value>, users: &[String], host: &str) -> Self {
        let mut pseudonyms = Self::default();
        pseudonyms.know("device", host);
        users.iter().for_each(|user| pseudonyms.know("person", user));
        let list =
            |name: &str| status.and_then(|status| status[name].as_array()).cloned().unwrap_or_default();
        for gateway in list("gateways") {
            pseudonyms.know("gateway", gateway["name"].as_str().unwrap_or_default());
        }
        for application in list("applications") {
            for (kind, member) in [("application", "name"), ("description", "description")] {
                pseudonyms.know(kind, application[member].as_str().unwrap_or_default());
            }
        }
        pseudonyms.known.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        pseudonyms
    }

    /// Replaces all texts of a document but its keys.
    pub(super) fn replace_in(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.replace(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_in(item)),
            Value::Object(members) => {
                // names of settings are ours
                let members = members.iter_mut().filter(|(name, _)| *name != "key");
                members.for_each(|(_, value)| self.replace_in(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Replaces what a text tells.
    pub(super) fn replace(&mut self, text: &str) -> String {
        // without the expression nothing may leave
        let Some(identities) = IDENTITIES.as_ref() else { return String::new() };
        let mut known = text.to_owned();
        for (name, word) in &self.known {
            known = replace_whole(&known, name, word);
        }
        identities.replace_all(&known, |found: &Captures<'_>| self.word(found, &known)).into_owned()
    }

    fn know(&mut self, kind: &'static str, name: &str) {
        if name.chars().count() >= SHORTEST && name != "localhost" {
            let word = self.word_for(kind, name);
            self.known.push((name.to_owned(), word));
        }
    }

    fn word(&mut self, found: &Captures<'_>, whole: &str) -> String {
        let text = &found[0];
        if found.name("six").is_some_and(|six| is_within_word(whole, six.range())) {
            return text.to_owned(); // a path of a program's parts
        }
        let is = |group| found.name(group).is_some();
        let kind = if is("mail") {
            "person"
        } else if is("key") {
            "key"
        } else if is("mac") {
            "mac"
        } else if is("home") {
            return self.word_for("/home/person", text);
        } else if is("name") {
            let last = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            if NO_NAMES.contains(&last.as_str()) {
                return text.to_owned();
            }
            "host"
        } else {
            match text.parse::<IpAddr>() {
                Ok(address) if tells_nothing(address) => return text.to_owned(),
                Ok(IpAddr::V4(_)) => "ipv4",
                Ok(IpAddr::V6(_)) => "ipv6",
                Err(_) => return text.to_owned(), // a time, a version
            }
        };
        self.word_for(kind, &text.to_lowercase())
    }

    fn word_for(&mut self, kind: &'static str, name: &str) -> String {
        if let Some(word) = self.words.get(name) {
            return word.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let word = format!("{kind}-{count}");
        self.words.insert(name.to_owned(), word.clone());
        word
    }
}

/// Loopback and unspecified addresses are those of every device.
fn tells_nothing(address: IpAddr) -> bool {
    address.is_loopback()
        || [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()].contains(&address)
}

fn is_within_word(text: &str, part: std::ops::Range<usize>) -> bool {
    let (before, after) = (text[..part.start].chars().next_back(), text[part.end..].chars().next());
    is_part(before) || is_part(after)
}

fn is_part(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_alphanumeric() || character == '_')
}

/// Replaces a name where it stands as a word of its own.
fn replace_whole(text: &str, name: &str, word: &str) -> String {
    let (mut replaced, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let is_whole = !is_part(before.chars().next_back()) && !is_part(after.chars().next());
        replaced += before;
        replaced += if is_whole { word } else { name };
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pseudonyms() -> Pseudonyms {
        let status = json!({
            "gateways": [{ "name": "berlin" }],
            "applications": [{ "name": "payroll", "description": "Run by Alice Example" }],
        });
        Pseudonyms::new(Some(&status), &["alice".to_owned()], "alices-laptop")
    }

    #[test]
    fn nothing_that_names_somebody_is_left() {
        let text = "berlin answers alice@corp.example.com on alices-laptop: payroll.corp.example.com is 10.77.0.80 and \
                    fd77::80, key TIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dgk=, 02:42:ac:11:00:02, /home/alice/x, \
                    user alice: Run by Alice Example";
        let shown = pseudonyms().replace(text);
        for told in
            ["berlin", "alice", "corp", "payroll", "10.77", "fd77", "TIBA5", "02:42", "laptop", "Example"]
        {
            assert!(!shown.contains(told), "{told}: {shown}");
        }
    }

    #[test]
    fn the_same_has_the_same_word_everywhere() {
        let mut pseudonyms = pseudonyms();
        let first = pseudonyms.replace("wiki.example.com 192.0.2.1");
        let again = pseudonyms.replace("WIKI.example.com 192.0.2.1 192.0.2.2");
        assert_eq!(first, "host-1 ipv4-1");
        assert_eq!(again, "host-1 ipv4-1 ipv4-2");
    }

    #[test]
    fn what_names_nobody_stays() {
        let text = "2026-11-22T13:04:37.322Z  INFO openztna::api 0.1.0 on 127.0.0.1:8086 and [::1]:80, 0.0.0.0, \
                    /etc/resolv.conf, client-connector.toml:12, 12:30:45";
        assert_eq!(pseudonyms().replace(text), text);
    }

    #[test]
    fn keys_of_settings_stay_and_values_do_not() {
        let mut value = json!({ "settings": [{ "key": "server.host", "value": "gw.example.com" }] });
        pseudonyms().replace_in(&mut value);
        assert_eq!(value, json!({ "settings": [{ "key": "server.host", "value": "host-1" }] }));
    }
}
