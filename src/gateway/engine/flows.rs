//! What the engine knows of a flow besides the packet machine: its socket, what was dialed, why it was ended.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use netstack::gateway::{EndReason, FlowFacts};
use netstack::policy::Protocol;

use super::Engine;
use crate::gateway::audit::{Entry, Verdict};
use crate::gateway::job::Dialed;

/// Datagrams of one flow that wait for its socket.
const MOST_WAITING: usize = 16;

/// One flow.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) dialed: Option<Dialed>,
    /// It was let through: dialed, or forwarded by the kernel.
    pub(super) is_carried: bool,
    /// Why we ended it, and the name it was for.
    pub(super) ended_by_us: Option<(&'static str, Option<Arc<str>>)>,
    pub(super) socket: Option<Arc<UdpSocket>>,
    waiting: Vec<Vec<u8>>,
}

impl Record {
    /// It leads there.
    pub(super) fn set_dialed(&mut self, dialed: Dialed) {
        self.dialed = Some(dialed);
        self.is_carried = true;
    }

    /// Sends a datagram, or keeps it until there is a socket.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        match &self.socket {
            // full, or refused before: a lost datagram, as on any network
            Some(socket) => drop(socket.send(datagram)),
            None if self.waiting.len() < MOST_WAITING => self.waiting.push(datagram.to_vec()),
            None => {}
        }
    }

    /// Datagrams leave by this socket from now on, those that waited first.
    pub(super) fn set_socket(&mut self, socket: Arc<UdpSocket>) {
        for datagram in std::mem::take(&mut self.waiting) {
            drop(socket.send(&datagram));
        }
        self.socket = Some(socket);
    }
}

impl Engine {
    /// Writes down a flow that is over.
    pub(super) fn audit_flow(&self, facts: &FlowFacts, record: Record, why: EndReason, now: Instant) {
        let (Some(peer), Some(application)) = (self.peers.get(&facts.peer), facts.application) else {
            return; // connections for names have no line
        };
        let (reason, name) = record.ended_by_us.unwrap_or((why.code(), None));
        let verdict = if record.is_carried { Verdict::Allowed } else { Verdict::Refused };
        let dialed = record.dialed.as_ref().map(|dialed| dialed.address);
        self.audit.write(Entry {
            time: SystemTime::now(),
            peer: Arc::clone(peer),
            verdict,
            application: self.roster.applications.get(application as usize).cloned(),
            protocol: protocol(facts.protocol).to_owned(),
            source: facts.source,
            destination: facts.destination,
            name: record.dialed.and_then(|dialed| dialed.name).or(name),
            dialed,
            up: facts.up,
            down: facts.down,
            duration: now.saturating_duration_since(facts.began),
            reason,
            left_out: 0,
        });
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}
