//! A connection under a new plan: after a reload, or when the device's own networks changed. What stays is not touched.

use anyhow::Context;
use netstack::policy::Policy;
use netstack::wireguard::PeerConfig;
use tokio::sync::oneshot;

use super::{Carrier, Connection, find_endpoints, local_networks, name_service, networks, peer};
use crate::connector::endpoints::Endpoints;
use crate::connector::engine::{Command, Names, Rules};
use crate::connector::plan::{self, Plan};
use crate::connector::{Setup, network};

impl Connection {
    /// Plans anew for `setup` and the networks that the device is connected to now, and lets it take effect: first
    /// what is new on the system, then the policy, which resets the flows that lost their right, then what is left
    /// over goes. `changed_gateways` get a new session. Returns how many flows ended.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or the kernel refuses a change: the former plan is still in force,
    /// or the new one stands and something of the former is left on the system.
    pub(in crate::connector) async fn replan(
        &mut self,
        setup: &Setup,
        is_blocked: bool,
        changed_gateways: &[u32],
    ) -> anyhow::Result<usize> {
        let facts = platform::netlink::facts().context("failed to look at the network")?;
        let plan =
            plan::build(&setup.config, &local_networks(&facts, self.carrier.link()), &setup.device.withheld)?;
        let has_ipv6 = self.resolvers.len() > 1;
        let written = network::plan(&self.pool, &networks(&plan), &setup.access, has_ipv6);
        let former = match &mut self.carrier {
            Carrier::Link(own) => Some(own.write(written)?),
            Carrier::Namespace(_) | Carrier::Stack(_) => None,
        };
        if !changed_gateways.is_empty() {
            self.endpoints = find_endpoints(setup, &self.commands);
        }
        let peers = changed_peers(setup, changed_gateways, &self.endpoints);
        let ended = self.enforce(&plan, setup, is_blocked, peers).await;
        if !changed_gateways.is_empty() {
            self.endpoints.network_changed(name_service(&self.dns)); // now the engine knows whose names they are
        }
        let have_domains_changed = plan.domains != self.plan.domains;
        self.plan = plan;
        if have_domains_changed {
            self.change_dns(async |dns, guardian, target| dns.change_domains(guardian, target).await).await;
        }
        if let (Carrier::Link(own), Some(former)) = (&self.carrier, former) {
            own.remove(&former)?;
        }
        Ok(ended)
    }

    /// An engine that ended tells so by itself.
    async fn enforce(
        &self,
        plan: &Plan,
        setup: &Setup,
        is_blocked: bool,
        peers: Vec<(u32, Option<PeerConfig>)>,
    ) -> usize {
        let (reply, ended) = oneshot::channel();
        let policy = Policy { is_blocked, ..plan.policy.clone() };
        let gateways = setup.config.gateways.len() as u32;
        let names = Names::of(&setup.config, &policy);
        let rules = Rules { policy, zones: (*plan.zones).clone(), gateways, names, peers };
        match self.commands.send(Command::SetRules(Box::new(rules), reply)).await {
            Ok(()) => ended.await.unwrap_or(0),
            Err(_) => 0,
        }
    }
}

/// Gateways as they are now; one that is gone has no session.
fn changed_peers(setup: &Setup, changed: &[u32], endpoints: &Endpoints) -> Vec<(u32, Option<PeerConfig>)> {
    let is_retired = |id: u32| setup.config.gateways[id as usize].is_retired;
    changed.iter().map(|id| (*id, (!is_retired(*id)).then(|| peer(setup, *id, endpoints)))).collect()
}
