//! Whether a flow may begin, and its beginning.

use std::time::Instant;

use super::event::{Event, FlowId};
use super::flow::{Counted, Flow, NAMES, Stage};
use super::policy::Grant;
use super::{Egress, Gateway};
use crate::conntrack::{self, DeviceKey, TunnelKey};
use crate::counters::{DropReason, RefusalReason};
use crate::packet::TCP;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::policy::Protocol;

/// Events that wait at the most before flows are refused: the caller does not fetch them.
const MOST_EVENTS: usize = 16_384;
/// Longest SYN that is kept, in bytes: one without data, with all the options that there may be.
const LONGEST_SYN: usize = 128;

/// Why a flow does not begin, or not go on.
pub(super) enum Verdict {
    Drop(DropReason),
    Refuse(RefusalReason),
    /// A segment of no connection: its sender is to open it anew, and nobody else need know.
    Stray,
}

impl Verdict {
    /// A protocol that is never carried.
    pub(super) fn unsupported() -> Self {
        Self::Refuse(RefusalReason::PortNotAllowed)
    }
}

impl Gateway {
    /// Decides on the first packet of a flow, which stands in the spare frame.
    pub(super) fn begin(
        &mut self,
        peer: u32,
        key: DeviceKey,
        facts: &Facts,
        now: Instant,
    ) -> Result<u32, Verdict> {
        if self.peers.owner(key.source) != Some(peer) {
            return Err(Verdict::Drop(DropReason::ForeignAddress));
        }
        opens(facts)?;
        let grant = self.grant(peer, &key).map_err(Verdict::Refuse)?;
        self.has_room(peer, &key)?;
        let stage = self.first_stage(facts)?;
        let tunnel = TunnelKey {
            gateway: peer,
            protocol: key.protocol,
            local_port: key.source_port,
            remote: grant.real,
            remote_port: key.destination_port,
        };
        let tracked = conntrack::Flow::new(key, tunnel, key.source, 0, grant.application, now);
        let (id, counted) = (FlowId(0), Counted::default());
        let flow = Flow { id, tracked, began: now, up: 0, down: 0, stage, counted };
        let index = self.flows.insert(flow).ok_or(Verdict::Refuse(RefusalReason::TableFull))?;
        self.announce(index);
        Ok(index)
    }

    /// Under which application a flow may pass, by the policy of now.
    pub(super) fn grant(&self, peer: u32, key: &DeviceKey) -> Result<Grant, RefusalReason> {
        let address = key.destination;
        if self.is_names(address) {
            let is_allowed = key.protocol == TCP && key.destination_port == super::names::DNS_PORT;
            let grant = Grant { application: NAMES, real: address };
            return is_allowed.then_some(grant).ok_or(RefusalReason::PortNotAllowed);
        }
        let protocol = Protocol::from_number(key.protocol).ok_or(RefusalReason::PortNotAllowed)?;
        let own = self.peers.applications(peer);
        // devices do not reach each other, whatever ranges there are
        if !self.rights.is_destination(address) && self.peers.owner(address).is_some() {
            return Err(RefusalReason::NoApplication);
        }
        let grant = self.rights.grant(own, address, protocol, key.destination_port)?;
        Ok(match self.config.egress {
            Egress::Userspace => Grant { real: address, ..grant },
            Egress::Kernel => grant,
        })
    }

    fn has_room(&mut self, peer: u32, key: &DeviceKey) -> Result<(), Verdict> {
        let limits = &self.config.limits;
        let slot = self.peers.get_mut(peer).ok_or(Verdict::Drop(DropReason::NotOurs))?;
        let is_full = slot.flows >= limits.flows_per_peer
            || (key.protocol == TCP && slot.half_open >= limits.half_open_per_peer)
            || self.events.len() >= MOST_EVENTS;
        if is_full { Err(Verdict::Refuse(RefusalReason::TableFull)) } else { Ok(()) }
    }

    /// With userspace egress a connection waits until somebody is there who accepts it.
    fn first_stage(&mut self, facts: &Facts) -> Result<Stage, Verdict> {
        if facts.protocol != TCP || self.config.egress == Egress::Kernel {
            return Ok(Stage::Open);
        }
        let packet = self.inner.spare().ok_or(Verdict::Drop(DropReason::BatchFull))?;
        if facts.length > LONGEST_SYN {
            return Err(Verdict::Drop(DropReason::Malformed));
        }
        Ok(Stage::Held(packet[..facts.length].into()))
    }

    fn announce(&mut self, index: u32) {
        let Some(flow) = self.flows.get(index) else { return };
        self.events.tell(match flow.stage {
            Stage::Held(_) => Event::Opening(flow.id, flow.facts()),
            Stage::Open | Stage::Ended(_) => Event::Began(flow.id, flow.facts()),
        });
        let expires = flow.expires_at(&self.config.limits);
        self.flows.wake(index, expires);
        self.recount(index);
    }
}

/// Whether the packet may be a flow's first: of TCP only a SYN. A stray reset is no more than that.
fn opens(facts: &Facts) -> Result<(), Verdict> {
    match facts.transport {
        Transport::Tcp(tcp) if tcp.has(Tcp::RST) => Err(Verdict::Drop(DropReason::NotOurs)),
        Transport::Tcp(_) if !is_opening(facts) => Err(Verdict::Stray),
        Transport::Echo { is_request: false, .. } => Err(Verdict::Drop(DropReason::NotOurs)),
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } => Ok(()),
        Transport::Error | Transport::Fragment | Transport::Other => Err(Verdict::unsupported()),
    }
}

/// Whether it is a SYN that opens a connection.
pub(super) fn is_opening(facts: &Facts) -> bool {
    let Transport::Tcp(tcp) = facts.transport else { return false };
    tcp.has(Tcp::SYN) && !tcp.has(Tcp::ACK) && !tcp.has(Tcp::FIN) && !tcp.has(Tcp::RST)
}
