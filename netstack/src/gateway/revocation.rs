//! A new policy: flows that lost their right end first, by exact resets on both sides.

use std::collections::VecDeque;
use std::time::Instant;

use super::Gateway;
use super::event::EndReason;
use super::flow::Stage;
use super::policy::Policy;
use crate::packet::refusal::{self, Reset};

/// Resets that had no room in a batch: at most three a flow that was tracked.
#[derive(Debug, Default)]
pub(super) struct PendingResets {
    to_inner: VecDeque<Reset>,
    to_peers: VecDeque<(u32, Reset)>,
    since: Option<Instant>,
}

impl Gateway {
    /// Enforces `policy` from now on, and returns the numbers of its devices, in order; a device keeps its number, its
    /// session and its allowed flows while its keys stay the same. A key that is listed twice counts once. Where
    /// destinations change with the policy, [`Self::replace_destinations`] comes first. Flows that it no longer allows
    /// are reset (TCP) or forgotten before this returns; the resets stand in the batches, and those beyond their room
    /// follow as the batches are drained.
    pub fn set_policy(&mut self, policy: Policy, now: Instant) -> Vec<u32> {
        let Policy { peers, applications, networks, guarded } = policy;
        self.rights.replace(applications, &networks, &guarded);
        let (numbers, gone) = self.peers.replace(peers);
        for index in self.judge() {
            self.reset(index, now);
            self.end(index, EndReason::Revoked, now);
        }
        self.reassembly.clear();
        self.reset_inner();
        self.reset_peers();
        self.peers.drop_gone(gone);
        numbers
    }

    /// Gives each flow its application under the policy of now; returns those that have none.
    fn judge(&mut self) -> Vec<u32> {
        let mut ended = Vec::new();
        for index in self.flows.places() {
            let Some(flow) = self.flows.get(index).filter(|flow| !flow.is_ended()) else { continue };
            let (key, peer, real) = (flow.tracked.device, flow.peer(), flow.tracked.tunnel.remote);
            let is_its_own = self.peers.owner(key.source) == Some(peer);
            let grant = self.grant(peer, &key).ok().filter(|grant| is_its_own && grant.real == real);
            match (grant, self.flows.get_mut(index)) {
                (Some(grant), Some(flow)) => flow.tracked.application = grant.application,
                _ => ended.push(index),
            }
        }
        ended
    }

    /// Resets an open TCP connection on both sides; one that waits for the caller, toward its peer.
    pub(super) fn reset(&mut self, index: u32, now: Instant) {
        let Some(flow) = self.flows.get(index) else { return };
        let Some((to_peer, to_inner)) = flow.tracked.resets() else { return };
        self.resets.since = Some(now);
        if let Stage::Held(_) = flow.stage {
            // it has sent a SYN, and expects that to be acknowledged
            self.resets.to_peers.push_back((flow.peer(), to_peer));
            return;
        }
        let edge = flow.tracked.remote_edge;
        self.resets.to_peers.push_back((flow.peer(), to_peer));
        self.resets.to_inner.push_back(to_inner);
        if edge != to_inner.sequence {
            self.resets.to_inner.push_back(Reset { sequence: edge, ..to_inner });
        }
        self.reset_inner();
        self.reset_peers();
    }

    /// Writes the resets toward the inner side that wait, as far as there is room.
    pub(super) fn reset_inner(&mut self) {
        while !self.resets.to_inner.is_empty() {
            let Some(out) = self.inner.spare() else { return };
            let Some(reset) = self.resets.to_inner.pop_front() else { return };
            if let Some(length) = refusal::write_reset(out, &reset) {
                self.inner.push(length);
            }
        }
    }

    /// Seals the resets toward peers that wait, as far as there is room.
    pub(super) fn reset_peers(&mut self) {
        let Some(since) = self.resets.since else { return };
        while self.send.spare().is_some() {
            let Some((peer, reset)) = self.resets.to_peers.pop_front() else { return };
            if let Some(length) = refusal::write_reset(&mut self.scratch, &reset) {
                self.seal_scratch(peer, length, since);
            }
        }
    }
}
