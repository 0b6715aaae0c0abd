//! Saying no: a packet that explains itself for the peer, and a word for the audit; both in bounds.

use std::net::SocketAddr;
use std::time::Instant;

use super::Gateway;
use super::admission::Verdict;
use super::event::Refusal;
use crate::counters::{DropReason, RefusalReason};
use crate::packet::facts::Facts;
use crate::packet::refusal;

/// Refusals of one device that are answered in a second; a scan of all ports is over soon, and costs no more than it
/// sends.
const MOST_ANSWERS: u32 = 5_000;
/// Refusals of one device that the audit is told of in a second.
const MOST_NOTICES: u32 = 10;

impl Gateway {
    /// The packet in the spare frame goes nowhere.
    pub(super) fn deny(&mut self, peer: u32, facts: &Facts, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Drop(reason) => self.drop(reason),
            Verdict::Stray => self.answer_denied(peer, facts, now),
            Verdict::Refuse(reason) => {
                self.notice(peer, facts, reason, now);
                self.answer_denied(peer, facts, now);
            }
        }
    }

    fn notice(&mut self, peer: u32, facts: &Facts, reason: RefusalReason, now: Instant) {
        let Some(slot) = self.peers.get_mut(peer) else { return };
        let (source, destination) = facts.ports().unwrap_or_default();
        let refusal = Refusal {
            peer,
            reason,
            protocol: facts.protocol,
            source: SocketAddr::new(facts.source, source),
            destination: SocketAddr::new(facts.destination, destination),
            left_out: slot.left_out,
        };
        let is_told = slot.notices.take(MOST_NOTICES, now) && self.events.tell_refusal(refusal);
        slot.left_out = if is_told { 0 } else { slot.left_out.saturating_add(1) };
    }

    fn answer_denied(&mut self, peer: u32, facts: &Facts, now: Instant) {
        if !self.peers.get_mut(peer).is_some_and(|slot| slot.refusals.take(MOST_ANSWERS, now)) {
            return self.drop(DropReason::RateLimited);
        }
        let Self { inner, scratch, .. } = self;
        let Some(packet) = inner.spare() else { return };
        if let Some(length) = refusal::write(scratch, packet, facts) {
            self.seal_scratch(peer, length, now);
        }
    }
}
