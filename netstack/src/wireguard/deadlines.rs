//! When a peer must be told the time: the instants that boringtun keeps to itself, and those of our own haste.

use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;

use super::{Peer, race};
use crate::send_batch::SendBatch;

/// A handshake initiation is sent again after this long.
pub(super) const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this much later, so that peers do not fall into step (paper: a third of a second).
const MOST_JITTER: u32 = 333;
/// An answer of no content is due after data came and nothing went for this long.
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// boringtun gives a handshake up after 90 s; we begin anew this much later while the gateway is wanted.
const RETRY_AFTER_GIVING_UP: Duration = Duration::from_secs(15);
/// A deadline that has passed without effect is looked at again after this long, never at once.
pub(super) const LEAST_WAIT: Duration = Duration::from_millis(500);
/// In haste an initiation is sent again after this long: TCP's first repetition of a SYN (RFC 6298, section 2).
pub(super) const HASTE: Duration = Duration::from_secs(1);
/// Initiations that are sent again in haste before the pace is the usual one.
const HASTY_TRIES: u8 = 3;

/// What happened last, and what is due next.
pub(super) struct Deadlines {
    keepalive: Option<Duration>,
    keepalive_due: Option<Instant>,
    /// The initiation that is under way.
    pub(super) initiation_sent: Option<Instant>,
    /// The last one, answered or not.
    pub(super) initiated_at: Option<Instant>,
    pub(super) data_sent: Option<Instant>,
    pub(super) anything_sent: Option<Instant>,
    pub(super) data_received: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    updated_at: Option<Instant>,
    hasty_tries: u8,
    jitter: u32,
}

impl Deadlines {
    pub(super) fn new(keepalive: Option<Duration>, seed: &[u8; 32], now: Instant) -> Self {
        Self {
            keepalive,
            keepalive_due: keepalive.map(|interval| now + interval),
            initiation_sent: None,
            initiated_at: None,
            data_sent: None,
            anything_sent: None,
            data_received: None,
            retry_at: None,
            updated_at: None,
            hasty_tries: 0,
            jitter: u32::from_le_bytes([seed[0], seed[1], seed[2], 0]),
        }
    }

    /// An initiation was sent.
    pub(super) fn initiated(&mut self, now: Instant) {
        if self.retry_at.take().is_some() {
            // boringtun begins anew, and all of its timers with it
            self.keepalive_due = self.keepalive.map(|interval| now + interval);
        }
        (self.initiation_sent, self.initiated_at) = (Some(now), Some(now));
        self.jitter = self.jitter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }

    /// Somebody waits: the next initiations follow each other quickly.
    pub(super) fn hurry(&mut self) {
        self.hasty_tries = HASTY_TRIES;
    }

    pub(super) fn is_in_haste(&self) -> bool {
        self.hasty_tries > 0
    }

    /// There is a session.
    pub(super) fn established(&mut self) {
        (self.retry_at, self.hasty_tries) = (None, 0);
    }

    /// When the initiation under way is repeated in haste.
    fn haste_due(&self) -> Option<Instant> {
        self.initiation_sent.filter(|_| self.is_in_haste()).map(|sent| sent + HASTE)
    }

    /// The next keepalive counts from what was really sent, be it a handshake: boringtun's clock may be a moment
    /// behind ours, and then it is asked again soon.
    fn renew_keepalive(&mut self, now: Instant) {
        if self.keepalive_due.is_some_and(|due| due <= now) {
            self.keepalive_due = self.keepalive.map(|interval| now + interval);
        }
    }

