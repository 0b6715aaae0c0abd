//! Whether a peer still answers: an early suspicion, far before WireGuard's own 15 seconds, where there is another way.

use std::time::{Duration, Instant};

/// At most this long passes before an unanswered packet raises doubt, however often it was raised in vain. A peer that
/// has nothing to say sends a keepalive after 10 s (WireGuard paper, section 6.5), which answers as well.
const LONGEST: Duration = Duration::from_secs(15);
/// A packet that may need no answer counts when another one follows this much later: somebody is still trying.
const INSISTENCE: Duration = Duration::from_millis(200);

/// How sure it is that a packet is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It is, unless it is lost: a TCP segment that takes up sequence numbers, an echo request, a query.
    Sure,
    /// It may be: UDP.
    Likely,
}

/// What was sent and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Since when an answer is due.
    unanswered: Option<Instant>,
    /// Since when one may be due.
    unsure: Option<Instant>,
    /// How long the next doubt waits at least, after the earlier ones were wrong.
    backoff: Duration,
}

impl Doubt {
    /// A packet was sent that wants an answer.
    pub(super) fn expect(&mut self, expectation: Expectation, now: Instant) {
        if self.unanswered.is_some() {
            return;
        }
        self.unanswered = match expectation {
            Expectation::Sure => Some(now),
            Expectation::Likely => {
                let first = *self.unsure.get_or_insert(now);
                (now.saturating_duration_since(first) >= INSISTENCE).then_some(first)
            }
        };
    }

    /// Something authentic came.
    pub(super) fn answered(&mut self) {
        (self.unanswered, self.unsure) = (None, None);
    }

    /// Packets came: the way is good, and the next doubt is early again.
    pub(super) fn relieved(&mut self) {
        self.answered();
        self.backoff = Duration::ZERO;
    }

    /// When doubt is raised if nothing comes; `patience` is the least wait.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        self.unanswered.map(|since| since + patience.max(self.backoff))
    }

    /// It was raised: the next time waits twice as long, unless packets come in between.
    pub(super) fn raised(&mut self, patience: Duration) {
        self.backoff = (self.backoff.max(patience) * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(600);

    #[test]
    fn a_sure_expectation_counts_from_the_first_packet() {
        let now = crate::packets_for_tests::start();
        let mut doubt = Doubt::default();
        doubt.expect(Expectation::Sure, now);
        doubt.expect(Expectation::Sure, now + PATIENCE / 2);
        assert_eq!(doubt.due(PATIENCE), Some(now + PATIENCE));
        doubt.answered();
        assert_eq!(doubt.due(PATIENCE), None);
    }

    #[test]
    fn one_burst_of_udp_raises_no_doubt_and_an_insisting_one_does() {
        let now = crate::packets_for_tests::start();
        let mut doubt = Doubt::default();
        doubt.expect(Expectation::Likely, now);
        doubt.expect(Expectation::Likely, now + INSISTENCE / 2);
        assert_eq!(doubt.due(PATIENCE), None);
        doubt.expect(Expectation::Likely, now + INSISTENCE);
        assert_eq!(doubt.due(PATIENCE), Some(now + PATIENCE));
    }

    #[test]
    fn doubts_that_were_wrong_get_rarer_until_packets_come() {
        let now = crate::packets_for_tests::start();
        let mut doubt = Doubt::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            doubt.expect(Expectation::Sure, now);
            waits.push((doubt.due(PATIENCE).unwrap() - now).as_millis());
            doubt.raised(PATIENCE);
            doubt.answered();
        }
        assert_eq!(waits, [600, 1_200, 2_400, 4_800, 9_600, 15_000, 15_000]);
        doubt.relieved();
        doubt.expect(Expectation::Sure, now);
        assert_eq!(doubt.due(PATIENCE), Some(now + PATIENCE));
    }
}
