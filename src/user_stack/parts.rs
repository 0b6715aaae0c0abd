//! Datagrams in parts: put together on the way in, cut on the way out where nobody else may.

use std::collections::VecDeque;
use std::time::Instant;

use netstack::packet::facts::{Facts, Transport};
use netstack::packet::{fragment, parts};
use netstack::reassembly::Reassembly;

/// Bytes of the largest IPv6 packet that every link carries (RFC 8200, section 5). Paths are not measured for datagrams
/// here, so what is longer is cut at the source; of IPv4 whoever finds it too long cuts it.
const EVERY_LINK: usize = 1_280;

/// Parts that wait, either way.
#[derive(Debug, Default)]
pub(super) struct Parts {
    inbound: Reassembly,
    outbound: VecDeque<Vec<u8>>,
    next_id: u32,
}

impl Parts {
    /// `first_id` must not be guessed by others (RFC 7739).
    pub(super) fn new(first_id: u32) -> Self {
        Self { next_id: first_id, ..Self::default() }
    }

    /// Takes a part; the whole packet once all parts are there. `None` also for what is no part.
    pub(super) fn join(&mut self, packet: &[u8], now: Instant) -> Option<Vec<u8>> {
        let facts = Facts::parse(packet).filter(|facts| facts.transport == Transport::Fragment)?;
        let part = fragment::parse(packet, &facts)?;
        self.inbound.add(None, packet, &facts, &part, now)
    }

    /// Cuts a packet that may not be cut on its way. True: it leaves by [`Self::poll`] instead.
    pub(super) fn cut(&mut self, packet: &[u8]) -> bool {
        if packet.len() <= EVERY_LINK {
            return false;
        }
        let Some(facts) = Facts::parse(packet).filter(Facts::is_ipv6) else { return false };
        let (id, outbound) = (self.next_id(), &mut self.outbound);
        parts::cut(packet, &facts, EVERY_LINK, id, &mut [0; EVERY_LINK], |part| {
            outbound.push_back(part.to_vec())
        })
    }

    /// Another identification for each packet.
    pub(super) fn next_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// The next part to send.
    pub(super) fn poll(&mut self) -> Option<Vec<u8>> {
        self.outbound.pop_front()
    }

    /// Forgets what took too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.inbound.expire(now);
    }

    /// When that is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.inbound.poll_timeout()
    }
}
