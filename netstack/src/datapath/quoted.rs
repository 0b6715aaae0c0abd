//! ICMP errors from a tunnel and from the device: the packet that they quote is translated too (RFC 5508, section 4).

use std::net::SocketAddr;
use std::time::Instant;

use super::{Arrival, Datapath, mtu};
use crate::conntrack::{DeviceKey, Owner, TunnelKey};
use crate::counters::DropReason;
use crate::nat::{self, Translation};
use crate::packet::checksum;
use crate::packet::facts::Facts;
use crate::packet::virtio::Offload;

/// Bytes of an ICMP error before the packet that it quotes.
const ERROR_HEADER: usize = 8;
/// The largest IPv4 header with a TCP header behind it, in bytes.
const LARGEST_HEADERS: usize = 60 + 20;

impl Datapath {
    /// The error that stands in the spare frame.
    pub(super) fn quoted_error(&mut self, gateway: u32, facts: &Facts, now: Instant) {
        let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        if !is_sound(packet, facts) {
            return self.drop(DropReason::Malformed);
        }
        let Some(quoted) = Facts::parse_quoted(&packet[facts.transport_at + ERROR_HEADER..]) else {
            return self.drop(DropReason::Malformed);
        };
        if quoted.source != facts.destination {
            return self.drop(DropReason::ForeignAddress);
        }
        let owner = TunnelKey::quoted(gateway, &quoted).and_then(|key| self.conntrack.find_by_tunnel(&key));
        match owner {
            Some(Owner::Flow(index)) => self.translate_error(index, facts, &quoted, now),
            Some(Owner::Query(query)) => {
                let server = SocketAddr::new(quoted.destination, quoted.ports().map_or(0, |(_, port)| port));
                self.arrive(Arrival::Unreachable { query, server });
            }
            Some(Owner::Probe) => {
                let Some(packet) = self.tun.spare() else { return };
                let at = facts.transport_at;
                let (kind, start) = (packet[at], packet[at + ERROR_HEADER..].first_chunk().copied());
                if let Some(size) = start.and_then(|start| mtu::exceeded(kind, &start, facts.is_ipv6())) {
                    self.handle_echo(gateway, size, now);
                }
            }
            Some(Owner::Local) | None => self.drop(DropReason::Unsolicited),
        }
    }

    fn translate_error(&mut self, index: u32, facts: &Facts, quoted: &Facts, now: Instant) {
        let Some(flow) = self.conntrack.get_mut(index) else { return };
        flow.last_seen = now;
        let device = flow.device;
        let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        let inner = Translation {
            source: device.source,
            destination: device.destination,
            source_port: Some(device.source_port),
            destination_port: None,
        };
        // the quoted transport checksum may be cut off: what remains of it need not be right (RFC 5508, REQ-3)
        let at = facts.transport_at + ERROR_HEADER;
        translate_quoted(&mut packet[at..], quoted, &inner);
        // a router on the way has no virtual address: its error is shown as the destination's own
        let (source, destination) = (device.destination, device.source);
        let outer = Translation { source, destination, source_port: None, destination_port: None };
        if readdress(packet, facts, &outer).is_some() {
            self.tun.push(facts.length);
        }
    }

    /// An error that the device sends about what it got through a tunnel goes to the internal host.
    pub(super) fn error_out(&mut self, packet: &mut [u8], facts: &Facts, now: Instant) {
        if !is_sound(packet, facts) {
            return self.drop(DropReason::Malformed);
        }
        let at = facts.transport_at + ERROR_HEADER;
        let Some(quoted) = Facts::parse_quoted(&packet[at..]) else {
            return self.drop(DropReason::Malformed);
        };
        let key = DeviceKey::quoted(&quoted);
        let index = key.and_then(|key| self.conntrack.find_by_device(&key));
        let Some(flow) = index.and_then(|index| self.conntrack.get_mut(index)) else {
            return self.drop(DropReason::NotOurs);
        };
        let (source, tunnel) = (flow.local, flow.tunnel);
        let inner = Translation {
            source: tunnel.remote,
            destination: source,
            source_port: None,
            destination_port: Some(tunnel.local_port),
        };
        translate_quoted(&mut packet[at..], &quoted, &inner);
        let outer =
            Translation { source, destination: tunnel.remote, source_port: None, destination_port: None };
        let Some(outside) = readdress(packet, facts, &outer) else { return self.drop(DropReason::NotOurs) };
        if self.fit(packet, &outside, &Offload::NONE, tunnel.gateway).is_some() {
            self.seal(packet, &outside, &Offload::NONE, tunnel.gateway, now);
        }
    }
}

/// Gives an error whose quoted packet was rewritten its ends and its checksum; `None` when the families differ.
fn readdress(packet: &mut [u8], facts: &Facts, to: &Translation) -> Option<Facts> {
    if !nat::translate(packet, facts, to, false) {
        return None;
    }
    let outside = Facts { source: to.source, destination: to.destination, ..*facts };
    let transport = &mut packet[facts.transport_at..facts.length];
    transport[2..4].fill(0);
    let sum = !checksum::fold(checksum::sum(transport) + pseudo_header(&outside));
    transport[2..4].copy_from_slice(&sum.to_ne_bytes());
    Some(outside)
}

/// Whether the error's own checksum is right: it is written anew, which must not make a broken one whole.
fn is_sound(packet: &[u8], facts: &Facts) -> bool {
    checksum::is_valid(&packet[facts.transport_at..facts.length], pseudo_header(facts))
}

/// ICMP has none.
fn pseudo_header(facts: &Facts) -> u64 {
    match facts.is_ipv6() {
        true => {
            checksum::pseudo_header(facts.source, facts.destination, facts.protocol, facts.transport_length())
        }
        false => 0,
    }
}

/// Rewrites the quoted packet; its transport checksum only where it was quoted whole.
fn translate_quoted(quoted_packet: &mut [u8], quoted: &Facts, to: &Translation) {
    let has_checksum = quoted.checksum_at().is_some_and(|field| field + 2 <= quoted_packet.len());
    if has_checksum {
        nat::translate(quoted_packet, quoted, to, false);
        return;
    }
    let mut whole = [0; LARGEST_HEADERS];
    let length = quoted_packet.len().min(whole.len());
    whole[..length].copy_from_slice(&quoted_packet[..length]);
    nat::translate(&mut whole, quoted, to, false);
    quoted_packet[..length].copy_from_slice(&whole[..length]);
}
