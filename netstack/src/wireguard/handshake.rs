//! Handshakes: when one begins, where it goes, and what an answer changes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::deadlines::{KEEPALIVE_TIMEOUT, LEAST_WAIT, REKEY_TIMEOUT};
use super::{OVERHEAD, Peer, message, written};
use crate::send_batch::SendBatch;

/// Packets for a lost peer make it try again at most this often.
pub(super) const LEAST_NUDGE: Duration = Duration::from_secs(1);

impl Peer {
    /// Begins a handshake now unless one is under way.
    pub fn connect(&mut self, batch: &mut SendBatch, now: Instant) {
        self.advance(batch, now);
        self.initiate(self.tunn.is_expired(), batch, now);
    }

    /// Somebody wants a peer that is lost: tries again now, unless that was done a moment ago.
    pub fn nudge(&mut self, batch: &mut SendBatch, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LEAST_NUDGE;
        if !self.deadlines.initiated_at.is_some_and(is_recent) {
            self.advance(batch, now);
            self.initiate(true, batch, now);
        }
    }

    /// The network changed or the machine woke up: makes a new session at once, however young the present one is, and
    /// with whatever address answers.
    pub fn reconnect(&mut self, batch: &mut SendBatch, now: Instant) {
        self.advance(batch, now);
        self.stats.trying_since = Some(now);
        self.race.end();
        self.deadlines.hurry();
        self.initiate(true, batch, now);
    }

    /// Where it may be has changed: the endpoint in use stays so for as long as it answers.
    pub fn set_endpoints(&mut self, endpoints: Vec<SocketAddr>, batch: &mut SendBatch, now: Instant) {
        let was_nowhere = self.race.endpoint().is_none();
        let has_new = self.race.replace(endpoints);
        if !has_new || self.stats.trying_since.is_none() {
            return;
        }
        self.advance(batch, now);
        if was_nowhere || self.deadlines.initiation_sent.is_none() {
            self.deadlines.hurry();
            return self.initiate(true, batch, now);
        }
        // one that is not sent to the others yet will be, if it must
        if self.race.due().is_none() {
            self.race.hasten(now);
            self.run_race(batch, now);
        }
    }

    pub(super) fn initiate(&mut self, is_forced: bool, batch: &mut SendBatch, now: Instant) {
        let Some(out) = batch.spare() else {
            self.deadlines.retry_at = Some(now + LEAST_WAIT);
            return;
        };
        if let Some(length) = written(self.tunn.format_handshake_initiation(out, is_forced)) {
            self.sent(batch, length, now);
        }
    }

    /// An initiation goes to the address in use: it is known from now on, and repeated to the others if need be.
    pub(super) fn initiated(&mut self, initiation: &[u8], now: Instant) {
        let is_first = self.stats.trying_since.is_none();
        let is_awaited = !is_first || !self.is_established(now) || self.deadlines.is_in_haste();
        self.race.begin(initiation, is_awaited, self.stats.round_trip, now);
        self.deadlines.initiated(now);
        self.stats.trying_since.get_or_insert(now);
    }

    /// Sends the initiation that is under way to those that have not had it, if that is due.
    pub(super) fn run_race(&mut self, batch: &mut SendBatch, now: Instant) {
        if self.race.due().is_none_or(|at| at > now) {
            return;
        }
        let is_way_back = self.race.is_way_back();
        if let Some(bytes) = self.race.run(batch, now) {
            self.stats.sent += bytes;
            if !is_way_back {
                self.stats.unanswered_at = Some(now);
            }
        }
    }

    /// Another server with the same key begins a handshake while the one in use answers: it would take the session
    /// away from it, and with it all flows that go through the one.
    pub(super) fn is_rival(&self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let is_answering =
            |at: Instant| now.saturating_duration_since(at) < KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
        message::is_initiation(datagram)
            && self.race.is_other(from)
            && self.stats.trying_since.is_none()
            && self.stats.proven_at.is_some_and(is_answering)
    }

    /// A handshake message came: send the answer, then what waited for the session.
    pub(super) fn answer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        answer: &[u8],
        batch: &mut SendBatch,
        now: Instant,
    ) {
        let is_cookie = answer.first() == Some(&message::COOKIE);
        if !is_cookie {
            self.established(from, datagram, answer, now);
        }
        if let Some(out) = batch.spare() {
            out[..answer.len()].copy_from_slice(answer);
            batch.push(from, answer.len());
            self.stats.sent += answer.len() as u64;
            self.deadlines.anything_sent = Some(now);
        }
        if !is_cookie {
            self.drain(batch, now);
        }
    }

    fn established(&mut self, from: SocketAddr, datagram: &[u8], answer: &[u8], now: Instant) {
        let is_awaited = self.deadlines.initiation_sent.take().is_some();
        let is_response = datagram.first() == Some(&message::RESPONSE);
        if let (true, Some(asked_at), true) = (is_awaited, self.race.asked_at(from), is_response) {
            self.stats.round_trip = Some(now.saturating_duration_since(asked_at));
        }
        self.session = if is_response { message::receiver(datagram) } else { message::sender(answer) };
        self.stats.established_at = Some(now);
        self.stats.trying_since = None;
        self.deadlines.established();
        self.race.end();
        self.received(from, datagram, now);
        self.way_back.established(self.race.is_at_later(), now);
    }

    /// Sends what waited for the session, as far as there is room.
    pub(super) fn drain(&mut self, batch: &mut SendBatch, now: Instant) {
        while let Some(out) = batch.spare() {
            let Some(length) = written(self.tunn.decapsulate(None, &[], out)) else {
                self.is_draining = false;
                return;
            };
            if !self.waiting.pop() {
                continue; // sealed, but its flow has lost its right
            }
            if length > OVERHEAD {
                self.deadlines.data_sent = Some(now);
            }
            self.sent(batch, length, now);
        }
        self.is_draining = true;
    }
}
