//! Many devices of one gateway: each has a socket and a session of its own, kept alive, and sends nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netstack::datapath::{Config, Datapath};
use netstack::policy::{Gateway, Policy, Prefix};
use netstack::wireguard::{PeerConfig, public_key};
use openztna::config::keys::{format_key, parse_key};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Between two looks at the deadlines of all.
const TICK: Duration = Duration::from_millis(100);

/// Seconds between two signs of life of an idle device: the connector's default.
const KEEPALIVE: u16 = 25;

/// The longest datagram.
const LONGEST: usize = 2_048;

/// The private key of a device; the test knows no other secret.
fn private_key(index: usize) -> [u8; 32] {
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&(index as u64).to_be_bytes());
    key
}

/// The public key of a device, as a configuration has it.
pub(crate) fn public_key_of(index: usize) -> String {
    format_key(&public_key(private_key(index)))
}

/// The address of a device inside the tunnel.
pub(crate) fn address_of(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 100, 0, 1).to_bits() + index as u32)
}

struct Device {
    datapath: Datapath,
    socket: UdpSocket,
}

/// Connects `count` devices to the gateway, prints `connected` once all have sessions, and keeps them; never ends by
/// itself.
pub(super) fn run(count: usize, gateway_key: &str, endpoint: &str) -> Result<String, String> {
    let gateway_key = parse_key(gateway_key).map_err(|error| error.to_string())?;
    let endpoint: SocketAddr = endpoint.parse().map_err(|_| "no endpoint")?;
    let devices = (0..count).map(|index| Device::new(index, gateway_key, endpoint));
    let mut devices = devices.collect::<std::io::Result<Vec<_>>>().map_err(|error| error.to_string())?;
    let mut is_told = false;
    loop {
        let now = Instant::now();
        for device in &mut devices {
            device.work(now);
        }
        if !is_told && devices.iter().all(|device| device.is_connected(now)) {
            println!("connected");
            is_told = true;
        }
        wait(&devices);
    }
}

/// Sleeps until a datagram comes, or the next tick.
fn wait(devices: &[Device]) {
    let mut sockets: Vec<PollFd<'_>> =
        devices.iter().map(|device| PollFd::new(&device.socket, PollFlags::IN)).collect();
    let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
    // A signal only ends the wait early.
    let _ = poll(&mut sockets, Some(&tick));
}

impl Device {
    fn new(index: usize, gateway_key: [u8; 32], endpoint: SocketAddr) -> std::io::Result<Self> {
        let now = Instant::now();
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_nonblocking(true)?;
        let mut datapath = Datapath::new(
            Config {
                seed: private_key(index),
                resolver: (Ipv4Addr::new(100, 64, 0, 53), None),
                pool: vec![prefix(Ipv4Addr::new(100, 64, 0, 0), 16)],
                mtu: 1_420,
                can_join: netstack::CanJoin::default(),
                most_segments: 1,
            },
            now,
        );
        let gateway = Gateway {
            ipv4: Some(address_of(index)),
            ipv6: None,
            allowed_ips: vec![prefix(Ipv4Addr::new(100, 127, 0, 0), 16)],
            probe_targets: Vec::new(),
        };
        datapath.set_policy(Policy { gateways: vec![gateway], ..Policy::default() }, now);
        let peer = PeerConfig {
            private_key: private_key(index),
            public_key: gateway_key,
            preshared_key: None,
            endpoints: vec![endpoint],
            can_move: false,
            keepalive: KEEPALIVE,
        };
        datapath.set_peer(0, peer, now);
        Ok(Self { datapath, socket })
    }

    fn is_connected(&self, now: Instant) -> bool {
        self.datapath.peer(0).is_some_and(|peer| peer.is_established(now))
    }

    fn work(&mut self, now: Instant) {
        let mut datagram = [0; LONGEST];
        while let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            self.datapath.handle_network_input(from, &datagram[..length], length, now);
        }
        if self.datapath.poll_timeout().is_some_and(|due| due <= now) {
            self.datapath.handle_timeout(now);
        }
        while let Some(transmit) = self.datapath.poll_transmit() {
            // What the system has no room for is lost, as on any network.
            let _ = self.socket.send_to(transmit.contents, transmit.destination);
        }
    }
}

fn prefix(address: Ipv4Addr, length: u8) -> Prefix {
    Prefix { address: IpAddr::from(address), length }
}
