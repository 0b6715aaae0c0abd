//! What waits inside boringtun for a session: its queue, mirrored, so that what loses its right is not sent after all.

use std::collections::VecDeque;

use crate::conntrack::TunnelKey;
use crate::packet::facts::Facts;

/// As many as boringtun keeps.
const MOST: usize = 256;

/// The packets that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    /// `None`: no packet that any flow has.
    facts: Option<Facts>,
    is_forgotten: bool,
}

impl Waiting {
    /// A packet was handed to boringtun, which has no session.
    pub(super) fn push(&mut self, packet: &[u8]) {
        if self.0.len() < MOST {
            self.0.push_back(Entry { facts: Facts::parse(packet), is_forgotten: false });
        }
    }

    /// Boringtun gave the next packet: whether it is to be sent.
    pub(super) fn pop(&mut self) -> bool {
        self.0.pop_front().is_none_or(|entry| !entry.is_forgotten)
    }

    /// What waits of this flow is not to be sent, nor parts of datagrams that may be its own.
    pub(super) fn forget(&mut self, flow: &TunnelKey) {
        for entry in &mut self.0 {
            entry.is_forgotten |= entry.facts.is_some_and(|facts| is_of(&facts, flow));
        }
    }

    /// Boringtun forgot all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn is_of(facts: &Facts, flow: &TunnelKey) -> bool {
    let has_ports = |(local, remote)| local == flow.local_port && [remote, 0].contains(&flow.remote_port);
    facts.protocol == flow.protocol && facts.destination == flow.remote && facts.ports().is_none_or(has_ports)
}
