//! One WireGuard peer: boringtun behind our own deadlines, the only file that touches it.
//!
//! boringtun advances its time only in `update_timers` and does not say when it next wants to be called, so this file
//! keeps the same instants and computes the deadlines itself (the protocol's constants: WireGuard paper, section 6.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use crate::send_batch::SendBatch;

/// A handshake initiation is sent again after this long.
const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this much later, so that peers do not fall into step (paper: a third of a second).
const MOST_JITTER: u32 = 333;
/// An answer of no content is due after data came and nothing went for this long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A session is of no use any more after this long.
const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// boringtun gives a handshake up after 90 s; we begin anew this much later while the gateway is wanted.
const RETRY_AFTER_GIVING_UP: Duration = Duration::from_secs(15);
/// A deadline that has passed without effect is looked at again after this long, never at once.
const LEAST_WAIT: Duration = Duration::from_millis(500);
/// A peer whose handshake went unanswered for longer is lost: two tries of five seconds.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// Packets for a lost peer make it try again at most this often.
const LEAST_NUDGE: Duration = Duration::from_secs(1);
/// Bytes that WireGuard puts around a packet.
pub const OVERHEAD: usize = 32;
/// boringtun writes a handshake into any buffer that it is given: it must hold at least this.
const HANDSHAKE_LENGTH: usize = 148;
/// Message types (paper, section 5.4).
const RESPONSE_MESSAGE: u8 = 2;
const COOKIE_MESSAGE: u8 = 3;
const DATA_MESSAGE: u8 = 4;

/// How a peer is reached and known.
pub struct PeerConfig {
    /// Our private key.
    pub private_key: [u8; 32],
    /// The peer's public key.
    pub public_key: [u8; 32],
    /// A preshared key on top.
    pub preshared_key: Option<[u8; 32]>,
    /// Where it may be, the likeliest first; empty while its name is not resolved yet.
    pub endpoints: Vec<SocketAddr>,
    /// It may appear at an address that is not among `endpoints`, which somebody would look up when it is in doubt.
    pub can_move: bool,
    /// Persistent keepalive in seconds; 0: none.
    pub keepalive: u16,
}

/// What opening a datagram gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// An IP packet of that many bytes stands in the buffer.
    Packet(usize),
    /// A sound message without a packet: handshake, cookie or keepalive.
    Nothing,
    /// Not authentic, replayed, or no message at all.
    Bad,
}

/// What is known of a peer, for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// When an authenticated message last came.
    pub proven_at: Option<Instant>,
    /// Time between the last handshake's initiation and its response.
    pub round_trip: Option<Duration>,
    /// When the present session was made.
    pub established_at: Option<Instant>,
    /// When the present try to make a session began.
    pub trying_since: Option<Instant>,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// Bytes of datagrams that were authentic.
    pub received: u64,
}

/// A peer with its session.
pub struct Peer {
    tunn: Box<Tunn>,
    endpoint: Option<SocketAddr>,
    endpoints: Vec<SocketAddr>,
    keepalive: Option<Duration>,
    stats: PeerStats,
    initiation_sent: Option<Instant>,
    initiated_at: Option<Instant>,
    data_sent: Option<Instant>,
    anything_sent: Option<Instant>,
    data_received: Option<Instant>,
    keepalive_due: Option<Instant>,
    retry_at: Option<Instant>,
    updated_at: Option<Instant>,
    /// Packets that waited for the session are left, since the batch was full.
    is_draining: bool,
    jitter: u32,
}

/// Our public key that belongs to `private_key`.
pub fn public_key(private_key: [u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(private_key)).to_bytes()
}

/// The receiver index of a datagram's header, which names the peer in its upper 24 bits; `None` for an initiation.
pub fn peer_index(datagram: &[u8]) -> Option<u32> {
    let at = match (datagram.first()?, datagram.len()) {
        (&RESPONSE_MESSAGE, 92) => 8,
        (&COOKIE_MESSAGE, 64) | (&DATA_MESSAGE, 32..) => 4,
        _ => return None,
    };
    let index: [u8; 4] = datagram[at..at + 4].try_into().ok()?;
    Some(u32::from_le_bytes(index) >> 8)
}

