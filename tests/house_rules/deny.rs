//! Licences, bans and sources of the dependencies against `deny.toml`, for machines without cargo-deny.

use std::collections::BTreeSet;
use std::process::Command;

use crate::source::{read, repository_root};

/// How the source of a package from the registry begins; a Git or a local path begins otherwise.
const REGISTRY: &str = "registry+";

/// Packages of the dependency graph that `deny.toml` does not let in, one line each with the reason.
pub(crate) fn denied() -> Vec<String> {
    let deny: toml::Table = read("deny.toml").parse().expect("deny.toml");
    let allowed = texts(&deny["licenses"]["allow"]);
    let banned: BTreeSet<String> = deny["bans"]["deny"]
        .as_array()
        .expect("bans.deny")
        .iter()
        .flat_map(|ban| texts(&ban["crate"]))
        .collect();
    let metadata = cargo_metadata();
    let packages = metadata["packages"].as_array().expect("packages of cargo metadata");
    assert!(packages.len() > 10 && !banned.is_empty(), "cargo metadata lists the dependencies");
    let findings = packages.iter().flat_map(|package| {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or("none");
        let source = package["source"].as_str().unwrap_or(REGISTRY);
        [
            (!is_allowed(licence, &allowed)).then(|| format!("{name}: licence `{licence}`")),
            banned.contains(name).then(|| format!("{name}: banned")),
            (!source.starts_with(REGISTRY)).then(|| format!("{name}: source `{source}`")),
        ]
    });
    findings.flatten().collect()
}

/// The texts of an array, or the one text.
fn texts(value: &toml::Value) -> BTreeSet<String> {
    let one = value.as_str().into_iter();
    let many = value.as_array().into_iter().flatten().filter_map(toml::Value::as_str);
    one.chain(many).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences.
///
/// `A/B` is the old spelling of `A OR B`; `AND` binds tighter than `OR`.
pub(crate) fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut words = Words { rest: &expression };
    let result = any_of(&mut words, allowed);
    result && words.rest.trim().is_empty()
}

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = all_of(words, allowed);
    while words.take("OR") {
        result |= all_of(words, allowed);
    }
    result
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = one(words, allowed);
    while words.take("AND") {
        result &= one(words, allowed);
    }
    result
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    if words.take("(") {
        let result = any_of(words, allowed);
        return words.take(")") && result;
    }
    let mut licence = words.next();
    if words.take("WITH") {
        licence = format!("{licence} WITH {}", words.next());
    }
    allowed.contains(&licence)
}

/// The words of an expression; parentheses stand for themselves.
struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn take(&mut self, word: &str) -> bool {
        let mut ahead = Words { rest: self.rest };
        let is_next = ahead.next() == word;
        if is_next {
            self.rest = &self.rest[self.rest.len() - ahead.rest.len()..];
        }
        is_next
    }

    fn next(&mut self) -> String {
        let text = self.rest.trim_start();
        let end = match text.find(|c: char| c.is_whitespace() || c == '(' || c == ')') {
            Some(0) => 1,
            Some(end) => end,
            None => text.len(),
        };
        self.rest = &text[end..];
        text[..end].to_owned()
    }
}

fn cargo_metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(repository_root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON of cargo metadata")
}

#[test]
fn expressions_are_met_only_with_allowed_licences() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for met in
        ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND ISC", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_allowed(met, &allowed), "{met}");
    }
    for unmet in ["none", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT OR GPL-3.0) AND Zlib", "(MIT"] {
        assert!(!is_allowed(unmet, &allowed), "{unmet}");
    }
}
