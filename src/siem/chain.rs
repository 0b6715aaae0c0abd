//! Heads of the chain: what the SIEM gets as a witness of what the spool held.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;

use super::spool::{Hash, from_hex, hex};
use crate::event::{Event, Field, Kind};

/// Events until the next head.
const EVERY: u64 = 1_000;
/// The longest that an event has no head behind it, while there are events.
const INTERVAL: Duration = Duration::from_secs(60);

/// Says when a head is due.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The latest event without a head behind it.
    latest: Option<(u64, Hash)>,
    /// How many have none.
    count: u64,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Chain {
    /// An event was kept.
    pub(super) fn add(&mut self, latest: (u64, Hash), now: Instant) {
        self.latest = Some(latest);
        self.count += 1;
        self.since.get_or_insert(now);
    }

    /// When a head is due though nothing more comes.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + INTERVAL)
    }

    /// The head that is due now, if one is; it must not be added itself.
    pub(super) fn due(&mut self, now: Instant) -> Option<Event> {
        let is_old = self.since.is_some_and(|since| now.saturating_duration_since(since) >= INTERVAL);
        if self.count < EVERY && !is_old {
            return None;
        }
        (self.count, self.since) = (0, None);
        self.latest.take().map(|(sequence, hash)| head(sequence, &hash))
    }
}

fn head(sequence: u64, hash: &Hash) -> Event {
    let hash = hex(hash);
    Event::new(Kind::ChainHead, format!("chain head {sequence} sha256 {hash}"))
        .with(Field::Sequence, sequence)
        .with(Field::Hash, hash)
}

/// The heads in lines of any format: by the sentence, which is the same in all of them.
pub(super) fn heads(text: &str) -> BTreeMap<u64, Hash> {
    static HEAD: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("chain head ([0-9]+) sha256 ([0-9a-f]{64})").ok());
    let found = HEAD.iter().flat_map(|head| head.captures_iter(text));
    found.filter_map(|found| Some((found[1].parse().ok()?, from_hex(&found[2])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_after_so_many_events_or_so_long() {
        let (mut chain, start) = (Chain::default(), Instant::now());
        assert_eq!(chain.due(start + 2 * INTERVAL), None, "nothing happened");
        for sequence in 1..EVERY {
            chain.add((sequence, [1; 32]), start);
        }
        assert_eq!(chain.due(start), None);
        chain.add((EVERY, [2; 32]), start);
        let event = chain.due(start).unwrap();
        assert_eq!(event.field(Field::Sequence), Some("1000"));
        assert_eq!(chain.due(start + 2 * INTERVAL), None, "it has its head");
        chain.add((EVERY + 2, [3; 32]), start);
        assert!(chain.due(start + INTERVAL / 2).is_none() && chain.due(start + INTERVAL).is_some());
    }

    #[test]
    fn heads_are_found_in_lines_of_any_format() {
        let event = head(1_234, &[0xab; 32]);
        let text = format!(
            "<110>1 … msg={} cn1=5\nno head\n{{\"message\":\"{}\"}}",
            event.message,
            head(7, &[1; 32]).message
        );
        assert_eq!(heads(&text), BTreeMap::from([(7, [1; 32]), (1_234, [0xab; 32])]));
    }
}
