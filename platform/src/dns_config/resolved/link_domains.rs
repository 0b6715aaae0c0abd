//! Chooses what the link's domains are: which only route, which also complete short names, within what a link takes.

use super::{Folded, fold_domains};
use crate::dns_config::{Domains, resolv_conf::MOST_SEARCH_DOMAINS};

/// A domain, and whether it only routes: as the bus carries it.
pub(super) type LinkDomain = (String, bool);

/// The link's domains, at most `limit`: first those to search, in their order, then those that only route.
///
/// A domain of `known` is searched already, and so only routes here. Those to search are few, as they are elsewhere: the
/// stub's resolv.conf lists them.
pub(super) fn choose(domains: &Domains, known: &[String], limit: usize) -> (Vec<LinkDomain>, Folded) {
    let is_known = |domain: &str| known.iter().any(|known| same(known, domain));
    let mut chosen: Vec<LinkDomain> = Vec::new();
    let (old, new): (Vec<&String>, Vec<&String>) = domains.search.iter().partition(|domain| is_known(domain));
    for domain in new.into_iter().take(MOST_SEARCH_DOMAINS) {
        add(&mut chosen, domain, false);
    }
    for domain in domains.exact.iter().chain(old.into_iter().take(MOST_SEARCH_DOMAINS)) {
        add(&mut chosen, domain, true);
    }
    let uncovered = |domain: &&String| !chosen.iter().any(|(above, _)| covers(above, domain));
    let routing: Vec<String> = domains.routing.iter().filter(uncovered).cloned().collect();
    let folded = fold_domains(&routing, limit.saturating_sub(chosen.len()));
    for domain in &folded.domains {
        add(&mut chosen, domain, true);
    }
    (chosen, folded)
}

/// A domain that is given twice would be what it was given as last.
fn add(chosen: &mut Vec<LinkDomain>, domain: &str, route_only: bool) {
    if !chosen.iter().any(|(known, _)| same(known, domain)) {
        chosen.push((domain.to_owned(), route_only));
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// A domain of a link also routes what is below it.
fn covers(above: &str, domain: &str) -> bool {
    domain.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn chosen(domains: &Domains, known: &[&str], limit: usize) -> Vec<String> {
        let (chosen, _) = choose(domains, &texts(known), limit);
        assert!(chosen.len() <= limit);
        chosen
            .into_iter()
            .map(|(domain, route_only)| if route_only { format!("~{domain}") } else { domain })
            .collect()
    }

    #[test]
    fn search_domains_come_first_in_order_and_cover_what_is_below() {
        let domains = Domains {
            routing: texts(&["a.b.example", "b.example", "c.example", "xb.example"]),
            exact: texts(&["canary.example"]),
            search: texts(&["z.example", "b.example", "z.example"]),
        };
        let expected = ["z.example", "b.example", "~canary.example", "~c.example", "~xb.example"];
        assert_eq!(chosen(&domains, &[], 256), expected);
    }

    #[test]
    fn a_domain_that_is_searched_already_only_routes() {
        let domains = Domains { search: texts(&["b.example", "a.example"]), ..Domains::default() };
        assert_eq!(chosen(&domains, &["B.example."], 256), ["a.example", "~b.example"]);
    }

    #[test]
    fn domains_without_a_place_fold_and_the_exact_ones_never() {
        let routing: Vec<String> = (0..400).map(|i| format!("h{i}.corp.example")).collect();
        let domains = Domains { routing, exact: texts(&["canary.net"]), search: texts(&["s.example"]) };
        assert_eq!(chosen(&domains, &[], 256), ["s.example", "~canary.net", "~corp.example"]);
        let (_, folded) = choose(&domains, &[], 256);
        assert_eq!((folded.replaced, folded.dropped), (400, 0));
    }

    #[test]
    fn only_as_many_are_searched_as_every_program_takes() {
        let search: Vec<String> = (0..9).map(|i| format!("s{i}")).collect();
        assert_eq!(
            chosen(&Domains { search, ..Domains::default() }, &[], 256),
            ["s0", "s1", "s2", "s3", "s4", "s5"]
        );
    }
}
