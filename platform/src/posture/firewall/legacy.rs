//! The firewall of kernels and programs before nf_tables, by the program iptables-legacy-save(8).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::picture::{About, Chain, Family, Goal, Rule};
use crate::process;

/// How long the program may take; it needs some milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// A family's tables in the kernel, and the program that lists them.
const FAMILIES: [(Family, &str, &str); 2] = [
    (Family::V4, "proc/net/ip_tables_names", "iptables-legacy-save"),
    (Family::V6, "proc/net/ip6_tables_names", "ip6tables-legacy-save"),
];

/// The chains of the table `filter`, where the kernel has one of the old kind; the program is not asked otherwise.
pub(super) fn chains(root: &Path) -> Vec<Chain> {
    FAMILIES
        .iter()
        .flat_map(|(family, names, program)| of_family(*family, &root.join(names), program))
        .collect()
}

fn of_family(family: Family, names: &Path, program: &str) -> Vec<Chain> {
    let has_filter =
        std::fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "filter"));
    let Some(program) = has_filter.then(|| process::find(program)).flatten() else { return Vec::new() };
    let mut command = Command::new(program);
    command.args(["-t", "filter"]).env_clear();
    match process::run(&mut command, "", LIMIT) {
        Ok(printed) => parse(family, &printed),
        Err(error) => {
            tracing::debug!(%error, "the old firewall cannot be listed");
            Vec::new()
        }
    }
}

/// Lines such as `:INPUT DROP [0:0]` and `-A INPUT -i lo -j ACCEPT`.
fn parse(family: Family, printed: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some(word) if word.starts_with(':') => {
                let name = word[1..].to_owned();
                let (is_input, drops_by_default) = (name == "INPUT", words.next() == Some("DROP"));
                let table = "iptables-legacy".to_owned();
                chains.push(Chain { family, table, name, is_input, drops_by_default, rules: Vec::new() });
            }
            Some("-A") => {
                let name = words.next();
                let chain = chains.iter_mut().find(|chain| Some(chain.name.as_str()) == name);
                if let Some(chain) = chain {
                    chain.rules.push(rule(&words.collect::<Vec<_>>()));
                }
            }
            Some(_) | None => {}
        }
    }
    chains
}

fn rule(words: &[&str]) -> Rule {
    let target = words.iter().position(|word| ["-j", "-g"].contains(word));
    let (conditions, target) = words.split_at(target.unwrap_or(words.len()));
    let goal = match target.get(1) {
        Some(&"DROP" | &"REJECT") => Goal::Refuse,
        Some(&"ACCEPT") => Goal::Accept,
        Some(&"LOG" | &"RETURN") | None => Goal::Next,
        Some(chain) => Goal::Chain((*chain).to_owned()),
    };
    let about = match conditions {
        [] => About::All,
        ["!", "-i", _] => About::AllButALink,
        _ => About::Some,
    };
    Rule { about, goal }
}

#[cfg(test)]
mod tests {
    use super::super::picture::Picture;
    use super::*;

    #[test]
    fn what_the_old_program_prints_is_understood() {
        let refusing = |printed: &str| {
            !Picture { chains: parse(Family::V4, printed) }.refusing(Family::V4, "x").is_empty()
        };
        assert!(refusing(
            "*filter\n:INPUT DROP [1:2]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
        ));
        assert!(!refusing(":INPUT DROP [1:2]\n-A INPUT -j ACCEPT\n"));
        assert!(refusing(
            ":INPUT ACCEPT [0:0]\n:ufw-end - [0:0]\n-A INPUT -j ufw-end\n-A ufw-end -j REJECT --reject-with x\n"
        ));
        assert!(!refusing(":INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.1/32 -j DROP\n-A INPUT -j LOG\n"));
    }
}
