//! Which flow a packet of the device belongs to, and whether a new one may begin.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::refusals::NO_GRANT;
use super::{Datapath, Mapping, Refusal};
use crate::conntrack::{DeviceKey, Flow, Side, TcpState, TunnelKey};
use crate::counters::{DropReason, RefusalReason};
use crate::nat::Translation;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::refusal;

/// A segment that was sent so often without any progress may be too long for the path: two timeouts of the device.
const SUSPICIOUS_REPEATS: u8 = 2;
/// In bytes; what is shorter passes any path.
const SUSPICIOUS_LENGTH: usize = 512;

/// Where a packet of the device goes.
pub(super) struct Way {
    pub(super) gateway: u32,
    /// Number of the flow.
    pub(super) flow: u32,
    pub(super) to: Translation,
}

/// What the datapath would say to the first packet of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may begin.
    Allowed,
    /// Policy, or the gateway's absence, says no.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The applications at that destination, by id.
        applications: Vec<u32>,
    },
    /// The gateway carries no packets of this family, or not to this address.
    NoRoute,
}

/// What a flow that may begin is made of.
struct Admission {
    gateway: u32,
    grant: u32,
    application: u32,
    real: IpAddr,
    local: IpAddr,
}

/// Why a flow does not begin, or not go on.
enum Verdict {
    Drop(DropReason),
    Refuse(u32, RefusalReason),
}

impl Datapath {
    /// The way of a packet with ports; `None`: it goes nowhere, and what is to be said about it was said.
    pub(super) fn way(&mut self, packet: &[u8], facts: &Facts, now: Instant) -> Option<Way> {
        let key = DeviceKey::outbound(facts)?;
        let index = match self.conntrack.find_by_device(&key) {
            Some(index) => self.go_on(index, facts, now),
            None => self.begin(key, facts, now),
        };
        match index {
            Ok(index) => self.pass(index, facts, now),
            Err(Verdict::Drop(reason)) => {
                self.drop(reason);
                None
            }
            Err(Verdict::Refuse(grant, reason)) => {
                self.refuse(packet, facts, &key, grant, reason, now);
                None
            }
        }
    }

    fn pass(&mut self, index: u32, facts: &Facts, now: Instant) -> Option<Way> {
        let payload = facts.payload_length();
        let flow = self.conntrack.note(index, Side::Device, &facts.transport, payload, now)?;
        let to = Translation {
            source: flow.local,
            destination: flow.tunnel.remote,
            source_port: Some(flow.tunnel.local_port),
            destination_port: None,
        };
        let (gateway, is_stuck) = (flow.tunnel.gateway, flow.repeats >= SUSPICIOUS_REPEATS);
        if is_stuck && facts.length > SUSPICIOUS_LENGTH {
            self.suspect_path(gateway, now);
        }
        Some(Way { gateway, flow: index, to })
    }

    /// A flow that is known goes on. Only what would wait in vain for a lost gateway is told so; an open TCP
    /// connection may outlive the outage.
    fn go_on(&mut self, index: u32, facts: &Facts, now: Instant) -> Result<u32, Verdict> {
        let Some(flow) = self.conntrack.get_mut(index) else { return Ok(index) };
        let is_tcp = matches!(facts.transport, Transport::Tcp(_));
        let (grant, gateway, is_opening) = (flow.grant, flow.tunnel.gateway, flow.tcp == TcpState::Opening);
        if is_tcp && !is_opening {
            return Ok(index);
        }
        match self.is_lost(gateway, now) {
            true => Err(Verdict::Refuse(grant, RefusalReason::GatewayUnreachable)),
            false => Ok(index),
        }
    }

