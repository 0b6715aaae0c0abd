//! The simulated world: a device, up to three gateways, what stands behind them, and the network in between.

mod change;
mod check;
mod garbage;
mod healing;
mod inside;
mod inward;
mod naming;
mod outward;
mod time;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dns::{Resolver, VirtualPool};
use netstack::Datapath;
use netstack::datapath::Config;
use netstack::policy::Prefix;
use netstack::wireguard::{PeerConfig, public_key};

use crate::gateway::{Gateway, set_clock};
use crate::network::{Net, Random};
use crate::reference::Reference;
use crate::spec::{GATEWAYS, NAMES, ip};
use crate::transition::Transition;

/// The device's private key.
const OWN_KEY: [u8; 32] = [3; 32];
/// The device's public address.
const DEVICE_AT: &str = "192.0.2.200:40000";
/// Addresses of the device on its TUN, and of the resolver there.
const DEVICE: [&str; 2] = ["100.64.0.1", "fd99::1"];
const RESOLVER: [&str; 2] = ["100.64.0.2", "fd99::2"];
/// A server of the physical links.
const SYSTEM_SERVER: &str = "198.51.100.53:53";
/// MTU of the TUN in bytes.
const MTU: usize = 1_420;
/// Seconds since 1970 at the start.
const WALL: u64 = 1_800_000_000;

/// How an internal DNS server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerMode {
    Well,
    NoSuchName,
    Fails,
    Silent,
    Nonsense,
}

/// One gateway and what the world knows of it.
struct Site {
    wireguard: Gateway,
    is_present: bool,
    is_up: bool,
    /// It answers from its other address.
    is_elsewhere: bool,
    mode: ServerMode,
    /// When the device last got something authentic from it.
    heard_at: Option<Duration>,
    /// When the device first sent something that it may wait for in vain.
    waiting_since: Option<Duration>,
    /// When the device first asked for a session since it last heard anything.
    initiated_at: Option<Duration>,
    /// When it last answered a handshake.
    answered_at: Option<Duration>,
}

/// What the device sent with a tag in it.
#[derive(Debug, Clone)]
struct Sent {
    flow: usize,
    length: usize,
    is_seen: bool,
}

/// What an internal host sent into the tunnel.
#[derive(Debug, Clone)]
struct Inside {
    gateway: usize,
    what: Answer,
    is_delivered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Bytes of a connection, from which to which, with these flags.
    Tcp { flow: usize, from: u32, length: u32, flags: u8 },
    /// A datagram or an echo reply; perhaps in parts.
    Tagged { flow: usize, length: usize, is_part: bool },
    /// An ICMP error about a packet of a flow.
    Error { flow: usize },
    /// An answer of a DNS server.
    Dns,
    /// An answer to the device's own look at the path.
    Probe,
    /// Nothing that the device may ever see.
    Stray,
}

/// A query that a program waits for.
#[derive(Debug, Clone)]
struct Query {
    name: &'static str,
    qtype: u16,
    since: Duration,
    port: u16,
    is_ipv6: bool,
}

/// What a server said: when, with which code, and which addresses.
type Said = Vec<(Duration, u8, Vec<IpAddr>)>;

/// The world.
pub struct World {
    start: Instant,
    now: Duration,
    datapath: Datapath,
    resolver: Resolver,
    sites: Vec<Site>,
    net: Net,
    random: Random,
    reference: Reference,
    sent: Vec<Sent>,
    inside: Vec<Inside>,
    parts_at_gateways: BTreeMap<(usize, IpAddr, IpAddr, u8, u32), Vec<crate::wire::Packet>>,
    parts_at_device: BTreeMap<(IpAddr, IpAddr, u8, u32), Vec<crate::wire::Packet>>,
    names: BTreeMap<&'static str, Vec<IpAddr>>,
    queries: BTreeMap<u16, Query>,
    said: BTreeMap<(Option<u32>, &'static str, u16), Said>,
    next_id: u16,
    /// Datagrams that the device has had, to be sent again by somebody else.
    overheard: Vec<(SocketAddr, Vec<u8>)>,
    /// Resets that internal hosts may get, since a right was taken away: by flow.
    resets_due: BTreeMap<usize, Duration>,
    /// The policies before that of now, and until when each was enforced.
    earlier_specs: Vec<(Duration, crate::spec::Spec)>,
    last_answer: Option<(u16, Vec<IpAddr>)>,
    trace: bool,
}

impl World {
    /// Two gateways, everything granted, and a good network.
    pub fn new(seed: u64, trace: bool) -> Self {
        let start = Instant::now();
        set_clock(Duration::ZERO);
        let config = Config {
            seed: [9; 32],
            resolver: (RESOLVER[0].parse().expect("IPv4"), Some(RESOLVER[1].parse().expect("IPv6"))),
            pool: vec![
                Prefix { address: ip("100.64.0.0"), length: 16 },
                Prefix { address: ip("fd99::"), length: 48 },
            ],
            mtu: MTU,
            can_join: netstack::CanJoin { tcp: true, udp: true },
            most_segments: 64,
        };
        let pool = VirtualPool::new("100.64.0.0".parse().expect("IPv4"), "fd99::".parse().expect("IPv6"));
        let reference = Reference::new();
        let mut resolver = Resolver::new(reference.spec.zones(), pool, [7; 32]);
        resolver.set_system_servers(vec![Self::system_server()]);
        let mut datapath = Datapath::new(config, start);
        datapath.set_policy(reference.spec.policy(), start);
        let mut world = Self {
            start,
            now: Duration::ZERO,
            datapath,
            resolver,
            sites: (0..GATEWAYS).map(Site::new).collect(),
            net: Net::new(seed),
            random: Random::new(!seed),
            reference,
            sent: Vec::new(),
            inside: Vec::new(),
            parts_at_gateways: BTreeMap::new(),
            parts_at_device: BTreeMap::new(),
            names: NAMES.into_iter().zip(first_addresses()).collect(),
            queries: BTreeMap::new(),
            said: BTreeMap::new(),
            next_id: 0,
            overheard: Vec::new(),
            resets_due: BTreeMap::new(),
            earlier_specs: Vec::new(),
            last_answer: None,
            trace,
        };
        world.add_gateway(0);
        world.add_gateway(1);
        world.pass(Duration::from_millis(20));
        world
    }

