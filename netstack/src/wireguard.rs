//! One WireGuard peer: boringtun behind our own deadlines, the only module that touches it.
//!
//! boringtun advances its time only in `update_timers` and does not say when it next wants to be called, so this module
//! keeps the same instants and computes the deadlines itself (the protocol's constants: WireGuard paper, section 6.1).

mod deadlines;
mod doubt;
mod front;
mod handshake;
mod message;
mod race;
mod waiting;
mod way_back;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use self::deadlines::Deadlines;
use self::doubt::Doubt;
use self::race::Race;
use self::waiting::Waiting;
use self::way_back::WayBack;
use crate::conntrack::TunnelKey;
use crate::send_batch::SendBatch;

pub use self::doubt::Expectation;
pub use self::front::{Front, Knock};
pub use self::message::{is_data, is_response, peer_index};

/// Bytes that WireGuard puts around a packet.
pub const OVERHEAD: usize = 32;
/// A session is of no use any more after this long.
const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// A peer whose handshake went unanswered for longer is lost: two tries of five seconds, of which the second has had
/// the time to be answered.
const LOST_AFTER: Duration = Duration::from_secs(8);

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
    /// When a handshake last stayed unanswered for longer than an answer takes: its address may be another by now.
    pub unanswered_at: Option<Instant>,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// Bytes of datagrams that were authentic.
    pub received: u64,
}

/// A peer with its session.
pub struct Peer {
    tunn: Box<Tunn>,
    race: Race,
    way_back: WayBack,
    doubt: Doubt,
    deadlines: Deadlines,
    stats: PeerStats,
    /// The number that we gave out for the newest session.
    session: Option<u32>,
    waiting: Waiting,
    /// Packets that waited for the session are left, since the batch was full.
    is_draining: bool,
    /// It is tried again and again while it does not answer.
    is_insistent: bool,
}

/// Our public key that belongs to `private_key`.
pub fn public_key(private_key: [u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(private_key)).to_bytes()
}

impl Peer {
    /// A peer without a session; `index` (24 bits) is its number in our datagrams' receiver field.
    pub fn new(config: PeerConfig, index: u32, now: Instant) -> Self {
        Self::with_limiter(config, index, None, now)
    }

    /// `limiter`: what judges handshakes; without one, the peer's own does.
    fn with_limiter(config: PeerConfig, index: u32, limiter: Option<Arc<RateLimiter>>, now: Instant) -> Self {
        let keepalive = (config.keepalive > 0).then_some(config.keepalive);
        let tunn = Tunn::new(
            StaticSecret::from(config.private_key),
            PublicKey::from(config.public_key),
            config.preshared_key,
            keepalive,
            index,
            limiter,
        );
        let interval = keepalive.map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            tunn: Box::new(tunn),
            race: Race::new(config.endpoints, config.can_move),
            way_back: WayBack::default(),
            doubt: Doubt::default(),
            deadlines: Deadlines::new(interval, &config.public_key, now),
            stats: PeerStats::default(),
            session: None,
            waiting: Waiting::default(),
            is_draining: false,
            is_insistent: true,
        }
    }

    /// Where it is, as far as is known; `None` until it has an address at all.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.race.endpoint()
    }

    /// Where it may be.
    pub fn endpoints(&self) -> &[SocketAddr] {
        self.race.endpoints()
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
        self.lost_at().is_some_and(|at| at <= now)
    }

    /// When it counts as lost, or does since, if nothing comes; `None` while no handshake is under way.
    pub fn lost_at(&self) -> Option<Instant> {
        self.stats
            .trying_since
            .max(self.stats.proven_at.filter(|_| self.stats.trying_since.is_some()))
            .map(|last_hope| last_hope + LOST_AFTER)
    }

    /// Seals one IP packet into the batch, or keeps it (at most 256) until the handshake is done. False: no room.
    pub fn seal(&mut self, packet: &[u8], batch: &mut SendBatch, now: Instant) -> bool {
        self.advance(batch, now);
        let Some(out) = batch.spare() else { return false };
        if out.len() < (packet.len() + OVERHEAD).max(message::INITIATION_LENGTH) {
            return false;
        }
        self.deadlines.data_sent = Some(now);
        let length = written(self.tunn.encapsulate(packet, out));
        if !length.is_some_and(|length| is_data(&out[..length])) {
            self.waiting.push(packet);
        }
        if let Some(length) = length {
            self.sent(batch, length, now);
        }
        true
    }

    /// Packets of this flow that still wait for a session are not sent: it lost its right.
    pub fn forget(&mut self, flow: &TunnelKey) {
        self.waiting.forget(flow);
    }

    /// A packet that is sealed now wants an answer: without any, the peer is asked early whether it is still there.
    pub fn expect(&mut self, expectation: Expectation, now: Instant) {
        self.doubt.expect(expectation, now);
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
        let is_too_long = buffer.len() < datagram.len().max(message::INITIATION_LENGTH);
        if is_too_long || self.is_rival(from, datagram, now) {
            return Opened::Bad;
        }
        self.advance(batch, now);
        match self.tunn.decapsulate(Some(from.ip()), datagram, buffer) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                let length = packet.len();
                self.deadlines.data_received = Some(now);
                if self.received(from, datagram, now) {
                    self.doubt.relieved();
                }
                Opened::Packet(length)
            }
            TunnResult::WriteToNetwork(answer) => {
                let length = answer.len();
                self.answer(from, datagram, &buffer[..length], batch, now);
                Opened::Nothing
            }
            TunnResult::Done => {
                // whoever saw our initiation can make a cookie reply: it proves nothing
                if datagram.first() != Some(&message::COOKIE) {
                    self.received(from, datagram, now);
                }
                Opened::Nothing
            }
            TunnResult::Err(_) => Opened::Bad,
        }
    }

    /// An authentic message: the peer is where it came from (paper, section 2.1), unless it belongs to an earlier
    /// session, which may be that of another server with the same key. Whether it does not.
    fn received(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        self.stats.proven_at = Some(now);
        self.stats.received += datagram.len() as u64;
        let is_current = datagram[0] != message::DATA || message::receiver(datagram) == self.session;
        if is_current {
            self.race.move_to(from);
            self.doubt.answered();
        }
        is_current
    }

    /// Takes what stands in the batch's spare room.
    fn sent(&mut self, batch: &mut SendBatch, length: usize, now: Instant) {
        let initiation = batch.spare().filter(|out| message::is_initiation(&out[..length]));
        let is_initiation = initiation.is_some();
        let target = if is_initiation { self.race.target() } else { self.race.endpoint() };
        if let Some(initiation) = initiation {
            self.initiated(&initiation[..length], now);
        }
        self.deadlines.anything_sent = Some(now);
        // without an address the message is lost, and its timers go on: they tell when the peer counts as lost
        let Some(endpoint) = target else { return };
        batch.push(endpoint, length);
        self.stats.sent += length as u64;
        if is_initiation {
            self.run_race(batch, now);
        }
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