impl Peer {
    /// A peer without a session; `index` (24 bits) is its number in our datagrams' receiver field.
    pub fn new(config: PeerConfig, index: u32, now: Instant) -> Self {
        let keepalive = (config.keepalive > 0).then_some(config.keepalive);
        let private_key = StaticSecret::from(config.private_key);
        let tunn = Tunn::new(
            private_key,
            PublicKey::from(config.public_key),
            config.preshared_key,
            keepalive,
            index,
            None,
        );
        let keepalive = keepalive.map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            tunn: Box::new(tunn),
            endpoint: config.endpoints.first().copied(),
            endpoints: config.endpoints,
            keepalive,
            stats: PeerStats::default(),
            initiation_sent: None,
            initiated_at: None,
            data_sent: None,
            anything_sent: None,
            data_received: None,
            keepalive_due: keepalive.map(|interval| now + interval),
            retry_at: None,
            updated_at: None,
            is_draining: false,
            jitter: u32::from_le_bytes([config.public_key[0], config.public_key[1], config.public_key[2], 0]),
        }
    }

    /// Where it is, as far as is known; `None` until it has an address at all.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Where it may be.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    /// What is known of it.
    pub fn stats(&self) -> PeerStats {
        self.stats
    }

    /// Whether a session exists that can carry packets now.
    pub fn is_established(&self, now: Instant) -> bool {
        self.stats.established_at.is_some_and(|at| now.saturating_duration_since(at) < REJECT_AFTER_TIME)
    }

    /// Whether it is known to be out of reach: a handshake has gone unanswered for long, and nothing else came either.
    pub fn is_lost(&self, now: Instant) -> bool {
        let last_hope = self.stats.trying_since.max(self.stats.proven_at);
        self.stats.trying_since.is_some()
            && last_hope.is_some_and(|at| now.saturating_duration_since(at) > LOST_AFTER)
    }

    /// Begins a handshake now unless one is under way.
    pub fn connect(&mut self, batch: &mut SendBatch, now: Instant) {
        self.advance(batch, now);
        self.retry_at = None;
        self.initiate(self.tunn.is_expired(), batch, now);
    }

    /// Somebody wants a peer that is lost: tries again now, unless that was done a moment ago.
    pub fn nudge(&mut self, batch: &mut SendBatch, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LEAST_NUDGE;
        if !self.initiated_at.is_some_and(is_recent) {
            self.advance(batch, now);
            self.initiate(true, batch, now);
        }
    }

    /// Where it may be has changed: the endpoint in use stays so for as long as it answers.
    pub fn set_endpoints(&mut self, endpoints: Vec<SocketAddr>, batch: &mut SendBatch, now: Instant) {
        self.endpoints = endpoints;
        let is_silent = self.stats.trying_since.is_some() || self.endpoint.is_none();
        let is_listed = self.endpoint.is_some_and(|endpoint| self.endpoints.contains(&endpoint));
        if is_silent && !is_listed {
            self.endpoint = self.endpoints.first().copied();
            self.reconnect(batch, now);
        }
    }

    /// The network changed or the machine woke up: makes a new session at once, however young the present one is.
    pub fn reconnect(&mut self, batch: &mut SendBatch, now: Instant) {
        self.advance(batch, now);
        (self.retry_at, self.stats.trying_since) = (None, Some(now));
        self.initiate(true, batch, now);
    }

    /// Seals one IP packet into the batch, or keeps it (at most 256) until the handshake is done. False: no room.
    pub fn seal(&mut self, packet: &[u8], batch: &mut SendBatch, now: Instant) -> bool {
        self.advance(batch, now);
        let Some(out) = batch.spare() else { return false };
        if out.len() < (packet.len() + OVERHEAD).max(HANDSHAKE_LENGTH) {
            return false;
        }
        self.data_sent = Some(now);
        if let Some(length) = written(self.tunn.encapsulate(packet, out)) {
            self.sent(batch, length, now);
        }
        true
    }

    /// Opens a datagram into `buffer`; answers of the protocol go into the batch.
    pub fn open(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &mut [u8],
        batch: &mut SendBatch,
        now: Instant,
    ) -> Opened {
        // boringtun panics before it authenticates when the output is shorter than the input
        if buffer.len() < datagram.len().max(HANDSHAKE_LENGTH) {
            return Opened::Bad;
        }
        self.advance(batch, now);
        match self.tunn.decapsulate(Some(from.ip()), datagram, buffer) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                let length = packet.len();
                self.data_received = Some(now);
                self.received(from, datagram, now);
                Opened::Packet(length)
            }
            TunnResult::WriteToNetwork(answer) => {
                let length = answer.len();
                self.answer(from, datagram, &buffer[..length], batch, now);
                Opened::Nothing
            }
            TunnResult::Done => {
                // whoever saw our initiation can make a cookie reply: it proves nothing
                if datagram.first() != Some(&COOKIE_MESSAGE) {
                    self.received(from, datagram, now);
                }
                Opened::Nothing
            }
            TunnResult::Err(_) => Opened::Bad,
        }
    }

    /// When [`Self::advance`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match (self.retry_at, self.initiation_sent) {
            (Some(at), _) => at,
            (None, Some(sent)) => sent + REKEY_TIMEOUT + self.jitter(),
            (None, None) => self.session_deadline()?,
        };
        Some(self.updated_at.map_or(due, |at| due.max(at + LEAST_WAIT)))
    }

    /// Tells boringtun the time and sends what is due: to be called at the deadline and before each batch.
    pub fn advance(&mut self, batch: &mut SendBatch, now: Instant) {
        if self.updated_at == Some(now) {
            return;
        }
        self.updated_at = Some(now);
        if self.is_draining {
            self.drain(batch, now);
        }
        let Some(out) = batch.spare() else { return };
        match self.tunn.update_timers(out) {
            TunnResult::WriteToNetwork(datagram) => {
                let length = datagram.len();
                self.renew_keepalive(now);
                self.sent(batch, length, now);
            }
            TunnResult::Err(_) => self.give_up(now),
            TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => {}
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.initiate(true, batch, now);
        }
    }

    /// What a session without a handshake under way waits for.
    fn session_deadline(&self) -> Option<Instant> {
        let later = |this: Option<Instant>, that: Option<Instant>| {
            that.filter(|that| this.is_some_and(|at| at > *that))
        };
        let unanswered =
            later(self.data_sent, self.stats.proven_at).map(|at| at + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
        let answer = later(self.data_received, self.anything_sent).map(|at| at + KEEPALIVE_TIMEOUT);
        let drain = self.updated_at.filter(|_| self.is_draining);
        [unanswered, answer, self.keepalive_due, drain].into_iter().flatten().min()
    }

    /// The next keepalive counts from what was really sent, be it a handshake: boringtun's clock may be a moment
    /// behind ours, and then it is asked again soon.
    fn renew_keepalive(&mut self, now: Instant) {
        if self.keepalive_due.is_some_and(|due| due <= now) {
            self.keepalive_due = self.keepalive.map(|interval| now + interval);
        }
    }

    /// After boringtun gave up: begin anew later while somebody wants the gateway.
    fn give_up(&mut self, now: Instant) {
        (self.initiation_sent, self.data_sent, self.data_received) = (None, None, None);
        self.is_draining = false;
        self.stats.established_at = None;
        let is_wanted = self.keepalive.is_some() || self.stats.trying_since.is_some();
        if self.retry_at.is_none() && is_wanted {
            self.retry_at = Some(now + RETRY_AFTER_GIVING_UP);
        }
    }

    fn initiate(&mut self, is_forced: bool, batch: &mut SendBatch, now: Instant) {
        let Some(out) = batch.spare() else {
            self.retry_at = Some(now + LEAST_WAIT);
            return;
        };
        if let Some(length) = written(self.tunn.format_handshake_initiation(out, is_forced)) {
            self.sent(batch, length, now);
        }
    }

    /// A handshake message came: send the answer, then what waited for the session.
    fn answer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        answer: &[u8],
        batch: &mut SendBatch,
        now: Instant,
    ) {
        let is_cookie = answer.first() == Some(&COOKIE_MESSAGE);
        if !is_cookie {
            self.established(from, datagram, now);
        }
        let target = if is_cookie { from } else { self.endpoint.unwrap_or(from) };
        if let Some(out) = batch.spare() {
            out[..answer.len()].copy_from_slice(answer);
            batch.push(target, answer.len());
            self.stats.sent += answer.len() as u64;
            self.anything_sent = Some(now);
        }
        if !is_cookie {
            self.drain(batch, now);
        }
    }

    /// Sends what waited for the session, as far as there is room.
    fn drain(&mut self, batch: &mut SendBatch, now: Instant) {
        while let Some(out) = batch.spare() {
            let Some(length) = written(self.tunn.decapsulate(None, &[], out)) else {
                self.is_draining = false;
                return;
            };
            if length > OVERHEAD {
                self.data_sent = Some(now);
            }
            self.sent(batch, length, now);
        }
        self.is_draining = true;
    }

    fn established(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let initiation_sent = self.initiation_sent.take();
        if let (Some(sent), Some(&RESPONSE_MESSAGE)) = (initiation_sent, datagram.first()) {
            self.stats.round_trip = Some(now.saturating_duration_since(sent));
        }
        self.stats.established_at = Some(now);
        self.stats.trying_since = None;
        self.retry_at = None;
        self.received(from, datagram, now);
    }

    /// An authentic message: the peer is where it came from (paper, section 2.1).
    fn received(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.endpoint = Some(from);
        self.stats.proven_at = Some(now);
        self.stats.received += datagram.len() as u64;
    }

    fn sent(&mut self, batch: &mut SendBatch, length: usize, now: Instant) {
        let is_initiation = length == HANDSHAKE_LENGTH && batch.spare().is_some_and(|out| out[0] == 1);
        if is_initiation {
            if self.retry_at.is_some() {
                // boringtun begins anew, and all of its timers with it
                self.keepalive_due = self.keepalive.map(|interval| now + interval);
            }
            (self.initiation_sent, self.initiated_at, self.retry_at) = (Some(now), Some(now), None);
            self.stats.trying_since.get_or_insert(now);
            self.jitter = self.jitter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        }
        self.anything_sent = Some(now);
        // without an address the message is lost, and its timers go on: they tell when the peer counts as lost
        let Some(endpoint) = self.endpoint else { return };
        batch.push(endpoint, length);
        self.stats.sent += length as u64;
    }

    fn jitter(&self) -> Duration {
        Duration::from_millis(u64::from((self.jitter >> 16) % MOST_JITTER))
    }
}

/// How many bytes boringtun wrote for the network.
fn written(result: TunnResult<'_>) -> Option<usize> {
    match result {
        TunnResult::WriteToNetwork(datagram) => Some(datagram.len()),
        TunnResult::Done
        | TunnResult::Err(_)
        | TunnResult::WriteToTunnelV4(..)
        | TunnResult::WriteToTunnelV6(..) => None,
    }
}

#[cfg(test)]
mod tests;
