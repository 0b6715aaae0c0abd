//! What others may ask of the engine, and what it tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use netstack::counters::RefusalReason;
use netstack::datapath::{PathFacts, Refusal};
use netstack::policy::Policy;
use netstack::wireguard::{PeerConfig, PeerStats};
use platform::udp::UdpFacts;
use tokio::sync::oneshot;

use super::{Engine, FlowList, GatewayState, Names, wall};
use crate::connector::address_pool::AddressPool;

/// Asked of the engine.
pub enum Command {
    /// Enforce this policy; answered with the number of flows that it ended.
    SetPolicy(Policy, oneshot::Sender<usize>),
    /// Enforce these rules for names and packets; answered with the number of flows that they ended.
    SetRules(Box<Rules>, oneshot::Sender<usize>),
    /// Make sessions with these gateways, by id; none: end all sessions.
    SetPeers(Vec<(u32, PeerConfig)>),
    /// This gateway may be at these addresses.
    SetEndpoints(u32, Vec<SocketAddr>),
    /// Give out virtual addresses of another pool; answered with the number of flows that this ended.
    Renumber(Renumbering, oneshot::Sender<usize>),
    /// Use these sockets toward gateways from now on, one a family that the system has.
    Rebind(Vec<platform::udp::UdpEndpoint>),
    /// There is no network: try no gateway until [`Command::Reconnect`].
    GoOffline,
    /// The network changed or the machine woke up: make new sessions with all gateways at once.
    Reconnect,
    /// The physical links' servers are these.
    SetSystemServers(Vec<SocketAddr>),
    /// Say who has which virtual address.
    Addresses(oneshot::Sender<Vec<dns::Entry>>),
    /// Say which flows are open.
    Flows(oneshot::Sender<FlowList>),
    /// Say how things stand.
    Snapshot(oneshot::Sender<Snapshot>),
    /// End.
    Stop,
}

/// All that follows from a configuration.
pub struct Rules {
    /// For packets.
    pub policy: Policy,
    /// For names.
    pub zones: dns::Zones,
    /// How many gateways there are now; their ids mean the same ones as before.
    pub gateways: u32,
    /// What they are called from now on.
    pub names: Names,
    /// Gateways whose session is to be made anew, or to be ended.
    pub peers: Vec<(u32, Option<PeerConfig>)>,
}

/// Where virtual addresses are to come from.
#[derive(Debug, Clone, Copy)]
pub struct Renumbering {
    /// The prefixes and what is at their start.
    pub pool: AddressPool,
    /// Whether the device has IPv6.
    pub has_ipv6: bool,
}

/// Told by the engine.
#[derive(Debug)]
pub enum Event {
    /// A gateway was proven or lost.
    Gateway {
        /// Its id.
        id: u32,
        /// How it stands now.
        state: GatewayState,
    },
    /// This gateway's handshake stayed unanswered for longer than an answer takes: it may be at another address.
    Unanswered(u32),
    /// The paths carry packets of that many bytes: the TUN's MTU is to be that.
    Mtu(u16),
    /// The engine has ended by itself, because the TUN was taken away.
    Ended,
    /// A local forwarder asks us what we ask it.
    ForwarderLoop(SocketAddr),
    /// The table of virtual addresses is to be saved.
    AddressesChanged(Vec<dns::Entry>),
}

/// One gateway in a snapshot.
#[derive(Debug, Clone)]
pub struct GatewayFacts {
    /// How it stands.
    pub state: GatewayState,
    /// Times and bytes.
    pub stats: PeerStats,
    /// Where it is, as far as is known.
    pub endpoint: Option<SocketAddr>,
    /// Where it may be.
    pub endpoints: Vec<SocketAddr>,
    /// What the path to it carries.
    pub path: Option<PathFacts>,
}

/// How things stand.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Instant,
    /// Gateways by id; `None` while there is no session with it.
    pub gateways: Vec<Option<GatewayFacts>>,
    /// Flows by application.
    pub flows: Vec<u32>,
    /// Last refusals by grant.
    pub refusals: Vec<Refusal>,
    /// How many were refused, by reason.
    pub refused: Vec<(RefusalReason, u64)>,
    /// Packets dropped, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// Datagrams that the system would not send, and its last reason.
    pub unsent: (u64, Option<String>),
    /// What the sockets toward gateways got from the system, and what they lost since.
    pub sockets: Vec<UdpFacts>,
    /// Virtual addresses in use.
    pub addresses: usize,
    /// Names that could not be answered because no virtual address was left for them.
    pub exhausted: u64,
    /// Servers that were asked, and how they fared.
    pub servers: Vec<(dns::Via, SocketAddr, dns::ServerHealth)>,
}