    /// What boringtun waits for without a handshake under way.
    fn of_session(&self, proven_at: Option<Instant>, is_draining: bool) -> Option<Instant> {
        let later = |this: Option<Instant>, that: Option<Instant>| {
            that.filter(|that| this.is_some_and(|at| at > *that))
        };
        let unanswered = later(self.data_sent, proven_at).map(|at| at + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
        let answer = later(self.data_received, self.anything_sent).map(|at| at + KEEPALIVE_TIMEOUT);
        let drain = self.updated_at.filter(|_| is_draining);
        [unanswered, answer, self.keepalive_due, drain].into_iter().flatten().min()
    }

    fn jitter(&self) -> Duration {
        Duration::from_millis(u64::from((self.jitter >> 16) % MOST_JITTER))
    }
}

impl Peer {
    /// When [`Self::advance`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = &self.deadlines;
        let of_protocol = match (at.retry_at, at.initiation_sent) {
            (Some(at), _) => Some(at),
            (None, Some(sent)) => Some(sent + REKEY_TIMEOUT + at.jitter()),
            (None, None) => at.of_session(self.stats.proven_at, self.is_draining),
        };
        let of_protocol = of_protocol.map(|due| at.updated_at.map_or(due, |at| due.max(at + LEAST_WAIT)));
        // ours are exact, but for a full batch that kept them from being done
        let ours = [at.haste_due(), self.doubt_due(), self.race.due()].into_iter().flatten().min();
        let ours = ours.map(|due| match at.updated_at {
            Some(at) if at >= due => at + LEAST_WAIT,
            Some(_) | None => due,
        });
        [of_protocol, ours].into_iter().flatten().min()
    }

    /// Tells boringtun the time and sends what is due: to be called at the deadline and before each batch.
    pub fn advance(&mut self, batch: &mut SendBatch, now: Instant) {
        if self.deadlines.updated_at == Some(now) {
            return;
        }
        self.deadlines.updated_at = Some(now);
        if self.is_draining {
            self.drain(batch, now);
        }
        self.ask_first(batch, now);
        let Some(out) = batch.spare() else { return };
        match self.tunn.update_timers(out) {
            TunnResult::WriteToNetwork(datagram) => {
                let length = datagram.len();
                self.deadlines.renew_keepalive(now);
                self.sent(batch, length, now);
            }
            TunnResult::Err(_) => self.give_up(now),
            TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => {}
        }
        if self.deadlines.retry_at.is_some_and(|at| at <= now) {
            self.initiate(true, batch, now);
        }
        self.press(batch, now);
    }

    /// What silence asks for: a doubt, an early repetition, the race.
    fn press(&mut self, batch: &mut SendBatch, now: Instant) {
        if self.doubt_due().is_some_and(|at| at <= now) {
            self.doubt.raised(self.patience());
            self.deadlines.hurry();
            match self.deadlines.initiation_sent {
                Some(_) => self.race.hasten(now),
                None => self.initiate(false, batch, now),
            }
        }
        if self.deadlines.haste_due().is_some_and(|at| at <= now) {
            self.deadlines.hasty_tries -= 1;
            self.initiate(true, batch, now);
        }
        self.run_race(batch, now);
    }

    /// When what was sent has been unanswered for too long; `None` when nothing follows from it, or does already.
    fn doubt_due(&self) -> Option<Instant> {
        let is_idle = self.deadlines.retry_at.is_none() && !self.race.is_on();
        self.doubt.due(self.patience()).filter(|_| is_idle && self.race.has_alternative())
    }

    /// How long an unanswered packet is borne: twice as long as a handshake, so that with both a gateway is replaced
    /// within the second after which TCP repeats its SYN.
    fn patience(&self) -> Duration {
        race::patience(self.stats.round_trip) * 2
    }

    /// After boringtun gave up: begin anew later while somebody wants the gateway.
    pub(super) fn give_up(&mut self, now: Instant) {
        let at = &mut self.deadlines;
        (at.initiation_sent, at.data_sent, at.data_received, at.hasty_tries) = (None, None, None, 0);
        let is_wanted = at.keepalive.is_some() || self.stats.trying_since.is_some();
        if at.retry_at.is_none() && is_wanted && self.is_insistent {
            at.retry_at = Some(now + RETRY_AFTER_GIVING_UP);
        }
        if !self.is_insistent {
            self.stats.trying_since = None;
        }
        self.race.end();
        self.doubt.answered();
        self.waiting.clear();
        self.is_draining = false;
        self.stats.established_at = None;
    }
}
