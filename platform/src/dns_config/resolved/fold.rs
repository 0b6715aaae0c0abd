//! Fits many domains into the few that a link may have, by sending their parents our way instead.

use std::collections::{BTreeMap, BTreeSet};

/// The domains that a link is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Lower-case, without dots at the ends, sorted, none below another.
    pub domains: Vec<String>,
    /// Parents that stand for domains that were wanted below them.
    pub parents: Vec<String>,
    /// Wanted domains that a parent stands for.
    pub replaced: usize,
    /// Wanted domains that found no place: only when even top-level domains are too many.
    pub dropped: usize,
}

/// Folds domains into parents until at most `limit` are left: the deepest first, the largest families first.
///
/// More than was wanted then comes our way, which our resolver hands on unchanged. The root is never taken.
pub fn fold_domains(domains: &[String], limit: usize) -> Folded {
    let wanted =
        without_covered(domains.iter().map(|domain| normal(domain)).filter(|domain| !domain.is_empty()));
    let mut kept = wanted.clone();
    let mut depth = kept.iter().map(|domain| labels(domain)).max().unwrap_or(0);
    while kept.len() > limit && depth > 1 {
        kept = fold_depth(kept, depth, limit);
        depth -= 1;
    }
    let dropped = kept.iter().skip(limit).filter(|domain| wanted.contains(*domain)).count();
    let domains: Vec<_> = kept.into_iter().take(limit).collect();
    let parents: Vec<_> = domains.iter().filter(|domain| !wanted.contains(*domain)).cloned().collect();
    let replaced = wanted.iter().filter(|domain| domains.binary_search(domain).is_err()).count() - dropped;
    Folded { domains, parents, replaced, dropped }
}

/// Replaces the domains of one depth by their parents, as many families as it takes.
fn fold_depth(kept: BTreeSet<String>, depth: usize, limit: usize) -> BTreeSet<String> {
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    for domain in kept.iter().filter(|domain| labels(domain) == depth) {
        *families.entry(parent(domain)).or_default() += 1;
    }
    let mut by_size: Vec<_> = families.into_iter().collect();
    by_size.sort_by_key(|(parent, size)| (std::cmp::Reverse(*size), *parent));
    let mut excess = kept.len().saturating_sub(limit);
    let mut chosen = BTreeSet::new();
    for (parent, size) in by_size {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(size - 1);
        chosen.insert(parent);
    }
    let raised = kept.iter().map(|domain| {
        let up = parent(domain);
        if labels(domain) == depth && chosen.contains(up) { up.to_owned() } else { domain.clone() }
    });
    without_covered(raised)
}

/// A routing domain covers everything below it.
fn without_covered(domains: impl Iterator<Item = String>) -> BTreeSet<String> {
    let all: BTreeSet<String> = domains.collect();
    let covered = |domain: &str| {
        let mut rest = domain;
        while let Some((_, up)) = rest.split_once('.') {
            if all.contains(up) {
                return true;
            }
            rest = up;
        }
        false
    };
    all.iter().filter(|domain| !covered(domain)).cloned().collect()
}

fn normal(domain: &str) -> String {
    domain.trim_matches(['.', '~']).to_ascii_lowercase()
}

fn labels(domain: &str) -> usize {
    domain.split('.').count()
}

fn parent(domain: &str) -> &str {
    domain.split_once('.').map_or("", |(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fold(domains: &[&str], limit: usize) -> Folded {
        fold_domains(&domains.iter().map(|domain| (*domain).to_owned()).collect::<Vec<_>>(), limit)
    }

    #[test]
    fn few_domains_stay_as_they_are() {
        let folded = fold(&["b.example", "A.example.", "~c.b.example"], 4);
        assert_eq!(folded.domains, ["a.example", "b.example"]);
        assert_eq!((folded.replaced, folded.dropped), (0, 0));
        assert!(folded.parents.is_empty());
    }

    #[test]
    fn deepest_and_largest_family_is_folded_first() {
        let folded = fold(&["a.x.corp.example", "b.x.corp.example", "c.y.corp.example", "d.example"], 3);
        assert_eq!(folded.domains, ["c.y.corp.example", "d.example", "x.corp.example"]);
        assert_eq!((folded.parents, folded.replaced), (vec!["x.corp.example".to_owned()], 2));
    }

    #[test]
    fn hundred_thousand_domains_fit_quickly() {
        let domains: Vec<_> = (0..100_000).map(|n| format!("h{n}.z{}.corp.example", n % 1000)).collect();
        let folded = fold_domains(&domains, 256);
        assert_eq!(folded.domains, ["corp.example"]);
        assert_eq!((folded.replaced, folded.dropped), (100_000, 0));
    }

    #[test]
    fn too_many_top_level_domains_are_counted_as_dropped() {
        let folded = fold(&["a", "b", "c"], 2);
        assert_eq!((folded.domains, folded.dropped), (vec!["a".to_owned(), "b".to_owned()], 1));
    }

    proptest! {
        #[test]
        fn every_wanted_domain_is_covered_within_the_limit(
            domains in proptest::collection::vec("[a-c]\\.[a-c](\\.[a-c]){0,3}\\.top", 0..40),
            limit in 1_usize..10,
        ) {
            let folded = fold_domains(&domains, limit);
            prop_assert!(folded.domains.len() <= limit);
            prop_assert_eq!(folded.dropped, 0);
            for domain in &domains {
                let covers = |kept: &String| domain == kept || domain.ends_with(&format!(".{kept}"));
                prop_assert!(folded.domains.iter().any(covers), "{} in {:?}", domain, folded.domains);
            }
        }
    }
}
