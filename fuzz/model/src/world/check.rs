//! What must hold at every step, whatever happened.

use std::net::SocketAddr;
use std::time::Duration;

use super::{World, site_of};
use crate::payload::MARK;

/// A program that asks gets an answer within this time, if only that there is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

impl World {
    /// Carries what the device has to say to the network.
    pub(super) fn settle(&mut self) {
        self.pump_names();
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.datapath.poll_transmit() {
            let size = transmit.segment_size.unwrap_or(transmit.contents.len());
            datagrams.extend(
                transmit.contents.chunks(size).map(|datagram| (transmit.destination, datagram.to_vec())),
            );
        }
        for (destination, datagram) in datagrams {
            check_sealed(&datagram);
            self.take_datagram(destination, datagram);
        }
    }

    fn take_datagram(&mut self, destination: SocketAddr, datagram: Vec<u8>) {
        let is_cookie = datagram[0] == 3;
        if is_cookie && !site_of(destination).is_some_and(|gateway| self.sites[gateway].is_present) {
            return; // whoever sends a handshake of ours again in bad times gets one (WireGuard's paper, section 5.3)
        }
        let gateway =
            site_of(destination).unwrap_or_else(|| panic!("a datagram to a stranger: {destination}"));
        let site = &mut self.sites[gateway];
        assert!(site.is_present, "a datagram to gateway {gateway}, which is not there");
        site.waiting_since.get_or_insert(self.now);
        match datagram[0] {
            // one that was due when its answer came leaves beside what the new session carries
            1 if site.answered_at == Some(self.now) => {}
            1 => drop(site.initiated_at.get_or_insert(self.now)),
            2 => site.initiated_at = None, // there is a session, which the gateway has begun
            _ => {}
        }
        self.trace(|| format!("to gateway {gateway}: message {} of {} bytes", datagram[0], datagram.len()));
        self.net.send(crate::network::Cargo::ToGateway(gateway, datagram), self.now);
    }

    /// Tables stay within their bounds, and nobody waits for ever.
    pub(super) fn check_bounds(&mut self) {
        assert!(self.datapath.frames_waiting() == 0, "frames were left behind");
        let flows = self.datapath.destinations().len();
        let (least, most) = self.reference.count(self.now);
        assert!(
            (least..=most).contains(&flows),
            "{flows} flows are known, between {least} and {most} should be"
        );
        assert!(self.resolver.queries_in_flight() <= 1_024 && self.resolver.cached_answers() <= 8_192);
        assert!(self.resolver.pool().len() <= self.reference.mappings.len() + 64, "addresses are lost");
        for (id, query) in &self.queries {
            let waited = self.now.saturating_sub(query.since);
            assert!(waited < ANSWERED_WITHIN, "query {id} for {} was never answered", query.name);
        }
    }
}

/// On the network there is WireGuard only (its paper, section 5.4).
fn check_sealed(datagram: &[u8]) {
    let is_message = match (datagram.first(), datagram.len()) {
        (Some(1), 148) | (Some(2), 92) | (Some(3), 64) => true,
        (Some(4), length) => length >= 32,
        _ => false,
    };
    assert!(is_message, "no WireGuard message leaves the device: {datagram:?}");
    let is_plain = datagram.windows(MARK.len()).any(|window| window[0] == b'P' && window == MARK);
    assert!(!is_plain, "plain text leaves the device: {datagram:?}");
}
