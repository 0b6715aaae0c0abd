//! What follows when the device's network has changed: new sockets, new sessions, and our own state put right.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use platform::IpPrefix;
use platform::net_monitor::Interests;
use platform::netlink::{Netlink, NetworkFacts};

use super::own_state::Repairs;
use super::{Command, Connection, local_networks, name_service, sockets};
use crate::config::{Host, Prefix};
use crate::connector::network_watch::{NetworkWatch, News, Picture};
use crate::connector::{Setup, network};

/// New sessions because of the network are made at most this often: a link that flaps is no reason for a storm.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the device's network, and what of it is ours.
pub(super) struct Surroundings {
    watch: NetworkWatch,
    picture: Picture,
    /// The networks that the device is connected to by itself.
    local: Vec<Prefix>,
    /// When what is ours was put back.
    pub(super) repairs: Repairs,
}

impl Surroundings {
    /// `watch` has seen everything since the connection was planned.
    pub(super) fn new(watch: NetworkWatch) -> Self {
        Self { watch, picture: Picture::default(), local: Vec::new(), repairs: Repairs::default() }
    }

    /// Looks at the network at this time though nothing may have happened.
    pub(super) fn look_again(&mut self, at: Instant) {
        self.watch.look_again(at);
    }

    /// Waits until the network has changed. Nothing is lost when this is dropped.
    pub(super) async fn changed(&mut self) -> News {
        self.watch.changed().await
    }
}

impl Connection {
    /// Learns how the gateways are reached, to know later what is new.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(super) async fn learn_network(&mut self) -> anyhow::Result<()> {
        let facts = platform::netlink::facts().context("failed to look at the network")?;
        self.surroundings.picture = self.take_picture(&facts.links).await?;
        self.surroundings.local = local_networks(&facts, self.carrier.link());
        if self.surroundings.picture.is_offline() {
            self.go_offline().await;
        }
        Ok(())
    }

    /// Follows a change of the network.
    ///
    /// # Errors
    /// When the kernel does not answer, or refuses a change.
    pub(in crate::connector) async fn follow_network(
        &mut self,
        setup: &Setup,
        is_blocked: bool,
        news: News,
    ) -> anyhow::Result<()> {
        let facts = platform::netlink::facts().context("failed to look at the network")?;
        let picture = self.take_picture(&facts.links).await?;
        let is_cut = news.changes.interrupted || news.slept.is_some();
        let has_moved = is_cut || picture.differs(&self.surroundings.picture);
        let is_offline = picture.is_offline();
        self.surroundings.picture = picture;
        tracing::debug!(has_moved, is_offline, ?news, "the network has changed");
        match (has_moved, is_offline) {
            (true, true) => self.go_offline().await,
            (true, false) => self.reconnect(setup).await,
            (false, true | false) => {}
        }
        self.put_back_what_is_ours(&facts)?;
        self.avoid_collision(setup, &facts).await?;
        self.judge_overlap(setup, is_blocked, &facts).await?;
        if has_moved && !is_offline {
            self.follow_dns().await;
        }
        Ok(())
    }

    /// Applications that are address ranges must not hide a network that the device is connected to.
    async fn judge_overlap(
        &mut self,
        setup: &Setup,
        is_blocked: bool,
        facts: &NetworkFacts,
    ) -> anyhow::Result<()> {
        let local = local_networks(facts, self.carrier.link());
        let is_range = |host: &Host| !matches!(host, Host::Name(_));
        let has_ranges =
            setup.config.applications.iter().any(|application| application.hosts.iter().any(is_range));
        if has_ranges && local != self.surroundings.local {
            let ended = self.replan(setup, is_blocked, &[]).await?;
            tracing::info!("the device is connected to other networks: {ended} connections were reset");
        }
        self.surroundings.local = local;
        Ok(())
    }

    /// Fresh sockets toward the gateways, whose ports no router has a stale idea of, and new sessions over them.
    async fn reconnect(&mut self, setup: &Setup) {
        tracing::info!("the network has changed: connecting to the gateways anew");
        match sockets(setup) {
            Ok(sockets) => {
                let _ = self.commands.send(Command::Rebind(sockets)).await; // an engine that ended tells so by itself
            }
            Err(error) => tracing::warn!("{error:#}: the former sockets are kept"),
        }
        let _ = self.commands.send(Command::Reconnect).await; // likewise
        self.surroundings.watch.rest(Instant::now() + RECONNECT_INTERVAL);
    }

    /// The network has servers of its own, and gateways' names may have other addresses in it.
    async fn follow_dns(&mut self) {
        self.change_dns(async |dns, guardian, target| dns.follow_network(guardian, target).await).await;
        self.endpoints.network_changed(name_service(&self.dns));
    }

    async fn go_offline(&self) {
        tracing::info!("there is no network: the gateways are tried again when there is one");
        let _ = self.commands.send(Command::GoOffline).await; // an engine that ended tells so by itself
    }

    /// Looks at the ways to the gateways, and says of what it wants to hear from now on.
    async fn take_picture(&mut self, links: &[platform::netlink::Link]) -> anyhow::Result<Picture> {
        let gateways = self.gateway_addresses().await;
        let picture = Picture::take(&mut Netlink::open()?, links, &gateways)?;
        let pool = self.pool.surroundings();
        let interests = Interests {
            own_link: self.carrier.link().unwrap_or(0), // no link has that number
            own_table: network::TABLE,
            links: picture.links(),
            prefixes: gateways.into_iter().map(IpPrefix::host).chain(pool).collect(),
        };
        self.surroundings.watch.set_interests(interests);
        Ok(picture)
    }

    async fn gateway_addresses(&self) -> BTreeSet<IpAddr> {
        let Some(snapshot) = self.snapshot().await else { return BTreeSet::new() };
        let gateways = snapshot.gateways.iter().flatten();
        let endpoints = gateways.flat_map(|facts| facts.endpoints.iter().chain(&facts.endpoint));
        endpoints.map(|endpoint| endpoint.ip()).collect()
    }
}
