//! A connection: everything that is made on `up` and taken back on `down`, in an order that a kill at any moment survives.

mod carrier;
mod engine_thread;
mod network_change;
mod own_state;
mod renumber;
mod replan;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
use netstack::policy::Policy;
use netstack::wireguard::PeerConfig;
use platform::IpPrefix;
use platform::netlink::NetworkFacts;
use tokio::sync::{mpsc, oneshot};

use super::address_pool::{self, AddressPool, Saved};
use super::endpoints::{self, Endpoints, NameService};
use super::engine::{ASSUMED_MTU, Command, Device, Event, FlowList, LARGEST_MTU, Snapshot};
use super::network_watch::{NetworkWatch, News};
use super::plan::Plan;
use super::system_dns::{SystemDns, Target};
use super::{Reach, Setup, degraded, plan};
use crate::config::{Gateway, Mtu, Prefix};
use crate::dialer::{AllWithheld, Line};
use crate::guardian::Guardian;
pub use carrier::BROKER_SUBCOMMAND;
pub(super) use carrier::Carrier;
use carrier::OwnLink;
use engine_thread::{sockets, start_engine};
use network_change::Surroundings;

/// A connection that is up.
pub(super) struct Connection {
    pub(super) carrier: Carrier,
    pub(super) dns: SystemDns,
    pub(super) endpoints: Endpoints,
    pub(super) pool: AddressPool,
    pub(super) plan: Plan,
    /// Things that work less well than they could.
    pub(super) notes: Vec<String>,
    commands: mpsc::Sender<Command>,
    line: Line,
    thread: JoinHandle<()>,
    is_ending: Arc<AtomicBool>,
    reporter: JoinHandle<()>,
    resolvers: Vec<IpAddr>,
    surroundings: Surroundings,
}

/// What makes it necessary to look again.
pub(super) enum Disturbance {
    /// The system's DNS may no longer be as we have set it.
    Dns,
    /// The device's network has changed.
    Network(News),
}

/// What is known before anything is made.
struct Foundation {
    /// Has seen everything since the facts.
    watch: NetworkWatch,
    facts: NetworkFacts,
    plan: Plan,
    seed: [u8; 32],
    pool: AddressPool,
    addresses: dns::VirtualPool,
}

impl Foundation {
    fn lay(setup: &Setup) -> anyhow::Result<Self> {
        let watch = NetworkWatch::new();
        let facts = platform::netlink::facts().context("failed to look at the network")?;
        let plan = plan::build(&setup.config, &local_networks(&facts, None), &setup.device.withheld)?;
        let seed = random();
        let (pool, addresses) = choose_addresses(setup, &facts, &seed)?;
        Ok(Self { watch, facts, plan, seed, pool, addresses })
    }
}

impl Connection {
    /// Makes all of it. What was made before a failure is undone before this returns.
    pub(super) async fn bring_up(setup: &Setup, events: mpsc::Sender<Event>) -> anyhow::Result<Self> {
        let foundation = Foundation::lay(setup)?;
        let mut connection = match setup.reach {
            Reach::Everything => Self::with_link(setup, events, foundation).await?,
            Reach::Proxies | Reach::ProxiesForLackOfRights => {
                let (carrier, device, has_ipv6) = carrier::without_link(setup, &foundation)?;
                Self::build(setup, events, foundation, carrier, device, has_ipv6).await?
            }
        };
        if let Err(error) = connection.learn_network().await {
            tracing::warn!("{error:#}: the first change of the network counts as one of the gateways' ways");
        }
        Ok(connection)
    }

    async fn with_link(
        setup: &Setup,
        events: mpsc::Sender<Event>,
        foundation: Foundation,
    ) -> anyhow::Result<Self> {
        let mut guardian = Guardian::start(&platform::paths::journal(&setup.state_dir))?;
        let (tun, written) = match OwnLink::make(setup, &foundation, &mut guardian) {
            Ok(made) => made,
            Err(error) => {
                guardian.finish()?;
                return Err(error);
            }
        };
        let own = OwnLink { guardian, name: tun.name().to_owned(), index: tun.index(), written };
        let has_ipv6 = foundation.facts.ipv6_available;
        let carrier = Carrier::Link(Box::new(own));
        let mut connection =
            Self::build(setup, events, foundation, carrier, Device::Tun(tun), has_ipv6).await?;
        connection.set_dns(setup).await;
        Ok(connection)
    }

