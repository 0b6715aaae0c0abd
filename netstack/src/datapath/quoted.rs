//! ICMP errors from a tunnel and from the device: the packet that they quote is translated too (RFC 5508, section 4).

use std::net::SocketAddr;
use std::time::Instant;

use super::{Arrival, Datapath, mtu};
use crate::conntrack::{DeviceKey, Owner, TunnelKey};
use crate::counters::DropReason;
use crate::nat::Translation;
use crate::nat::quoted::{ERROR_HEADER, is_sound, readdress, translate_quoted};
use crate::packet::facts::Facts;
use crate::packet::virtio::Offload;

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