/// Most applications that a snapshot counts flows for.
const MOST_APPLICATIONS: usize = 4_096;

impl Engine {
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::SetPolicy(policy, reply) => {
                let ended = self.datapath.set_policy(policy, now);
                self.io.flush(&mut self.datapath, now);
                let _ = reply.send(ended); // who asked may be gone
            }
            Command::SetRules(rules, reply) => {
                let _ = reply.send(self.set_rules(*rules, now)); // likewise
            }
            Command::SetPeers(peers) => {
                self.datapath.remove_peers();
                for (id, peer) in peers {
                    self.datapath.set_peer(id, peer, now);
                }
            }
            Command::SetEndpoints(id, endpoints) => self.datapath.set_endpoints(id, endpoints, now),
            Command::Renumber(to, reply) => {
                let ended = self.renumber(to, now);
                let _ = reply.send(ended); // likewise
            }
            Command::Rebind(sockets) => {
                if let Err(error) = self.io.rebind(sockets) {
                    tracing::warn!("failed to watch the new sockets: {error}; the former ones are kept");
                }
            }
            Command::GoOffline => self.datapath.go_offline(now),
            Command::Reconnect => self.datapath.reconnect(now),
            Command::SetSystemServers(servers) => {
                self.loop_probe.plan(&servers, now);
                self.resolver.set_system_servers(servers);
            }
            Command::Addresses(reply) => {
                let _ = reply.send(self.resolver.pool().entries().collect());
            }
            Command::Flows(reply) => {
                let _ = reply.send(self.list_flows(now)); // likewise
            }
            Command::Snapshot(reply) => {
                let _ = reply.send(self.snapshot(now));
            }
            Command::Stop => {}
        }
    }

    /// Names first: open flows are judged by what their virtual address stands for under the new rules.
    fn set_rules(&mut self, rules: Rules, now: Instant) -> usize {
        self.resolver.set_zones(rules.zones);
        self.know_mappings();
        let ended = self.datapath.set_policy(rules.policy, now);
        self.io.flush(&mut self.datapath, now); // resets leave through the sessions that end now
        self.tell_flows(); // what ended now had the former names
        self.names = rules.names;
        self.observer.set_count(rules.gateways);
        for (id, peer) in rules.peers {
            match peer {
                Some(peer) => self.datapath.set_peer(id, peer, now),
                None => self.datapath.remove_peer(id),
            }
        }
        ended
    }

    /// What a prefix that stays has given out stays; all else is handed out anew.
    fn renumber(&mut self, to: Renumbering, now: Instant) -> usize {
        let (ipv4, ipv6) = to.pool.resolver();
        let entries: Vec<dns::Entry> = self.resolver.pool().entries().collect();
        let (device_v4, device_v6) = to.pool.device();
        self.io.device.set_addresses([Some(device_v4.into()), to.has_ipv6.then_some(device_v6.into())]);
        let (table, _) = dns::VirtualPool::restore(to.pool.ipv4, to.pool.ipv6, entries, wall());
        self.resolver.set_pool(table);
        let ended = self.datapath.renumber((ipv4, to.has_ipv6.then_some(ipv6)), to.pool.networks(), now);
        self.know_mappings();
        self.io.flush(&mut self.datapath, now);
        ended
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        let gateway = |id: u32| {
            let peer = self.datapath.peer(id)?;
            let (state, endpoints) = (self.observer.state(id), peer.endpoints().to_vec());
            let path = self.datapath.path(id);
            Some(GatewayFacts { state, stats: peer.stats(), endpoint: peer.endpoint(), endpoints, path })
        };
        let counters = self.datapath.counters();
        let drops = netstack::counters::DropReason::ALL
            .into_iter()
            .map(|reason| (reason.code(), counters.get(reason)));
        Snapshot {
            at: now,
            gateways: (0..self.observer.count()).map(gateway).collect(),
            flows: self.datapath.flows_by_application(MOST_APPLICATIONS),
            refusals: self.datapath.refusals().copied().collect(),
            refused: self.datapath.refused().collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            unsent: (self.io.network.refused, self.io.network.last_error.clone()),
            sockets: self.io.network.facts(),
            addresses: self.resolver.pool().len(),
            exhausted: self.resolver.counters().pool_exhausted,
            servers: self.resolver.servers().collect(),
        }
    }
}