    /// Puts the engine behind the carrier's device; the carrier is taken back if that fails.
    async fn build(
        setup: &Setup,
        events: mpsc::Sender<Event>,
        foundation: Foundation,
        carrier: Carrier,
        device: Device,
        has_ipv6: bool,
    ) -> anyhow::Result<Self> {
        let Foundation { watch, facts: _, plan, seed, pool, addresses } = foundation;
        let notes: Vec<String> = degraded::of_device(&device, setup).into_iter().collect();
        for note in &notes {
            tracing::info!("{note}");
        }
        let engine = match start_engine(setup, device, &plan, &pool, addresses, has_ipv6, events, seed) {
            Ok(engine) => engine,
            Err(error) => {
                carrier.take_back()?;
                return Err(error);
            }
        };
        let endpoints = find_endpoints(setup, &engine.commands);
        let peers = peers(setup, &endpoints);
        let _ = engine.commands.send(Command::SetPeers(peers)).await; // its queue is new and empty
        allow(&engine.commands, &plan.policy).await;
        let resolvers = resolvers(&pool, has_ipv6);
        let line = Line { requests: engine.requests, way: carrier.way() };
        let dns = SystemDns::untouched();
        endpoints.network_changed(name_service(&dns));
        Ok(Self {
            carrier,
            dns,
            endpoints,
            pool,
            plan,
            notes,
            commands: engine.commands,
            line,
            thread: engine.thread,
            is_ending: engine.is_ending,
            reporter: engine.reporter,
            resolvers,
            surroundings: Surroundings::new(watch),
        })
    }

    /// Tells the system's DNS about our resolver.
    async fn set_dns(&mut self, setup: &Setup) {
        let Carrier::Link(own) = &mut self.carrier else { return };
        let target = Target {
            link: own.index,
            resolvers: &self.resolvers,
            domains: &self.plan.domains,
            engine: &self.commands,
        };
        self.dns = SystemDns::set(setup.dns_mode, &mut own.guardian, target).await;
        self.endpoints.network_changed(name_service(&self.dns));
    }

    /// What was changed on the system, as sentences.
    pub(super) fn changes(&self) -> Vec<String> {
        let mut changes = self.carrier.changes();
        changes.extend(self.dns.change());
        changes
    }

