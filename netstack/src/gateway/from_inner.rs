//! From the inner side: the flow that a packet belongs to, and sealing it for the flow's peer.

use std::time::Instant;

use super::Gateway;
use crate::conntrack::{DeviceKey, Side};
use crate::counters::DropReason;
use crate::nat;
use crate::packet::facts::{Facts, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload};
use crate::packet::{mss, parts, segment, too_big};
use crate::sealing::Sealer;

impl Gateway {
    /// Handles one frame of the inner side: virtio header and packet, which may be a super-packet.
    pub fn handle_inner_frame(&mut self, frame: &mut [u8], now: Instant) {
        let (Some(offload), Some(packet)) = (Offload::parse(frame), frame.get_mut(HEADER_LEN..)) else {
            return self.drop(DropReason::Malformed);
        };
        let Some(facts) = Facts::parse(packet) else { return self.drop(DropReason::Malformed) };
        let packet = &mut packet[..facts.length];
        let Some(offload) = segment::settle(packet, &facts, offload) else {
            return self.drop(DropReason::Malformed);
        };
        match facts.transport {
            Transport::Fragment => self.fragment_from_inner(packet, &facts, now),
            Transport::Error => self.error_from_inner(packet, &facts, now),
            Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } | Transport::Other => {
                if let Some(offload) = self.fit(packet, &facts, &offload) {
                    self.carry_back(packet, &facts, &offload, now);
                }
            }
        }
    }

    /// A whole packet for a peer.
    pub(super) fn carry_back(&mut self, packet: &mut [u8], facts: &Facts, offload: &Offload, now: Instant) {
        let flow = DeviceKey::quoted(facts).and_then(|key| self.flows.find_inner(&key));
        let Some(index) = flow.filter(|_| !is_request(facts)) else {
            return self.drop(DropReason::Unsolicited);
        };
        self.note(index, Side::Remote, facts, now);
        let Some(flow) = self.flows.get(index).filter(|flow| !flow.is_held()) else {
            return self.drop(DropReason::Unsolicited);
        };
        let (peer, outward, mut facts) = (flow.peer(), flow.outward(), *facts);
        let is_unfinished = offload.checksum_start.is_some();
        mss::clamp(packet, &facts, self.config.mtu, is_unfinished);
        if let Some(to) = outward {
            if !nat::translate(packet, &facts, &to, is_unfinished) {
                return self.drop(DropReason::NoRoute);
            }
            (facts.source, facts.destination) = (to.source, to.destination);
        }
        self.seal(peer, packet, &facts, offload, now);
    }

    /// Cuts a packet as `offload` says and seals it.
    pub(super) fn seal(
        &mut self,
        peer: u32,
        packet: &mut [u8],
        facts: &Facts,
        offload: &Offload,
        now: Instant,
    ) {
        let Self { peers, send, parts, scratch, config, .. } = self;
        let Some(session) = peers.sealer(peer) else { return self.drop(DropReason::NoRoute) };
        let mut sealer = Sealer { peer: session, send, parts, most: config.mtu, now };
        let refused = sealer.seal_cut(packet, facts, offload, scratch);
        self.peers.schedule(peer, now);
        let Some(refused) = refused else { return self.drop(DropReason::Malformed) };
        for _ in 0..refused {
            self.drop(DropReason::BatchFull);
        }
    }

    /// The offload facts with which a packet fits the tunnels, cut further where that may be. `None`: it does not fit,
    /// and the inner side was told the size that does.
    fn fit(&mut self, packet: &[u8], facts: &Facts, offload: &Offload) -> Option<Offload> {
        let most = self.config.mtu;
        if segment::largest(facts, offload) <= most {
            return Some(*offload);
        }
        if let Some(smaller) = segment::recut(packet, facts, offload, most) {
            return Some(smaller);
        }
        if parts::may_be_cut(packet) {
            return Some(*offload);
        }
        self.drop(DropReason::TooBig);
        if let Some(length) = self.inner.spare().and_then(|out| too_big::write(out, packet, facts, most)) {
            self.inner.push(length);
        }
        None
    }
}

fn is_request(facts: &Facts) -> bool {
    matches!(facts.transport, Transport::Echo { is_request: true, .. })
}
