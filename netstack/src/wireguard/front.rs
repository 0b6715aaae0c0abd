//! Before the peers of a responder: whose handshake a datagram begins, and how many are worth the arithmetic.
//!
//! A stranger costs one keyed hash; whoever knows our public key one Diffie-Hellman operation, and under load only after
//! a cookie has proven its address (WireGuard paper, section 5.3).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use foldhash::fast::FixedState;

use super::message::COOKIE_LENGTH;
use super::{Peer, PeerConfig};

/// Under load, handshakes that one address (IPv6: one /64) may begin in a second: twice those of Linux, since whole
/// offices share an address.
const MOST_OF_SOURCE: u32 = 40;
/// Addresses that are counted in a second; all have proven that they are there.
const MOST_SOURCES: usize = 4_096;
/// The limits count by this.
const WINDOW: Duration = Duration::from_secs(1);

/// What a handshake message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knock {
    /// An initiation of whoever has this public key, unless it is replayed.
    Initiation([u8; 32]),
    /// The answer to an initiation of ours.
    Response,
    /// Under load: a cookie of that many bytes was written, to be sent back.
    Cookie(usize),
    /// Too many from its address.
    Busy,
    /// Nothing that was made with our public key.
    Bad,
}

/// Our key, and the limits.
pub struct Front {
    private: StaticSecret,
    public: PublicKey,
    limiter: RateLimiter,
    /// The peers' own, which never limits: what comes to them was let through here.
    unlimited: Arc<RateLimiter>,
    limit: u64,
    window: Instant,
    passed: u64,
    sources: std::collections::HashMap<IpAddr, u32, FixedState>,
}

impl Front {
    /// For our private key; from `limit` handshakes a second on, addresses must prove themselves. `seed` keys a hash.
    pub fn new(private_key: [u8; 32], limit: u32, seed: u64, now: Instant) -> Self {
        let private = StaticSecret::from(private_key);
        let public = PublicKey::from(&private);
        Self {
            limiter: RateLimiter::new(&public, limit.into()),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
            private,
            public,
            limit: limit.into(),
            window: now,
            passed: 0,
            sources: std::collections::HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    /// Looks at a handshake message; a cookie is written to `out`.
    pub fn judge(&mut self, from: SocketAddr, datagram: &[u8], out: &mut [u8], now: Instant) -> Knock {
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.window, self.passed) = (now, 0);
            self.sources.clear();
        }
        self.limiter.reset_count();
        if out.len() < COOKIE_LENGTH {
            return Knock::Bad;
        }
        let packet = match self.limiter.verify_packet(Some(from.ip()), datagram, out) {
            Ok(packet) => packet,
            Err(TunnResult::WriteToNetwork(cookie)) => return Knock::Cookie(cookie.len()),
            Err(_) => return Knock::Bad,
        };
        match packet {
            Packet::HandshakeInit(_) | Packet::HandshakeResponse(_) if !self.may_pass(from.ip()) => {
                Knock::Busy
            }
            Packet::HandshakeInit(initiation) => {
                match parse_handshake_anon(&self.private, &self.public, &initiation) {
                    Ok(half) => Knock::Initiation(half.peer_static_public),
                    Err(_) => Knock::Bad,
                }
            }
            Packet::HandshakeResponse(_) => Knock::Response,
            Packet::PacketCookieReply(_) | Packet::PacketData(_) => Knock::Bad,
        }
    }

    /// A peer that waits to be spoken to and does not insist on being heard; `index` (24 bits) is its number in our
    /// datagrams' receiver field.
    pub fn peer(
        &self,
        public_key: [u8; 32],
        preshared_key: Option<[u8; 32]>,
        index: u32,
        now: Instant,
    ) -> Peer {
        let config = PeerConfig {
            private_key: self.private.to_bytes(),
            public_key,
            preshared_key,
            endpoints: Vec::new(),
            can_move: false,
            keepalive: 0,
        };
        Peer { is_insistent: false, ..Peer::with_limiter(config, index, Some(self.unlimited.clone()), now) }
    }