    /// Makes a change to the system's DNS, if that is ours to change at all.
    async fn change_dns(&mut self, change: impl AsyncFnOnce(&mut SystemDns, &mut Guardian, Target<'_>)) {
        let Carrier::Link(own) = &mut self.carrier else { return };
        let target = Target {
            link: own.index,
            resolvers: &self.resolvers,
            domains: &self.plan.domains,
            engine: &self.commands,
        };
        change(&mut self.dns, &mut own.guardian, target).await;
    }

    /// Waits until there is something to look at. Nothing is lost when this is dropped.
    pub(super) async fn disturbed(&mut self) -> Disturbance {
        tokio::select! {
            () = self.dns.disturbed() => Disturbance::Dns,
            news = self.surroundings.changed() => Disturbance::Network(news),
        }
    }

    /// The way for dialers.
    pub(super) fn line(&self) -> Line {
        self.line.clone()
    }

    /// How things stand in the engine; `None` when it has ended.
    pub(super) async fn snapshot(&self) -> Option<Snapshot> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Snapshot(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Which flows are open; `None` when the engine has ended.
    pub(super) async fn flows(&self) -> Option<FlowList> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Flows(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Who has which virtual address; `None` when the engine has ended.
    pub(super) async fn addresses(&self) -> Option<Vec<dns::Entry>> {
        let (reply, addresses) = oneshot::channel();
        self.commands.send(Command::Addresses(reply)).await.ok()?;
        addresses.await.ok()
    }

    /// Takes applications away from this device, or gives them back: connections to them are reset before this returns.
    /// Answers how many that were.
    pub(super) async fn withhold(&mut self, withheld: &AllWithheld, is_blocked: bool) -> usize {
        self.plan.policy.withheld = withheld.keys().copied().collect();
        self.set_blocked(is_blocked).await
    }

    /// Refuses protected destinations at once, or lets them through again. Answers how many connections ended.
    pub(super) async fn set_blocked(&self, is_blocked: bool) -> usize {
        let policy = Policy { is_blocked, ..self.plan.policy.clone() };
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::SetPolicy(policy, reply)).await.is_err() {
            return 0; // an engine that ended tells so by itself
        }
        let ended = answer.await.unwrap_or(0);
        if ended > 0 {
            tracing::info!("{ended} connections lost their right and were reset");
        }
        ended
    }

    /// Lets the link carry packets of `mtu` bytes.
    pub(super) fn set_mtu(&self, mtu: u16) {
        match self.carrier.set_mtu(mtu) {
            Ok(()) => tracing::info!("the link's MTU is {mtu} now: that is what the paths carry"),
            Err(error) => tracing::warn!("{error:#}; larger packets are cut or refused one by one"),
        }
    }

    /// Puts the system's DNS right again after somebody changed it.
    ///
    /// Answers whether another program had changed it.
    pub(super) async fn renew_dns(&mut self) -> bool {
        let before = name_service(&self.dns);
        self.change_dns(async |dns, guardian, target| dns.renew(guardian, target).await).await;
        let service = name_service(&self.dns);
        if service != before {
            self.endpoints.network_changed(service);
        }
        self.dns.take_tampered()
    }

    /// Who is asked for names outside the tunnel.
    pub(super) fn name_service(&self) -> NameService {
        name_service(&self.dns)
    }

    /// Asks a local forwarder no more that asks us itself.
    pub(super) async fn leave_forwarder(&mut self, server: SocketAddr) {
        self.change_dns(async |dns, guardian, target| {
            dns.leave_forwarder(guardian, server, target.engine).await;
        })
        .await;
    }

    /// Takes all of it back: names first, so that nothing is sent to a resolver that is gone.
    pub(super) async fn take_down(self, setup: &Setup) -> anyhow::Result<()> {
        let entries = self.addresses().await;
        if self.carrier.link().is_none() {
            self.set_blocked(true).await; // flows are reset: nobody would tell them that their device is gone
        }
        self.is_ending.store(true, Ordering::Relaxed);
        let undone = tokio::task::spawn_blocking(move || {
            let result = self.carrier.take_back();
            let _ = self.commands.blocking_send(Command::Stop); // ended already: the same
            let has_joined = self.thread.join().is_ok();
            (result, self.reporter.join().is_ok() && has_joined) // told to the end: the engine is gone
        });
        let (result, has_joined) = undone.await.context("failed to disconnect")?;
        if !has_joined {
            tracing::error!("the engine had crashed");
        }
        // last, since a busy disk may take its time, and the system waits for its names
        if let Some(entries) = entries {
            save_addresses(setup, self.pool, entries);
        }
        result
    }
}

/// Lets the plan's policy take effect.
async fn allow(commands: &mpsc::Sender<Command>, policy: &Policy) {
    let (reply, answer) = oneshot::channel();
    let policy = Policy { is_blocked: false, ..policy.clone() };
    if commands.send(Command::SetPolicy(policy, reply)).await.is_ok() {
        let _ = answer.await; // an engine that ended tells so by itself
    }
}

fn peers(setup: &Setup, endpoints: &Endpoints) -> Vec<(u32, PeerConfig)> {
    let gateways = (0..).zip(&setup.config.gateways).filter(|(_, gateway)| !gateway.is_retired);
    gateways.map(|(id, _)| (id, peer(setup, id, endpoints))).collect()
}

fn peer(setup: &Setup, id: u32, endpoints: &Endpoints) -> PeerConfig {
    let (gateway, key) = (&setup.config.gateways[id as usize], &setup.keys[id as usize]);
    PeerConfig {
        private_key: *key.reveal(),
        public_key: gateway.public_key,
        preshared_key: gateway.preshared_key.as_ref().map(|key| *key.reveal()),
        endpoints: endpoints.addresses(&gateway.endpoints),
        can_move: endpoints::can_move(&gateway.endpoints),
        keepalive: setup.config.tunneling.keep_alive.value,
    }
}

/// The gateways' addresses, with what earlier runs know of their names.
fn find_endpoints(setup: &Setup, engine: &mpsc::Sender<Command>) -> Endpoints {
    let of_gateway = |gateway: &Gateway| match gateway.is_retired {
        true => Vec::new(),
        false => gateway.endpoints.clone(),
    };
    let configured = setup.config.gateways.iter().map(of_gateway).collect();
    Endpoints::start(configured, &setup.state_dir, engine.clone())
}

/// Who knows the gateways' names: never our own resolver, which may need the gateway to answer.
fn name_service(dns: &SystemDns) -> NameService {
    let is_ours = !matches!(dns.status().state.as_str(), "off" | "failed");
    match dns.physical_servers() {
        [] if !is_ours => NameService::System,
        servers => NameService::Servers(servers.to_vec()),
    }
}

/// The prefixes, and the table of what was given out before.
fn choose_addresses(
    setup: &Setup,
    facts: &NetworkFacts,
    seed: &[u8; 32],
) -> anyhow::Result<(AddressPool, dns::VirtualPool)> {
    let saved = address_pool::load(&address_pool::path(&setup.state_dir));
    let pool =
        address_pool::choose(saved.as_ref().map(|saved| saved.pool), facts, &behind_gateways(setup), seed)?;
    let names: Vec<&str> = setup.config.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    let entries = saved.map(|saved| saved.entries_for(&names)).unwrap_or_default();
    let (table, left_out) = dns::VirtualPool::restore(pool.ipv4, pool.ipv6, entries, wall());
    save_addresses(setup, pool, table.entries().collect());
    if left_out > 0 {
        tracing::info!("{left_out} virtual addresses of earlier runs are free again");
    }
    Ok((pool, table))
}

/// What the tunnels carry, as real addresses.
fn behind_gateways(setup: &Setup) -> Vec<IpPrefix> {
    let allowed = setup.config.gateways.iter().flat_map(|gateway| &gateway.allowed_ips);
    allowed.filter_map(|prefix| IpPrefix::new(prefix.address, prefix.length).ok()).collect()
}

/// Keeps the table for the next run.
pub(super) fn save_addresses(setup: &Setup, pool: AddressPool, entries: Vec<dns::Entry>) {
    let gateways = setup.config.gateways.iter().map(|gateway| gateway.name.clone()).collect();
    let saved = Saved { pool, gateways, entries };
    if let Err(error) = address_pool::save(&address_pool::path(&setup.state_dir), &saved) {
        tracing::warn!("{error:#}; names may get other addresses after a restart");
    }
}

/// The networks that the device is connected to by itself; `own` is the TUN, if there is one.
fn local_networks(facts: &NetworkFacts, own: Option<u32>) -> Vec<Prefix> {
    let is_loopback = |index| facts.links.iter().any(|link| link.index == index && link.loopback);
    let is_foreign = |link| !is_loopback(link) && Some(link) != own;
    let connected = facts.addresses.iter().filter(|address| is_foreign(address.link));
    connected
        .map(|address| Prefix { address: address.network.address(), length: address.network.length() })
        .filter(|prefix| prefix.length > 0)
        .collect()
}

fn resolvers(pool: &AddressPool, has_ipv6: bool) -> Vec<IpAddr> {
    let (v4, v6) = pool.resolver();
    let mut resolvers = vec![v4.into()];
    if has_ipv6 {
        resolvers.push(v6.into());
    }
    resolvers
}

fn mtu(setup: &Setup) -> u16 {
    match setup.config.tunneling.mtu.value {
        Mtu::Fixed(mtu) => mtu,
        Mtu::Auto => ASSUMED_MTU,
    }
}

/// The most that the TUN's MTU may become.
fn most_mtu(setup: &Setup) -> u16 {
    match setup.config.tunneling.mtu.value {
        Mtu::Fixed(mtu) => mtu,
        Mtu::Auto => LARGEST_MTU,
    }
}

/// The ranges of applications, which are routed as they are.
fn networks(plan: &Plan) -> Vec<IpPrefix> {
    plan.policy.networks.iter().filter_map(|network| ip_prefix(&network.prefix)).collect()
}

fn ip_prefix(prefix: &netstack::policy::Prefix) -> Option<IpPrefix> {
    IpPrefix::new(prefix.address, prefix.length).ok()
}

/// Secret random bytes of the system.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    if getrandom::fill(&mut bytes).is_err() {
        // Linux answers always once it has booted; a guessable seed must not be used in silence
        tracing::error!("the system has no random numbers");
        std::process::abort();
    }
    bytes
}

fn wall() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
