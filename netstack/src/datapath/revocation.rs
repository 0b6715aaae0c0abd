//! A new policy: flows that lost their right are reset first, exactly, on both sides.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Config, Datapath, Mapping, Refusal};
use crate::conntrack::{Flow, FlowEnd};
use crate::counters::RefusalReason;
use crate::packet::refusal::{self, Reset};
use crate::policy::Policy;

/// Resets that had no room in a batch: at most two a flow that was tracked.
#[derive(Debug, Default)]
pub(super) struct PendingResets {
    to_device: VecDeque<Reset>,
    to_remote: VecDeque<(u32, Reset)>,
    since: Option<Instant>,
}

impl Datapath {
    /// Enforces `policy` from now on. Each flow is judged by what stands behind its destination now: where mappings
    /// change with the policy, [`Self::replace_mappings`] comes first. Flows that it no longer allows are reset (TCP)
    /// or forgotten before this returns; the resets stand in the batches, and those beyond their room follow as the
    /// batches are drained. Connections of the resolver into tunnels end likewise. Returns how many flows of the
    /// device ended.
    pub fn set_policy(&mut self, policy: Policy, now: Instant) -> usize {
        if policy.grants != self.policy.grants {
            self.refusals.clear(); // they speak of grants that have changed
        }
        self.policy = policy;
        let ended = self.judge_flows();
        self.end_flows(&ended, now);
        self.end_own_tcp(now);
        self.reset_device();
        self.reset_remote();
        ended.len()
    }

    /// Ends flows, by index. Their resets wait for [`Self::reset_device`] and [`Self::reset_remote`].
    pub(super) fn end_flows(&mut self, ended: &[u32], now: Instant) {
        self.resets.since = Some(now);
        for index in ended {
            if let Some(flow) = self.conntrack.remove(*index, FlowEnd::Revoked) {
                self.end(&flow, now);
            }
        }
        self.fragments.clear();
    }

    /// Gives each flow its grant and application under the policy of now; returns those that have none.
    fn judge_flows(&mut self) -> Vec<u32> {
        let Self { conntrack, mappings, policy, config, .. } = self;
        let mut ended = Vec::new();
        for (index, flow) in conntrack.iter_mut() {
            let behind = match mappings.get(&flow.device.destination) {
                Some(mapping) => Some(*mapping),
                None => network_behind(policy, config, flow),
            };
            match behind.and_then(|behind| Some((behind.grant, allowed_by(policy, flow, &behind)?))) {
                Some((grant, application)) => (flow.grant, flow.application) = (grant, application),
                None => ended.push(index),
            }
        }
        ended
    }

    fn end(&mut self, flow: &Flow, now: Instant) {
        self.refusals.note(Refusal {
            grant: flow.grant,
            reason: RefusalReason::Revoked,
            protocol: flow.device.protocol,
            destination: flow.device.destination,
            port: flow.device.destination_port,
            at: now,
            count: 0,
        });
        if let Some(peer) = self.peers.get_mut(flow.tunnel.gateway as usize).and_then(Option::as_mut) {
            peer.forget(&flow.tunnel);
        }
        let Some((to_device, to_remote)) = flow.resets() else { return };
        self.resets.to_device.push_back(to_device);
        self.resets.to_remote.push_back((flow.tunnel.gateway, to_remote));
        if flow.remote_edge != to_remote.sequence {
            let ahead = Reset { sequence: flow.remote_edge, ..to_remote };
            self.resets.to_remote.push_back((flow.tunnel.gateway, ahead));
        }
    }

    /// Writes the resets toward the device that wait, as far as there is room.
    pub(super) fn reset_device(&mut self) {
        while !self.resets.to_device.is_empty() {
            let Some(out) = self.tun.spare() else { return };
            let Some(reset) = self.resets.to_device.pop_front() else { return };
            if let Some(length) = refusal::write_reset(out, &reset) {
                self.tun.push(length);
            }
        }
    }

    /// Seals the resets toward internal hosts that wait, as far as there is room.
    pub(super) fn reset_remote(&mut self) {
        let Some(since) = self.resets.since else { return };
        while self.send.spare().is_some() {
            let Some((gateway, reset)) = self.resets.to_remote.pop_front() else { return };
            let Some(length) = refusal::write_reset(&mut self.scratch, &reset) else { continue };
            if let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) {
                peer.seal(&self.scratch[..length], &mut self.send, since);
            }
        }
    }
}

/// What stands behind a real address; a virtual one without a mapping has nothing behind it.
fn network_behind(policy: &Policy, config: &Config, flow: &Flow) -> Option<Mapping> {
    let address = flow.device.destination;
    if config.pool.iter().any(|prefix| prefix.contains(address)) {
        return None;
    }
    let network = policy.network(address)?;
    Some(Mapping { gateway: network.gateway, real: address, grant: network.grant })
}

/// The application under which the flow may go on; none when its destination is another one now.
fn allowed_by(policy: &Policy, flow: &Flow, behind: &Mapping) -> Option<u32> {
    let is_same = behind.gateway == flow.tunnel.gateway && behind.real == flow.tunnel.remote;
    let gateway = policy.gateways.get(flow.tunnel.gateway as usize)?;
    let is_carried =
        gateway.allows(flow.tunnel.remote) && gateway.local_address(flow.tunnel.remote) == Some(flow.local);
    let application = policy.application(behind.grant, flow.device.protocol, flow.device.destination_port);
    application.filter(|_| is_same && is_carried && !policy.is_blocked)
}