    /// Decides on the first packet of a flow.
    fn begin(&mut self, key: DeviceKey, facts: &Facts, now: Instant) -> Result<u32, Verdict> {
        if matches!(facts.transport, Transport::Echo { is_request: false, .. }) {
            return Err(Verdict::Drop(DropReason::NotOurs));
        }
        let Admission { gateway, grant, application, real, local } =
            self.admit(key.destination, key.protocol, key.destination_port)?;
        opens(facts, grant)?;
        if self.is_lost(gateway, now) {
            return Err(Verdict::Refuse(grant, RefusalReason::GatewayUnreachable));
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

    /// What policy says to a flow, whatever state the gateway is in.
    fn admit(&self, destination: IpAddr, protocol: u8, port: u16) -> Result<Admission, Verdict> {
        let Mapping { gateway, real, grant } = self.destination(destination)?;
        if self.policy.is_withheld(grant, protocol, port) {
            return Err(Verdict::Refuse(grant, RefusalReason::Device));
        }
        if self.policy.is_blocked {
            return Err(Verdict::Refuse(grant, RefusalReason::Blocked));
        }
        let application = self.policy.application(grant, protocol, port);
        let application = application.ok_or(Verdict::Refuse(grant, RefusalReason::PortNotAllowed))?;
        let peer = self.policy.gateways.get(gateway as usize).filter(|peer| peer.allows(real));
        let local =
            peer.and_then(|peer| peer.local_address(real)).ok_or(Verdict::Drop(DropReason::NoRoute))?;
        Ok(Admission { gateway, grant, application, real, local })
    }

    /// Says whether a flow of TCP or UDP (IANA number) may begin now, without beginning one. A refusal counts as one.
    pub fn judge(&mut self, destination: SocketAddr, protocol: u8, now: Instant) -> Judgement {
        let (address, port) = (destination.ip(), destination.port());
        let verdict = match self.admit(address, protocol, port) {
            Ok(admission) if !self.is_lost(admission.gateway, now) => return Judgement::Allowed,
            Ok(admission) => Verdict::Refuse(admission.grant, RefusalReason::GatewayUnreachable),
            Err(verdict) => verdict,
        };
        let (grant, reason) = match verdict {
            Verdict::Refuse(grant, reason) => (grant, reason),
            Verdict::Drop(DropReason::NotOurs) => (NO_GRANT, RefusalReason::NoApplication),
            Verdict::Drop(_) => return Judgement::NoRoute,
        };
        self.refusals.note(Refusal {
            grant,
            reason,
            protocol,
            destination: address,
            port,
            at: now,
            count: 0,
        });
        let grant = self.policy.grants.get(grant as usize);
        let applications = grant.into_iter().flat_map(|grant| &grant.applications);
        Judgement::Refused { reason, applications: applications.map(|application| application.id).collect() }
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

    /// Whether a gateway is known to be out of reach; that somebody wants it makes it try again at once.
    pub(super) fn is_lost(&mut self, gateway: u32, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else { return false };
        let is_lost = peer.is_lost(now);
        if is_lost {
            peer.nudge(&mut self.send, now);
        }
        is_lost
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
        let write = match reason {
            RefusalReason::GatewayUnreachable => refusal::write_unreachable,
            RefusalReason::Blocked
            | RefusalReason::Device
            | RefusalReason::NoApplication
            | RefusalReason::PortNotAllowed
            | RefusalReason::TableFull
            | RefusalReason::Revoked
            | RefusalReason::UnknownConnection => refusal::write,
        };
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        if let Some(length) = write(out, packet, facts) {
            self.tun.push(length);
        }
    }
}

/// Whether the packet may be a flow's first: of TCP only a SYN. A stray reset is no more than that.
fn opens(facts: &Facts, grant: u32) -> Result<(), Verdict> {
    let Transport::Tcp(tcp) = facts.transport else { return Ok(()) };
    if tcp.has(Tcp::RST) {
        return Err(Verdict::Drop(DropReason::NotOurs));
    }
    match tcp.has(Tcp::SYN) && !tcp.has(Tcp::ACK) && !tcp.has(Tcp::FIN) {
        true => Ok(()),
        false => Err(Verdict::Refuse(grant, RefusalReason::UnknownConnection)),
    }
}
