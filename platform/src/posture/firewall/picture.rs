//! Chains and rules of a firewall, reduced to one question: what becomes of a packet that nothing else is said about?

use std::collections::BTreeSet;

/// Families of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both.
    Both,
}

/// The chains of all tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// In any order.
    pub(super) chains: Vec<Chain>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// Whose packets its table sees.
    pub(super) family: Family,
    /// Its table.
    pub(super) table: String,
    /// Its name.
    pub(super) name: String,
    /// It sees every packet for this device, before programs do.
    pub(super) is_input: bool,
    /// What no rule decides on is dropped.
    pub(super) drops_by_default: bool,
    /// In order.
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Which packets it is about.
    pub(super) about: About,
    /// What it does.
    pub(super) goal: Goal,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// All.
    All,
    /// All but those that came by one link, such as the device's own.
    AllButALink,
    /// Those of some peers, ports or links.
    Some,
}

/// What a rule does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// It goes no further.
    Refuse,
    /// It is let in, as far as this chain is asked.
    Accept,
    /// Another chain of the same table decides.
    Chain(String),
    /// The next rule decides: counting, logging and what is not known here.
    Next,
}

impl Picture {
    /// The input chains that refuse by default, as `table chain`; tables that begin with `left_out` do not count.
    #[must_use]
    pub(super) fn refusing(&self, family: Family, left_out: &str) -> Vec<String> {
        let chains = self.chains.iter().filter(|chain| chain.is_input && chain.sees(family));
        let refusing = chains
            .filter(|chain| !chain.table.starts_with(left_out) && self.refuses(chain, &mut BTreeSet::new()));
        refusing.map(|chain| format!("{} {}", chain.table, chain.name)).collect()
    }

    /// Whether a packet that no particular rule is about is refused here: the first rule for all packets decides, or
    /// else the policy. Chains that call each other in a circle cannot be made, but are not followed twice.
    fn refuses<'a>(&'a self, chain: &'a Chain, seen: &mut BTreeSet<&'a str>) -> bool {
        for rule in chain.rules.iter().filter(|rule| rule.about != About::Some) {
            match &rule.goal {
                Goal::Refuse => return true,
                Goal::Accept if rule.about == About::All => return false,
                Goal::Accept | Goal::Next => {}
                Goal::Chain(name) => {
                    let called =
                        self.chains.iter().find(|other| other.is_beside(chain) && other.name == *name);
                    if let Some(called) = called.filter(|called| seen.insert(&called.name))
                        && self.refuses(called, seen)
                    {
                        return true;
                    }
                }
            }
        }
        chain.drops_by_default
    }
}

impl Chain {
    fn sees(&self, family: Family) -> bool {
        self.family == Family::Both || self.family == family
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.family == other.family && self.table == other.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(about: About, goal: Goal) -> Rule {
        Rule { about, goal }
    }

    fn chain(name: &str, is_input: bool, drops_by_default: bool, rules: &[Rule]) -> Chain {
        let (table, name) = ("filter".to_owned(), name.to_owned());
        Chain { family: Family::Both, table, name, is_input, drops_by_default, rules: rules.to_vec() }
    }

    fn refuses(chains: &[Chain]) -> bool {
        !Picture { chains: chains.to_vec() }.refusing(Family::V4, "openztna").is_empty()
    }

    #[test]
    fn policy_and_the_last_rule_for_all_decide() {
        let (all, some, but) = (About::All, About::Some, About::AllButALink);
        for (drops, rules, expected) in [
            (true, vec![], true),
            (false, vec![], false),
            (true, vec![rule(some, Goal::Accept)], true),
            (true, vec![rule(all, Goal::Accept)], false),
            (false, vec![rule(some, Goal::Refuse)], false), // such as fail2ban's
            (false, vec![rule(some, Goal::Accept), rule(all, Goal::Refuse)], true),
            (false, vec![rule(all, Goal::Next), rule(all, Goal::Refuse)], true),
            (false, vec![rule(all, Goal::Accept), rule(all, Goal::Refuse)], false),
            (false, vec![rule(but, Goal::Refuse)], true), // iifname != "lo" drop
            (true, vec![rule(but, Goal::Accept)], true),
        ] {
            assert_eq!(refuses(&[chain("input", true, drops, &rules)]), expected, "{drops} {rules:?}");
        }
    }

    #[test]
    fn chains_that_are_called_for_all_decide_too() {
        let call = |name: &str| rule(About::All, Goal::Chain(name.to_owned()));
        let strict = chain("strict", false, false, &[rule(About::All, Goal::Refuse)]);
        assert!(refuses(&[chain("input", true, false, &[call("strict")]), strict.clone()]));
        let some = rule(About::Some, Goal::Chain("strict".to_owned()));
        assert!(!refuses(&[chain("input", true, false, &[some]), strict.clone()]));
        assert!(!refuses(&[chain("input", true, false, &[call("gone")]), strict.clone()]));
        assert!(!refuses(&[chain("input", true, false, &[]), strict]), "nobody calls it");
        assert!(!refuses(&[
            chain("input", true, false, &[call("a")]),
            chain("a", false, false, &[call("a")])
        ]));
    }

    #[test]
    fn our_own_tables_and_other_families_do_not_count() {
        let own = Chain { table: "openztna_gateway".to_owned(), ..chain("input", true, true, &[]) };
        assert!(!refuses(&[own]));
        let ipv6 = Chain { family: Family::V6, ..chain("input", true, true, &[]) };
        let picture = Picture { chains: vec![ipv6] };
        assert_eq!(picture.refusing(Family::V4, "openztna"), [""; 0]);
        assert_eq!(picture.refusing(Family::V6, "openztna"), ["filter input"]);
    }
}
