//! What the packet machine tells: flows to dial, content to carry, what is over, what was refused.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use netstack::gateway::{Close, Content, EndReason, Event, FlowFacts, FlowId, Refusal};
use netstack::policy::Protocol;

use super::Engine;
use super::flows::Record;
use crate::gateway::audit::{Entry, Verdict};
use crate::gateway::config::Egress;
use crate::gateway::job::{Dialed, Job};
use crate::user_stack::Accepted;

impl Engine {
    /// Hands on what waits in the machine.
    pub(super) fn pump_events(&mut self, now: Instant) {
        while let Some(event) = self.gateway.poll_event() {
            match event {
                Event::Opening(flow, facts) | Event::Began(flow, facts) => self.begin(flow, facts, now),
                Event::Ended(flow, facts, why) => self.end(flow, &facts, why, now),
                Event::Refused(refusal) => self.audit_refusal(&refusal),
            }
        }
        while let Some((content, payload)) = self.gateway.poll_datagram() {
            match content {
                Content::Udp(flow) => {
                    if let Some(record) = self.records.get_mut(&flow) {
                        record.send(payload);
                    }
                }
                Content::Echo(flow, sequence) => {
                    let _ = self.jobs.try_send(Job::Echo(flow, sequence, payload.to_vec())); // lost, as on any network
                }
                Content::Query { peer, source, local } => {
                    let Some(facts) = self.peers.get(&peer) else { continue };
                    let (facts, payload) = (Arc::clone(facts), payload.to_vec());
                    let _ = self.jobs.try_send(Job::Query { peer, facts, source, local, payload }); // asked again
                }
            }
        }
    }

    /// Hands on the connections that the stack in user space took.
    pub(super) fn pump_accepted(&mut self) {
        while let Some(Accepted { local, remote, stream }) = self.io.device.poll_accepted() {
            let _ = self.jobs.try_send(Job::Accepted(remote, local, stream.into())); // dropped, and so closed
        }
    }

    /// Ends every flow, so that each has its line.
    pub(super) fn end_all(&mut self, now: Instant) {
        for record in self.records.values_mut() {
            record.ended_by_us.get_or_insert(("gateway_stopped", None));
        }
        self.gateway.set_policy(netstack::gateway::Policy::default(), now);
        self.settle(now);
    }

    fn begin(&mut self, flow: FlowId, facts: FlowFacts, now: Instant) {
        self.records.insert(flow, Record::default());
        let Some(peer) = self.peers.get(&facts.peer) else { return };
        let peer = Arc::clone(peer);
        if facts.application.is_some() && self.roster.config.egress == Egress::Kernel {
            return self.note_forwarded(flow, &facts);
        }
        let job = match facts.protocol {
            Protocol::Tcp => Job::Open(flow, facts, peer),
            Protocol::Udp | Protocol::Icmp => Job::Began(flow, facts, peer),
        };
        if self.jobs.try_send(job).is_err() {
            self.refuse(flow, Close::Unreachable, "gateway_busy", now);
        }
    }

    /// The kernel carries it from here.
    fn note_forwarded(&mut self, flow: FlowId, facts: &FlowFacts) {
        let address = facts.destination.ip();
        let table = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let name = table.get(&self.roster, address).map(|named| named.name);
        drop(table);
        let address = self.reals.get(&address).copied().unwrap_or(address);
        if let Some(record) = self.records.get_mut(&flow) {
            record.set_dialed(Dialed { name, address });
        }
    }

    fn refuse(&mut self, flow: FlowId, how: Close, reason: &'static str, now: Instant) {
        if let Some(record) = self.records.get_mut(&flow) {
            record.ended_by_us = Some((reason, None));
        }
        self.gateway.close_flow(flow, how, now);
    }

    fn end(&mut self, flow: FlowId, facts: &FlowFacts, why: EndReason, now: Instant) {
        let record = self.records.remove(&flow).unwrap_or_default();
        self.audit_flow(facts, record, why, now);
        if Self::is_for_egress(facts, why) && self.jobs.try_send(Job::Ended(flow)).is_err() {
            tracing::debug!("the egress is busy: a flow's end is left to its own timers");
        }
    }

    /// A connection that ended in good order ends by itself on the other side too, when all is delivered there.
    fn is_for_egress(facts: &FlowFacts, why: EndReason) -> bool {
        match why {
            EndReason::Closed | EndReason::ResetByPeer | EndReason::ResetByHost => {
                facts.protocol != Protocol::Tcp
            }
            EndReason::Idle | EndReason::Revoked | EndReason::ClosedByCaller => true,
        }
    }

    fn audit_refusal(&self, refusal: &Refusal) {
        let Some(peer) = self.peers.get(&refusal.peer) else { return };
        let table = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let named = table.get(&self.roster, refusal.destination.ip());
        drop(table);
        self.audit.write(Entry {
            time: SystemTime::now(),
            peer: Arc::clone(peer),
            verdict: Verdict::Refused,
            application: None,
            protocol: protocol(refusal.protocol),
            source: refusal.source,
            destination: refusal.destination,
            name: named.map(|named| named.name),
            dialed: None,
            up: 0,
            down: 0,
            duration: Duration::ZERO,
            reason: refusal.reason.code(),
            left_out: refusal.left_out,
        });
    }
}

/// A protocol's name by its number (IANA).
fn protocol(number: u8) -> String {
    match number {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        1 | 58 => "icmp".to_owned(),
        other => other.to_string(),
    }
}
