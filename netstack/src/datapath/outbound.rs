//! From the device: parse, find or begin the flow, translate once, cut and seal.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use super::refusals::NO_GRANT;
use super::{DEVICE_LINK, Datapath, Mapping, Refusal, resolver_link};
use crate::conntrack::{DeviceKey, Flow, Side, TunnelKey};
use crate::counters::{DropReason, RefusalReason};
use crate::nat::{self, Translation};
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use crate::packet::{refusal, segment};

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
                return Handled::Query {
                    source: SocketAddr::new(facts.source, source),
                    local: SocketAddr::new(facts.destination, resolver_link::DNS_PORT),
                    payload: HEADER_LEN + facts.transport_at + 8..HEADER_LEN + facts.length,
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
            Transport::Echo { .. } | Transport::Error | Transport::Fragment | Transport::Other => {
                self.drop(DropReason::NotOurs)
            }
        }
        Handled::Done
    }

    fn carry_out(&mut self, packet: &mut [u8], facts: &Facts, offload: &Offload, now: Instant) {
        let Some(key) = DeviceKey::outbound(facts) else {
            return self.drop_untracked(facts);
        };
        let index = match self.conntrack.find_by_device(&key) {
            Some(index) => index,
            None => match self.begin(key, facts, now) {
                Ok(index) => index,
                Err(Verdict::Drop(reason)) => return self.drop(reason),
                Err(Verdict::Refuse(grant, reason)) => {
                    return self.refuse(packet, facts, &key, grant, reason, now);
                }
            },
        };
        let Some(flow) = self.conntrack.get_mut(index) else { return };
        flow.note(Side::Device, &facts.transport, payload_length(facts), now);
        let (tunnel, local) = (flow.tunnel, flow.local);
        let to = Translation {
            source: local,
            destination: tunnel.remote,
            source_port: Some(tunnel.local_port),
            destination_port: None,
        };
        let is_unfinished = offload.checksum_start.is_some();
        if !nat::translate(packet, facts, &to, is_unfinished) {
            return self.drop(DropReason::NoRoute);
        }
        let translated = Facts { source: to.source, destination: to.destination, ..*facts };
        self.seal(packet, &translated, offload, tunnel.gateway, now);
    }

    fn seal(&mut self, packet: &mut [u8], facts: &Facts, offload: &Offload, gateway: u32, now: Instant) {
        let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else {
            return self.drop(DropReason::NoRoute);
        };
        let (send, mut refused) = (&mut self.send, 0);
        let is_sound = segment::cut(packet, facts, offload, &mut self.scratch, |segment| {
            refused += u64::from(!peer.seal(segment, send, now));
        });
        if !is_sound {
            self.drop(DropReason::Malformed);
        }
        for _ in 0..refused {
            self.drop(DropReason::BatchFull);
        }
    }

    /// Decides on the first packet of a flow.
    fn begin(&mut self, key: DeviceKey, facts: &Facts, now: Instant) -> Result<u32, Verdict> {
        if matches!(facts.transport, Transport::Echo { is_request: false, .. }) {
            return Err(Verdict::Drop(DropReason::NotOurs));
        }
        let mapping = self.destination(key.destination)?;
        let Mapping { gateway, real, grant } = mapping;
        if self.policy.is_blocked {
            return Err(Verdict::Refuse(grant, RefusalReason::Blocked));
        }
        let application = self.policy.application(grant, key.protocol, key.destination_port);
        let application = application.ok_or(Verdict::Refuse(grant, RefusalReason::PortNotAllowed))?;
        let peer = self.policy.gateways.get(gateway as usize).filter(|peer| peer.allows(real));
        let local =
            peer.and_then(|peer| peer.local_address(real)).ok_or(Verdict::Drop(DropReason::NoRoute))?;
        if let Transport::Tcp(tcp) = facts.transport
            && !tcp.has(Tcp::SYN)
        {
            return Err(Verdict::Refuse(grant, RefusalReason::UnknownConnection));
        }
        let tunnel = TunnelKey {
            gateway,
            protocol: key.protocol,
            local_port: key.source_port,
            remote: real,
            remote_port: key.destination_port,
        };
        let flow = Flow::new(key, tunnel, local, grant, application, now);
        self.conntrack.insert(flow, now).ok_or(Verdict::Refuse(grant, RefusalReason::TableFull))
    }

    /// What stands behind an address of the device's packets.
    fn destination(&self, address: IpAddr) -> Result<Mapping, Verdict> {
        if let Some(mapping) = self.mappings.get(&address) {
            return Ok(*mapping);
        }
        if self.config.pool.iter().any(|prefix| prefix.contains(address)) {
            return Err(Verdict::Refuse(NO_GRANT, RefusalReason::NoApplication));
        }
        let network = self.policy.network(address).ok_or(Verdict::Drop(DropReason::NotOurs))?;
        Ok(Mapping { gateway: network.gateway, real: address, grant: network.grant })
    }

    fn refuse(
        &mut self,
        packet: &[u8],
        facts: &Facts,
        key: &DeviceKey,
        grant: u32,
        reason: RefusalReason,
        now: Instant,
    ) {
        let (protocol, destination, port) = (key.protocol, key.destination, key.destination_port);
        self.refusals.note(Refusal { grant, reason, protocol, destination, port, at: now, count: 0 });
        self.answer_refused(packet, facts);
    }

    /// Answers with a packet that explains itself.
    pub(super) fn answer_refused(&mut self, packet: &[u8], facts: &Facts) {
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        if let Some(length) = refusal::write(out, packet, facts) {
            self.tun.push(length);
        }
    }

    fn drop_untracked(&mut self, facts: &Facts) {
        self.drop(match facts.transport {
            Transport::Fragment => DropReason::Fragment,
            Transport::Error => DropReason::NotOurs,
            Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } | Transport::Other => {
                DropReason::UnsupportedProtocol
            }
        });
    }

    pub(super) fn is_resolver(&self, address: IpAddr) -> bool {
        let (v4, v6) = self.config.resolver;
        match address {
            IpAddr::V4(address) => address == v4,
            IpAddr::V6(address) => Some(address) == v6,
        }
    }
}

/// Why a flow does not begin.
enum Verdict {
    Drop(DropReason),
    Refuse(u32, RefusalReason),
}

/// Bytes behind the transport header, of a whole super-packet.
pub(super) fn payload_length(facts: &Facts) -> usize {
    match facts.transport {
        Transport::Tcp(tcp) => facts.transport_length() - tcp.header_length,
        Transport::Udp { .. } | Transport::Echo { .. } => facts.transport_length() - 8,
        Transport::Error | Transport::Fragment | Transport::Other => 0,
    }
}
