//! ICMP errors from peers and from the inner side, about packets of flows that are known.

use std::time::Instant;

use super::event::EndReason;
use super::{Egress, Gateway};
use crate::conntrack::DeviceKey;
use crate::counters::DropReason;
use crate::nat::Translation;
use crate::nat::quoted::{ERROR_HEADER, is_sound, readdress, translate_quoted};
use crate::packet::facts::{Facts, Transport};
use crate::packet::refusal;
use crate::packet::virtio::Offload;

impl Gateway {
    /// The error of a peer about what it got, which stands in the spare frame.
    pub(super) fn error_from_peer(&mut self, peer: u32, facts: &Facts, now: Instant) {
        let Some(packet) = self.inner.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        if !is_sound(packet, facts) {
            return self.drop(DropReason::Malformed);
        }
        let is_refusal = refusal::is_port_unreachable(packet, facts);
        let Some(quoted) = Facts::parse_quoted(&packet[facts.transport_at + ERROR_HEADER..]) else {
            return self.drop(DropReason::Malformed);
        };
        if self.peers.owner(facts.source) != Some(peer) {
            return self.drop(DropReason::ForeignAddress);
        }
        let index = DeviceKey::quoted(&quoted).and_then(|key| self.flows.find(&key));
        let flow = index.and_then(|index| Some((index, self.flows.get(index)?)));
        let Some((index, flow)) = flow.filter(|(_, flow)| flow.peer() == peer && !flow.is_held()) else {
            return self.drop(DropReason::Unsolicited);
        };
        let is_carried_by_us =
            self.config.egress == Egress::Userspace && !matches!(quoted.transport, Transport::Tcp(_));
        match (is_carried_by_us, is_refusal) {
            (true, true) => self.end(index, EndReason::ResetByPeer, now),
            (true, false) => self.drop(DropReason::NotOurs),
            (false, _) => {
                let key = flow.inner_key();
                let inner = Translation {
                    source: key.destination,
                    destination: key.source,
                    source_port: None,
                    destination_port: Some(key.source_port),
                };
                self.push_error(facts, &quoted, &inner);
            }
        }
    }

    /// The error in the spare frame, about a packet that is `inner` on the inner side, goes there.
    fn push_error(&mut self, facts: &Facts, quoted: &Facts, inner: &Translation) {
        let Some(packet) = self.inner.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        translate_quoted(&mut packet[facts.transport_at + ERROR_HEADER..], quoted, inner);
        let (source, destination) = (inner.destination, inner.source);
        let outer = Translation { source, destination, source_port: None, destination_port: None };
        if readdress(packet, facts, &outer).is_some() {
            self.inner.push(facts.length);
        }
    }

    /// An error of the inner side about what a peer sent. A router on the way is not the peer's business: the error is
    /// shown as the destination's own.
    pub(super) fn error_from_inner(&mut self, packet: &mut [u8], facts: &Facts, now: Instant) {
        let at = facts.transport_at + ERROR_HEADER;
        let quoted = Facts::parse_quoted(&packet[at..]).filter(|_| is_sound(packet, facts));
        let Some(quoted) = quoted else { return self.drop(DropReason::Malformed) };
        if quoted.source != facts.destination {
            return self.drop(DropReason::ForeignAddress);
        }
        let index = DeviceKey::outbound(&quoted).and_then(|key| self.flows.find_inner(&key));
        let Some(flow) = index.and_then(|index| self.flows.get(index)) else {
            return self.drop(DropReason::Unsolicited);
        };
        let (peer, key) = (flow.peer(), flow.tracked.device);
        let inner = Translation {
            source: key.source,
            destination: key.destination,
            source_port: Some(key.source_port),
            destination_port: None,
        };
        translate_quoted(&mut packet[at..], &quoted, &inner);
        let (source, destination) = (key.destination, key.source);
        let outer = Translation { source, destination, source_port: None, destination_port: None };
        if let Some(outside) = readdress(packet, facts, &outer) {
            self.seal(peer, packet, &outside, &Offload::NONE, now);
        }
    }
}