    /// Lets one thing happen, and compares.
    ///
    /// # Panics
    /// When the world is not as the reference says.
    pub fn apply(&mut self, transition: Transition) {
        if self.trace {
            println!("{:>12?} {transition:?}", self.now);
        }
        match transition {
            Transition::SetPolicy(choice) => self.set_policy(choice),
            Transition::AddGateway(choice) => self.add_gateway(usize::from(choice[0]) % GATEWAYS),
            Transition::Ask(choice) => self.ask(choice),
            Transition::ServerMode(choice) => self.set_server_mode(choice),
            Transition::ChangeName(choice) => self.change_name(choice),
            Transition::Connect(choice) => self.connect(choice),
            Transition::TcpOut(choice) => self.tcp_out(choice),
            Transition::TcpIn(choice) => self.tcp_in(choice),
            Transition::UdpOut(choice) => self.udp_out(choice),
            Transition::UdpIn(choice) => self.udp_in(choice),
            Transition::EchoOut(choice) => self.echo_out(choice),
            Transition::EchoIn(choice) => self.echo_in(choice),
            Transition::Unsolicited(choice) => self.unsolicited(choice),
            Transition::ErrorIn(choice) => self.error_in(choice),
            Transition::GarbageOut(choice) => self.garbage_out(choice),
            Transition::GarbageIn(choice) => self.garbage_in(choice),
            Transition::Weather(choice) => self.set_weather(choice),
            Transition::GatewayState(choice) => self.change_gateway(choice),
            Transition::Pass(choice) => self.pass_some(choice),
            Transition::Heal => self.heal(),
        }
        self.pass(Duration::from_millis(1));
        self.check_bounds();
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12?}   {}", self.now, text());
        }
    }
}

impl Site {
    fn new(id: usize) -> Self {
        Self {
            wireguard: Gateway::new(site_key(id), public_key(OWN_KEY), id as u32 + 1),
            is_present: false,
            is_up: true,
            is_elsewhere: false,
            mode: ServerMode::Well,
            heard_at: None,
            waiting_since: None,
            initiated_at: None,
            answered_at: None,
        }
    }

    fn config(id: usize) -> PeerConfig {
        PeerConfig {
            private_key: OWN_KEY,
            public_key: public_key(site_key(id)),
            preshared_key: None,
            endpoints: vec![site_at(id, false)],
            can_move: false,
            keepalive: 0,
        }
    }
}

fn site_key(id: usize) -> [u8; 32] {
    [0x40 + id as u8; 32]
}

/// Where a gateway is: every one has two addresses.
fn site_at(id: usize, is_elsewhere: bool) -> SocketAddr {
    let host = 1 + id as u8 + if is_elsewhere { 100 } else { 0 };
    SocketAddr::from(([192, 0, 2, host], 51_820))
}

fn site_of(address: SocketAddr) -> Option<usize> {
    (0..GATEWAYS).find(|id| address == site_at(*id, false) || address == site_at(*id, true))
}

fn device_address(is_ipv6: bool) -> IpAddr {
    ip(DEVICE[usize::from(is_ipv6)])
}

fn first_addresses() -> impl Iterator<Item = Vec<IpAddr>> {
    (0..NAMES.len()).map(|n| vec![ip(&format!("10.0.0.{}", 1 + n / 4)), ip(&format!("fd00::{}", 1 + n / 4))])
}