    /// Counts one; beyond the limit only so many an address, which has sent a cookie then.
    fn may_pass(&mut self, source: IpAddr) -> bool {
        self.passed += 1;
        if self.passed <= self.limit {
            return true;
        }
        let source = owner(source);
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&source) {
            return false;
        }
        let count = self.sources.entry(source).or_default();
        *count += 1;
        *count <= MOST_OF_SOURCE
    }
}

/// Whoever has an IPv6 address has all of its /64.
fn owner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use boringtun::noise::Tunn;

    use super::super::public_key;
    use super::*;

    fn initiation(from: [u8; 32], to: [u8; 32]) -> Vec<u8> {
        let mut tunn =
            Tunn::new(StaticSecret::from(from), PublicKey::from(public_key(to)), None, None, 9, None);
        let mut out = [0; 200];
        let TunnResult::WriteToNetwork(datagram) = tunn.format_handshake_initiation(&mut out, false) else {
            panic!("no initiation");
        };
        datagram.to_vec()
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 9))
    }

    #[test]
    fn an_initiation_tells_whose_it_is_and_all_else_is_bad() {
        let now = crate::packets_for_tests::start();
        let (mut front, mut out) = (Front::new([5; 32], 10, 1, now), [0; 200]);
        let sound = initiation([3; 32], [5; 32]);
        assert_eq!(front.judge(from(1), &sound, &mut out, now), Knock::Initiation(public_key([3; 32])));
        for at in [0, 1, 8, 40, 130] {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            assert_eq!(front.judge(from(1), &changed, &mut out, now), Knock::Bad, "byte {at}");
        }
        assert_eq!(front.judge(from(1), &initiation([3; 32], [6; 32]), &mut out, now), Knock::Bad);
        assert_eq!(front.judge(from(1), &sound[..147], &mut out, now), Knock::Bad);
        assert_eq!(front.judge(from(1), &[], &mut out, now), Knock::Bad);
    }

    #[test]
    fn under_load_an_address_must_prove_itself() {
        let now = crate::packets_for_tests::start();
        let (mut front, mut out) = (Front::new([5; 32], 3, 1, now), [0; 200]);
        let sound = initiation([3; 32], [5; 32]);
        let mut judged = |out: &mut [u8]| front.judge(from(1), &sound, out, now);
        for _ in 0..3 {
            assert!(matches!(judged(&mut out), Knock::Initiation(_)));
        }
        assert_eq!(judged(&mut out), Knock::Cookie(64));
        assert_eq!(out[0], super::super::message::COOKIE);
    }

    #[test]
    fn a_proven_address_gets_its_share_of_a_second_and_no_more() {
        let now = crate::packets_for_tests::start();
        let mut front = Front::new([5; 32], 2, 1, now);
        let passed = (0..100).filter(|_| front.may_pass(from(1).ip())).count();
        assert_eq!(passed, 2 + MOST_OF_SOURCE as usize);
        assert!(front.may_pass(from(2).ip()), "another address");
        front.judge(from(1), &[], &mut [0; 200], now + WINDOW);
        assert!(front.may_pass(from(1).ip()), "another second");
    }

    #[test]
    fn the_addresses_that_are_counted_are_bounded_and_a_prefix_counts_as_one() {
        let now = crate::packets_for_tests::start();
        let mut front = Front::new([5; 32], 0, 1, now);
        let v6 = |network: u64, host: u64| {
            IpAddr::V6(Ipv6Addr::from_bits((u128::from(network) << 64) | u128::from(host)))
        };
        let passed = (0..100).filter(|host| front.may_pass(v6(1, *host))).count();
        assert_eq!(passed, MOST_OF_SOURCE as usize);
        for network in 0..10_000 {
            front.may_pass(v6(network, 1));
        }
        assert_eq!(front.sources.len(), MOST_SOURCES);
    }
}
