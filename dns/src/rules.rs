//! Which rule decides about a name: exact names, wildcards and suffixes, at a cost that does not grow with them.
//!
//! | a name is under | decides |
//! | --- | --- |
//! | an exact rule and anything else | the exact rule |
//! | a wildcard and a suffix | the wildcard, however long the suffix |
//! | several wildcards | the longest |
//! | several suffixes | the longest |
//! | a grant and an exclusion of the same kind and name | the exclusion |
//!
//! A wildcard `*.name` covers every depth below `name`, but not `name` itself; a suffix covers both.

use std::collections::HashMap;
use std::fmt;

use crate::name::Name;
use crate::seeded_hash::SeededHash;

/// The names that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This name only.
    Exact(Name),
    /// `*.name`: any depth below the name, not the name itself.
    Wildcard(Name),
    /// The name and everything below it.
    Suffix(Name),
}

/// What a rule says about its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are reached through a gateway. `grant` is the caller's id of what allows it.
    Grant {
        /// The caller's id of the gateway.
        gateway: u32,
        /// The caller's id of what grants access; virtual addresses are counted against it.
        grant: u32,
    },
    /// They are none of ours, whatever a less exact rule says.
    Exclude,
}

/// A rule: names, and what is to be done about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The names.
    pub pattern: Pattern,
    /// What is to be done.
    pub action: Action,
}

/// Everything that is known about one name of the configuration.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    exact: Option<Action>,
    wildcard: Option<Action>,
    suffix: Option<Action>,
    forward: Option<u32>,
}

/// What is to be done about a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The action of the rule that decides, if one covers the name.
    pub(crate) action: Option<Action>,
    /// The number of the longest forward that covers the name.
    pub(crate) forward: Option<u32>,
}

/// All rules and forwards, found by the hash of a name's suffixes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleTable {
    /// Keys are names in wire format and lower case. Only looked up, never listed.
    nodes: HashMap<Box<[u8]>, Node, SeededHash>,
}

/// Two rules for the same names grant different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict;

impl RuleTable {
    /// Adds a rule. An exclusion stands above a grant of the same names; two different grants are a conflict.
    pub(crate) fn insert(&mut self, rule: Rule) -> Result<(), Conflict> {
        let slot = match rule.pattern {
            Pattern::Exact(name) => &mut self.node(name).exact,
            Pattern::Wildcard(name) => &mut self.node(name).wildcard,
            Pattern::Suffix(name) => &mut self.node(name).suffix,
        };
        match (*slot, rule.action) {
            (Some(Action::Exclude), Action::Grant { .. }) => Ok(()),
            (Some(Action::Grant { .. }), Action::Grant { .. }) if *slot != Some(rule.action) => Err(Conflict),
            (None | Some(Action::Exclude | Action::Grant { .. }), action) => {
                *slot = Some(action);
                Ok(())
            }
        }
    }

    /// Notes that a forward covers a name and all below it. There may be one per name.
    pub(crate) fn insert_forward(&mut self, suffix: Name, forward: u32) -> Result<(), Conflict> {
        match self.node(suffix).forward.replace(forward) {
            None => Ok(()),
            Some(_) => Err(Conflict),
        }
    }

    /// Gives back the memory that growing left over.
    pub(crate) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// Decides about a name in wire format and lower case. Nothing is allocated; the work is bounded by the name's
    /// labels, of which there are at most 127.
    pub(crate) fn decide(&self, name: &[u8]) -> Decision {
        let mut decision = Decision::default();
        let (mut wildcard, mut suffix, mut exact) = (None, None, None);
        for (depth, part) in suffixes(name).enumerate() {
            let Some(node) = self.nodes.get(part) else { continue };
            if depth == 0 {
                exact = node.exact;
            } else {
                wildcard = wildcard.or(node.wildcard);
            }
            suffix = suffix.or(node.suffix);
            decision.forward = decision.forward.or(node.forward);
        }
        decision.action = exact.or(wildcard).or(suffix);
        decision
    }

