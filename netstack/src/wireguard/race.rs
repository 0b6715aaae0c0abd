//! Which addresses an initiation goes to: the one in use first, all others when it stays silent; on the way back the
//! other way round.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::INITIATION_LENGTH;
use super::way_back;
use crate::send_batch::SendBatch;

/// An initiation that is unanswered for this long is sent to the other addresses as well: the delay of RFC 8305,
/// section 5.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);
/// Two round trips where that is longer, up to this: the doubt before waits twice as long again, and all of it must fit
/// between a SYN and its second repetition, also where one slow handshake makes the way look long.
const MOST_PATIENCE: Duration = Duration::from_millis(500);
/// Addresses that are kept of one peer: a race costs a datagram for each.
const MOST_ENDPOINTS: usize = 16;

/// The addresses, and the initiation that is under way.
pub(super) struct Race {
    endpoint: Option<SocketAddr>,
    endpoints: Vec<SocketAddr>,
    can_move: bool,
    initiation: [u8; INITIATION_LENGTH],
    due: Option<Instant>,
    /// The handshake that is under way was sent to all, and so are its repetitions.
    is_open: bool,
    /// The next initiation, or the one under way, asks the first address whether it is back.
    is_way_back: bool,
    /// Whom the initiation under way was sent to first, and when.
    began: Option<(SocketAddr, Instant)>,
    /// When it was sent to the others.
    ran_at: Option<Instant>,
}

impl Race {
    pub(super) fn new(mut endpoints: Vec<SocketAddr>, can_move: bool) -> Self {
        endpoints.truncate(MOST_ENDPOINTS);
        let endpoint = endpoints.first().copied();
        Self {
            endpoint,
            endpoints,
            can_move,
            initiation: [0; INITIATION_LENGTH],
            due: None,
            is_open: false,
            is_way_back: false,
            began: None,
            ran_at: None,
        }
    }

    /// The address in use.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Where the next initiation goes.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let first = self.endpoints.first().filter(|_| self.is_way_back);
        first.copied().or(self.endpoint)
    }

    /// Whether the one in use is a later one of the list: one that is not in it has moved by itself.
    pub(super) fn is_at_later(&self) -> bool {
        self.endpoints.iter().skip(1).any(|other| Some(*other) == self.endpoint)
    }

    /// The next initiation asks the first address whether it is back, and goes to the one in use when it is not.
    pub(super) fn turn_back(&mut self) {
        self.is_way_back = true;
    }

    pub(super) fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    /// An authentic answer came from there.
    pub(super) fn move_to(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
    }

    /// Other addresses, of which the one in use need not be one; whether any is new.
    pub(super) fn replace(&mut self, mut endpoints: Vec<SocketAddr>) -> bool {
        endpoints.truncate(MOST_ENDPOINTS);
        let is_new = |endpoint: &SocketAddr| {
            !self.endpoints.contains(endpoint) && self.endpoint.as_ref() != Some(endpoint)
        };
        let has_new = endpoints.iter().any(is_new);
        self.endpoints = endpoints;
        self.endpoint = self.endpoint.or(self.endpoints.first().copied());
        has_new
    }

    /// Whether anything follows from silence: another address, or a look-up of it.
    pub(super) fn has_alternative(&self) -> bool {
        self.can_move || self.others().next().is_some()
    }

    /// Whether `from` is an address of the peer that is not in use.
    pub(super) fn is_other(&self, from: SocketAddr) -> bool {
        self.endpoint != Some(from) && self.endpoints.contains(&from)
    }

    /// An initiation was sent to its target. Unless it is the first of a renewal that nobody waits for, the
    /// others get it too when it stays unanswered, and at once when an earlier one did.
    pub(super) fn begin(
        &mut self,
        initiation: &[u8],
        is_awaited: bool,
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        self.initiation.copy_from_slice(initiation);
        (self.began, self.ran_at) = (self.target().map(|target| (target, now)), None);
        let wait = match (self.is_way_back, self.is_open) {
            (true, _) => way_back::PATIENCE,
            (false, true) => Duration::ZERO,
            (false, false) => patience(round_trip),
        };
        self.due = (self.is_way_back || is_awaited && self.has_alternative()).then(|| now + wait);
    }

    /// The initiation under way is to go to all others now.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// Whether the initiation under way asks the first address whether it is back.
    pub(super) fn is_way_back(&self) -> bool {
        self.is_way_back
    }

    /// Whether the initiation under way goes to the others, or went.
    pub(super) fn is_on(&self) -> bool {
        self.is_open || self.due.is_some()
    }

    /// It was answered, or given up.
    pub(super) fn end(&mut self) {
        (self.due, self.is_open, self.is_way_back) = (None, false, false);
    }

    /// When `from`, which answered, was asked.
    pub(super) fn asked_at(&self, from: SocketAddr) -> Option<Instant> {
        let first = self.began.filter(|(target, _)| *target == from || self.ran_at.is_none());
        first.map(|(_, at)| at).or(self.ran_at)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Sends the initiation to all addresses but the one in use, or to that one when the first is not back; how many
    /// bytes. `None` without room for all.
    pub(super) fn run(&mut self, batch: &mut SendBatch, now: Instant) -> Option<u64> {
        let mut sent = 0;
        let in_use = self.endpoint.filter(|_| self.is_way_back);
        for other in in_use.into_iter().chain(self.others().filter(|_| !self.is_way_back)) {
            batch.spare()?[..INITIATION_LENGTH].copy_from_slice(&self.initiation);
            batch.push(other, INITIATION_LENGTH);
            sent += INITIATION_LENGTH as u64;
        }
        (self.due, self.is_open, self.is_way_back) = (None, !self.is_way_back, false);
        self.ran_at = Some(now);
        Some(sent)
    }

    fn others(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().copied().filter(|other| Some(*other) != self.endpoint)
    }
}

/// How long an answer may take.
pub(super) fn patience(round_trip: Option<Duration>) -> Duration {
    round_trip.map_or(LEAST_PATIENCE, |time| (time * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE))
}
