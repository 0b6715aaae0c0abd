//! Datagrams in parts, both ways: the first part decides, the others follow it.

use std::net::IpAddr;
use std::time::Instant;

use super::Datapath;
use crate::conntrack::{Owner, Side, TunnelKey};
use crate::counters::DropReason;
use crate::fragments::{DatagramKey, Route};
use crate::nat::{self, Translation};
use crate::packet::facts::{Facts, Transport};
use crate::packet::fragment;
use crate::packet::virtio::Offload;

impl Datapath {
    /// A fragment from the device.
    pub(super) fn fragment_out(&mut self, packet: &mut [u8], facts: &Facts, now: Instant) {
        let Some(part) = fragment::parse(packet, facts) else { return self.drop(DropReason::Malformed) };
        let key = key(None, facts, part.id);
        let Some(first) = part.first else { return self.follow(key, packet, facts, now) };
        let Some(way) = self.way(packet, &first, now) else {
            return self.refuse_datagram(key, now);
        };
        if self.fit(packet, facts, &Offload::NONE, way.gateway).is_none() {
            return self.refuse_datagram(key, now);
        }
        let (source, destination) = (way.to.source, way.to.destination);
        if nat::translate(packet, &first, &way.to, false) {
            let facts = Facts { source, destination, ..*facts };
            self.seal(packet, &facts, &Offload::NONE, way.gateway, now);
        }
        self.release_held(key, Route::Tunnel { gateway: way.gateway, source, destination }, now);
    }

    /// A fragment from a tunnel, in the spare frame.
    pub(super) fn fragment_in(&mut self, gateway: u32, facts: &Facts, now: Instant) {
        let Some(packet) = self.tun.spare().map(|buffer| &buffer[..facts.length]) else { return };
        let Some(part) = fragment::parse(packet, facts) else { return self.drop(DropReason::Malformed) };
        let key = key(Some(gateway), facts, part.id);
        let Some(first) = part.first else {
            let packet = packet.to_vec();
            return self.follow_copy(key, packet, now);
        };
        match self.translation_in(gateway, &first, now) {
            Ok(to) => {
                let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
                if nat::translate(packet, &first, &to, false) {
                    self.tun.push(facts.length);
                }
                let route = Route::Device { source: to.source, destination: to.destination };
                self.release_held(key, route, now);
            }
            Err(reason) => {
                self.drop(reason);
                self.refuse_datagram(key, now);
            }
        }
    }

    /// What the first fragment from a tunnel becomes; only programs of the device get datagrams in parts.
    fn translation_in(
        &mut self,
        gateway: u32,
        first: &Facts,
        now: Instant,
    ) -> Result<Translation, DropReason> {
        let owner = TunnelKey::inbound(gateway, first).and_then(|key| self.conntrack.find_by_tunnel(&key));
        let index = match owner {
            Some(Owner::Flow(index)) => index,
            Some(Owner::Query(_) | Owner::Local | Owner::Probe) => return Err(DropReason::Fragment),
            None => return Err(DropReason::Unsolicited),
        };
        if matches!(first.transport, Transport::Echo { is_request: true, .. }) {
            return Err(DropReason::Unsolicited);
        }
        let payload = first.payload_length();
        let flow = self.conntrack.note(index, Side::Remote, &first.transport, payload, now);
        let flow = flow.ok_or(DropReason::Unsolicited)?;
        let device = flow.device;
        Ok(Translation {
            source: device.destination,
            destination: device.source,
            source_port: None,
            destination_port: Some(device.source_port),
        })
    }

    fn refuse_datagram(&mut self, key: DatagramKey, now: Instant) {
        let held = self.fragments.learn(key, Route::Refused, now);
        held.iter().for_each(|_| self.drop(DropReason::Fragment));
    }

    fn release_held(&mut self, key: DatagramKey, route: Route, now: Instant) {
        for mut packet in self.fragments.learn(key, route, now) {
            if let Some(facts) = Facts::parse(&packet) {
                self.send_part(route, &mut packet, &facts, now);
            }
        }
    }

    fn follow_copy(&mut self, key: DatagramKey, mut packet: Vec<u8>, now: Instant) {
        if let Some(facts) = Facts::parse(&packet) {
            self.follow(key, &mut packet, &facts, now);
        }
    }

    /// A later fragment goes where its first went, or waits for it.
    fn follow(&mut self, key: DatagramKey, packet: &mut [u8], facts: &Facts, now: Instant) {
        match self.fragments.follow(&key, now) {
            Some(route) => self.send_part(route, packet, facts, now),
            None => {
                if !self.fragments.hold(key, packet, now) {
                    self.drop(DropReason::Fragment);
                }
            }
        }
    }

    fn send_part(&mut self, route: Route, packet: &mut [u8], facts: &Facts, now: Instant) {
        match route {
            Route::Tunnel { gateway, source, destination } => {
                if nat::translate(packet, facts, &addresses(source, destination), false) {
                    let facts = Facts { source, destination, ..*facts };
                    self.seal(packet, &facts, &Offload::NONE, gateway, now);
                }
            }
            Route::Device { source, destination } => {
                let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
                out[..packet.len()].copy_from_slice(packet);
                if nat::translate(&mut out[..packet.len()], facts, &addresses(source, destination), false) {
                    self.tun.push(packet.len());
                }
            }
            Route::Refused => self.drop(DropReason::Fragment),
        }
    }
}

fn key(gateway: Option<u32>, facts: &Facts, id: u32) -> DatagramKey {
    let Facts { source, destination, protocol, .. } = *facts;
    DatagramKey { gateway, source, destination, protocol, id }
}

/// Later fragments have no ports.
fn addresses(source: IpAddr, destination: IpAddr) -> Translation {
    Translation { source, destination, source_port: None, destination_port: None }
}