    fn node(&mut self, name: Name) -> &mut Node {
        self.nodes.entry(name.into_wire()).or_default()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(out, "{name}"),
            Self::Wildcard(name) => write!(out, "*.{name}"),
            Self::Suffix(name) => write!(out, "{name} and all below it"),
        }
    }
}

/// The name itself, then what is left after each label, down to the root.
fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name).filter(|name| !name.is_empty()), |rest| {
        let (&length, tail) = rest.split_first()?;
        tail.get(usize::from(length)..).filter(|_| length > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn grant(grant: u32) -> Action {
        Action::Grant { gateway: 1, grant }
    }

    fn table(rules: &[(Pattern, Action)]) -> RuleTable {
        let mut table = RuleTable::default();
        for (pattern, action) in rules {
            table.insert(Rule { pattern: pattern.clone(), action: *action }).unwrap();
        }
        table
    }

    #[test]
    fn the_table_of_precedence_holds() {
        let table = table(&[
            (Pattern::Exact(name("wiki.example.com")), grant(1)),
            (Pattern::Wildcard(name("example.com")), grant(2)),
            (Pattern::Wildcard(name("eng.example.com")), grant(3)),
            (Pattern::Suffix(name("deep.eng.example.com")), grant(4)),
            (Pattern::Suffix(name("corp")), grant(5)),
            (Pattern::Suffix(name("lab.corp")), Action::Exclude),
            (Pattern::Exact(name("one.lab.corp")), grant(6)),
            (Pattern::Exact(name("secret.example.com")), Action::Exclude),
        ]);
        let cases = [
            ("wiki.example.com", Some(grant(1))),
            ("a.wiki.example.com", Some(grant(2))),
            ("example.com", None),
            ("eng.example.com", Some(grant(2))),
            ("a.b.eng.example.com", Some(grant(3))),
            ("x.deep.eng.example.com", Some(grant(3))),
            ("corp", Some(grant(5))),
            ("a.b.corp", Some(grant(5))),
            ("lab.corp", Some(Action::Exclude)),
            ("two.lab.corp", Some(Action::Exclude)),
            ("one.lab.corp", Some(grant(6))),
            ("secret.example.com", Some(Action::Exclude)),
            ("notexample.com", None),
            ("com", None),
            (".", None),
        ];
        for (text, expected) in cases {
            assert_eq!(table.decide(name(text).as_wire()).action, expected, "{text}");
        }
    }

    #[test]
    fn an_exclusion_wins_a_tie_in_either_order() {
        let pattern = || Pattern::Wildcard(name("example.com"));
        for actions in [[grant(1), Action::Exclude], [Action::Exclude, grant(1)]] {
            let table = table(&actions.map(|action| (pattern(), action)));
            assert_eq!(table.decide(name("a.example.com").as_wire()).action, Some(Action::Exclude));
        }
    }

    #[test]
    fn two_grants_of_the_same_names_are_a_conflict() {
        let mut table = table(&[(Pattern::Exact(name("a.b")), grant(1))]);
        assert_eq!(table.insert(Rule { pattern: Pattern::Exact(name("a.b")), action: grant(1) }), Ok(()));
        assert_eq!(
            table.insert(Rule { pattern: Pattern::Exact(name("a.b")), action: grant(2) }),
            Err(Conflict)
        );
    }

    #[test]
    fn the_longest_forward_covers_its_apex_and_all_below() {
        let mut table = RuleTable::default();
        table.insert_forward(name("corp"), 0).unwrap();
        table.insert_forward(name("lab.corp"), 1).unwrap();
        let forward = |text: &str| table.decide(name(text).as_wire()).forward;
        assert_eq!(forward("corp"), Some(0));
        assert_eq!(forward("a.b.corp"), Some(0));
        assert_eq!(forward("lab.corp"), Some(1));
        assert_eq!(forward("x.lab.corp"), Some(1));
        assert_eq!(forward("x.lab"), None);
    }
}
