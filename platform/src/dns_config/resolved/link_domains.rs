//! Chooses what the link's domains are: which only route, which also complete short names, within what a link takes.

use super::{Folded, fold_domains};
use crate::dns_config::Domains;

/// A domain, and whether it only routes: as the bus carries it.
pub(super) type LinkDomain = (String, bool);

/// What a link is given.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) domains: Vec<LinkDomain>,
    pub(super) folded: Folded,
    /// Wanted search domains that only route.
    pub(super) not_searched: Vec<String>,
}

/// The link's domains, at most `limit`: first those to search, then those that only route.
///
/// `known` are those that the system and other links search already, in their order. systemd-resolved completes short
/// names for each link with that link's own list, so that ours must have such a domain too. But the lists are also put
/// together, ours first perhaps, so that the order of theirs would change if one were taken out of the midst: only those
/// with which theirs begins are searched here as well, in their order.
pub(super) fn choose(wanted: &Domains, known: &[String], limit: usize) -> Chosen {
    let is_in = |list: &[String], domain: &str| list.iter().any(|other| same(other, domain));
    let shared: Vec<&String> = known.iter().take_while(|known| is_in(&wanted.search, known)).collect();
    let new = wanted.search.iter().filter(|domain| !is_in(known, domain));
    let mut domains: Vec<LinkDomain> = Vec::new();
    for domain in shared.into_iter().chain(new).take(limit.saturating_sub(wanted.exact.len())) {
        add(&mut domains, domain, false);
    }
    let not_searched: Vec<String> = wanted
        .search
        .iter()
        .filter(|domain| !domains.iter().any(|(is, _)| same(is, domain)))
        .cloned()
        .collect();
    let room = limit.saturating_sub(domains.len());
    for domain in wanted.exact.iter().chain(&not_searched).take(room) {
        add(&mut domains, domain, true);
    }
    let uncovered = |domain: &&String| !domains.iter().any(|(above, _)| covers(above, domain));
    let routing: Vec<String> = wanted.routing.iter().filter(uncovered).cloned().collect();
    let folded = fold_domains(&routing, limit.saturating_sub(domains.len()));
    for domain in &folded.domains {
        add(&mut domains, domain, true);
    }
    Chosen { domains, folded, not_searched }
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
        let chosen = choose(domains, &texts(known), limit);
        assert!(chosen.domains.len() <= limit);
        chosen
            .domains
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
    fn domains_that_are_searched_already_are_searched_here_where_that_changes_no_order() {
        let domains = Domains { search: texts(&["b.example", "a.example"]), ..Domains::default() };
        assert_eq!(chosen(&domains, &["B.example."], 256), ["B.example.", "a.example"]);
        assert_eq!(chosen(&domains, &["a.example", "b.example"], 256), ["a.example", "b.example"]);
        assert_eq!(chosen(&domains, &["b.example", "x", "a.example"], 256), ["b.example", "~a.example"]);
        assert_eq!(choose(&domains, &texts(&["x", "b.example"]), 256).not_searched, ["b.example"]);
    }

    #[test]
    fn domains_without_a_place_fold_and_the_exact_ones_never() {
        let routing: Vec<String> = (0..400).map(|i| format!("h{i}.corp.example")).collect();
        let domains = Domains { routing, exact: texts(&["canary.net"]), search: texts(&["s.example"]) };
        assert_eq!(chosen(&domains, &[], 256), ["s.example", "~canary.net", "~corp.example"]);
        let folded = choose(&domains, &[], 256).folded;
        assert_eq!((folded.replaced, folded.dropped), (400, 0));
    }

    #[test]
    fn search_domains_without_a_place_are_told() {
        let search: Vec<String> = (0..9).map(|i| format!("s{i}")).collect();
        let domains = Domains { search, exact: texts(&["canary.net"]), ..Domains::default() };
        let expected = ["s0", "s1", "s2", "~canary.net"];
        assert_eq!(chosen(&domains, &[], 4), expected);
        assert_eq!(choose(&domains, &[], 4).not_searched.len(), 6);
        assert_eq!(chosen(&domains, &[], 256).len(), 10);
    }
}
