//! From the device: parse, find or begin the flow, translate once, cut and seal.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use super::{DEVICE_LINK, Datapath, resolver_link};
use crate::counters::DropReason;
use crate::nat;
use crate::packet::facts::{Facts, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use crate::packet::{mss, refusal, segment, udp};

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// It was taken care of.
    Done,
    /// A query to the resolver over UDP: `payload` is where it stands in the frame.
    Query {
        /// Who asks.
        source: SocketAddr,
        /// The resolver's address that was asked.
        local: SocketAddr,
        /// Where the message stands.
        payload: Range<usize>,
    },
}

impl Datapath {
    /// Handles one frame of the TUN: virtio header and packet.
    pub fn handle_tun_input(&mut self, frame: &mut [u8], now: Instant) -> Handled {
        let (Some(offload), Some(packet)) = (Offload::parse(frame), frame.get_mut(HEADER_LEN..)) else {
            self.drop(DropReason::Malformed);
            return Handled::Done;
        };
        let Some(facts) = Facts::parse(packet) else {
            self.drop(DropReason::Malformed);
            return Handled::Done;
        };
        let packet = &mut packet[..facts.length];
        let Some(offload) = segment::settle(packet, &facts, offload) else {
            self.drop(DropReason::Malformed);
            return Handled::Done;
        };
        if self.is_resolver(facts.destination) {
            return self.serve_resolver(packet, &facts, &offload, now);
        }
        self.carry_out(packet, &facts, &offload, now);
        Handled::Done
    }

    fn serve_resolver(
        &mut self,
        packet: &mut [u8],
        facts: &Facts,
        offload: &Offload,
        now: Instant,
    ) -> Handled {
        match facts.transport {
            Transport::Udp { source, destination: resolver_link::DNS_PORT }
                if offload.segmentation == Segmentation::None =>
            {
                let Some(payload) = udp::payload(packet, facts) else { return Handled::Done };
                return Handled::Query {
                    source: SocketAddr::new(facts.source, source),
                    local: SocketAddr::new(facts.destination, resolver_link::DNS_PORT),
                    payload: HEADER_LEN + payload.start..HEADER_LEN + payload.end,
                };
            }
            Transport::Tcp(_) => {
                let is_ours = segment::finish_checksum(packet, offload)
                    && self.tcp.handle_packet(DEVICE_LINK, packet, now);
                if is_ours {
                    self.flush_tcp(now);
                } else {
                    self.answer_refused(packet, facts);
                }
            }
            Transport::Udp { .. } => self.answer_refused(packet, facts),
            Transport::Fragment => self.drop(DropReason::Fragment),
            Transport::Echo { .. } | Transport::Error | Transport::Other => self.drop(DropReason::NotOurs),
        }
        Handled::Done
    }

    fn carry_out(&mut self, packet: &mut [u8], facts: &Facts, offload: &Offload, now: Instant) {
        match facts.transport {
            Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } => {}
            Transport::Fragment => return self.fragment_out(packet, facts, now),
            Transport::Error => return self.error_out(packet, facts, now),
            Transport::Other => return self.drop(DropReason::UnsupportedProtocol),
        }
        let Some(way) = self.way(packet, facts, now) else { return };
        let is_unfinished = offload.checksum_start.is_some();
        let Some(offload) = self.fit(packet, facts, offload, way.gateway) else { return };
        let most = self.paths.limits(way.gateway).segment;
        if let Some(size) = mss::clamp(packet, facts, most, is_unfinished)
            && let Some(flow) = self.conntrack.get_mut(way.flow)
        {
            flow.remote_most = size;
        }
        if !nat::translate(packet, facts, &way.to, is_unfinished) {
            return self.drop(DropReason::NoRoute);
        }
        let translated = Facts { source: way.to.source, destination: way.to.destination, ..*facts };
        self.seal(packet, &translated, &offload, way.gateway, now);
        if matches!(facts.transport, Transport::Udp { .. }) {
            self.tell_datagram_host(way.flow, now);
        }
    }

    /// Answers with a packet that explains itself.
    fn answer_refused(&mut self, packet: &[u8], facts: &Facts) {
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        if let Some(length) = refusal::write(out, packet, facts) {
            self.tun.push(length);
        }
    }

    pub(super) fn is_resolver(&self, address: IpAddr) -> bool {
        let (v4, v6) = self.config.resolver;
        match address {
            IpAddr::V4(address) => address == v4,
            IpAddr::V6(address) => Some(address) == v6,
        }
    }
}
