//! Virtual addresses move to other prefixes while the connection is up, when another program begins to use theirs.

use platform::netlink::NetworkFacts;
use tokio::sync::oneshot;

use super::{Carrier, Command, Connection, behind_gateways, networks, random, resolvers, save_addresses};
use crate::connector::address_pool::{self, AddressPool};
use crate::connector::engine::Renumbering;
use crate::connector::{Setup, network};

/// Said in the status while every range is used by others.
const NOTE: &str = "another program uses the range of our virtual addresses, and no other range is free: names may \
                    lead to that program's hosts";

impl Connection {
    /// Moves the virtual addresses if another program's address, route or firewall chain touches them. The others keep
    /// what they have: it is us who go.
    ///
    /// # Errors
    /// When the kernel refuses a change.
    pub(super) async fn avoid_collision(
        &mut self,
        setup: &Setup,
        facts: &NetworkFacts,
    ) -> anyhow::Result<()> {
        let foreign = address_pool::foreign(facts, self.carrier.link().unwrap_or(0), network::TABLE);
        self.notes.retain(|note| note != NOTE);
        match address_pool::choose(Some(self.pool), &foreign, &behind_gateways(setup), &random()) {
            Ok(pool) if pool == self.pool => Ok(()),
            Ok(pool) => self.move_to(setup, pool).await,
            Err(error) => {
                tracing::warn!("{error:#}");
                self.notes.push(NOTE.to_owned());
                Ok(())
            }
        }
    }

    /// What is new comes first, then the engine and the system's DNS learn of it, then what is left over goes.
    async fn move_to(&mut self, setup: &Setup, pool: AddressPool) -> anyhow::Result<()> {
        tracing::warn!("another program uses the range of our virtual addresses: they move to another one");
        let has_ipv6 = self.resolvers.len() > 1;
        let written = network::plan(&pool, &networks(&self.plan), &setup.access, has_ipv6);
        let former = match &mut self.carrier {
            Carrier::Link(own) => Some(own.write(written)?),
            Carrier::Namespace(broker) => {
                broker.set_addresses(&written.addresses)?;
                None
            }
            Carrier::Stack(_) => None, // the engine tells it
        };
        let ended = self.renumber(Renumbering { pool, has_ipv6 }).await;
        tracing::info!("{ended} connections to former virtual addresses were reset");
        self.pool = pool;
        self.resolvers = resolvers(&pool, has_ipv6);
        self.change_dns(async |dns, guardian, target| dns.change_domains(guardian, target).await).await;
        if let (Carrier::Link(own), Some(former)) = (&self.carrier, former) {
            own.remove(&former)?;
        }
        if let Some(entries) = self.addresses().await {
            save_addresses(setup, self.pool, entries);
        }
        Ok(())
    }

    /// An engine that ended tells so by itself.
    async fn renumber(&self, to: Renumbering) -> usize {
        let (reply, ended) = oneshot::channel();
        match self.commands.send(Command::Renumber(to, reply)).await {
            Ok(()) => ended.await.unwrap_or(0),
            Err(_) => 0,
        }
    }
}
