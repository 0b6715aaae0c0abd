//! A new policy: flows that lost their right are reset first, exactly, on both sides.

use std::time::Instant;

use super::{Datapath, Refusal};
use crate::conntrack::Flow;
use crate::counters::{DropReason, RefusalReason};
use crate::packet::refusal::{self, Reset};
use crate::policy::Policy;

impl Datapath {
    /// Enforces `policy` from now on. Flows that it no longer allows are reset (TCP) or forgotten before this returns;
    /// the resets stand in the batches. Returns how many flows ended.
    pub fn set_policy(&mut self, policy: Policy, now: Instant) -> usize {
        let ended: Vec<u32> = self
            .conntrack
            .iter()
            .filter(|(_, flow)| !is_allowed(&policy, flow))
            .map(|(index, _)| index)
            .collect();
        for index in &ended {
            if let Some(flow) = self.conntrack.remove(*index) {
                self.end(&flow, now);
            }
        }
        if policy.grants != self.policy.grants {
            self.refusals.clear(); // they speak of grants that have changed
        }
        self.policy = policy;
        ended.len()
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
        let Some((to_device, to_remote)) = flow.resets() else { return };
        self.reset_device(&to_device);
        let Some(length) = refusal::write_reset(&mut self.scratch, &to_remote) else { return };
        if let Some(peer) = self.peers.get_mut(flow.tunnel.gateway as usize).and_then(Option::as_mut) {
            peer.seal(&self.scratch[..length], &mut self.send, now);
        }
    }

    fn reset_device(&mut self, reset: &Reset) {
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        if let Some(length) = refusal::write_reset(out, reset) {
            self.tun.push(length);
        }
    }
}

fn is_allowed(policy: &Policy, flow: &Flow) -> bool {
    let gateway = policy.gateways.get(flow.tunnel.gateway as usize);
    let is_carried = gateway.is_some_and(|gateway| {
        gateway.allows(flow.tunnel.remote) && gateway.local_address(flow.tunnel.remote) == Some(flow.local)
    });
    let application = policy.application(flow.grant, flow.device.protocol, flow.device.destination_port);
    !policy.is_blocked && is_carried && application.is_some()
}
