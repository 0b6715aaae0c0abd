//! The laptop moves between networks, its link flaps, it sleeps: connections live on, and the gap is short.

use std::env;
use std::process::Command;
use std::time::Duration;

use crate::agent::ticks;
use crate::connector::{BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::{Running, eventually, run};
use crate::servers::{self, bind, ssh};
use crate::suite::Test;
use crate::world::access::{self, Access};
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// Moves where `OPENZTNA_E2E_ROAMS` says nothing.
const ROAMS: usize = 3;

/// How long a copy may take on a busy machine, at 20 Mbit/s.
const COPY_LIMIT: Duration = Duration::from_secs(240);

/// How long a connection may be without progress: the bar of two seconds, with room for a busy machine.
const GAP_LIMIT: Duration = Duration::from_secs(15);

/// The host that the connections go to.
const HOST: &str = "host.eng.corp.example.com";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_copy_and_a_connection_outlive_moves_between_networks",
            needs: &["named", "nft", "scp", "ssh", "ssh-keygen", "sshd", "sha256sum"],
            run: a_copy_and_a_connection_outlive_moves_between_networks,
        },
        Test {
            name: "a_connection_outlives_a_sleep_in_which_the_network_changed",
            needs: &["named", "nft"],
            run: a_connection_outlives_a_sleep_in_which_the_network_changed,
        },
        Test {
            name: "a_new_network_brings_its_own_resolver",
            needs: &["dig", "named", "nft"],
            run: a_new_network_brings_its_own_resolver,
        },
        Test {
            name: "a_link_that_flaps_brings_no_storm_of_handshakes",
            needs: &["named", "tcpdump"],
            run: a_link_that_flaps_brings_no_storm_of_handshakes,
        },
    ]
}

fn a_copy_and_a_connection_outlive_moves_between_networks() {
    let roams = env::var("OPENZTNA_E2E_ROAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROAMS);
    let world = World::new(ResolvConf::File);
    let networks = [Access::new(&world, 1), Access::new(&world, 2)];
    ssh::start(&world);
    let (installation, mut connector) = start_behind(&world, &networks[0]);
    let mut ticks = Ticks::start(&world);
    let (mut copy, original, copied) = start_copy(&world, 10 + 8 * roams);
    let mut gaps = Vec::new();
    for n in 0..roams {
        let (from, to) = (&networks[n % 2], &networks[(n + 1) % 2]);
        let start = ticks::now();
        if n % 2 == 0 {
            from.leave(&world);
            from.flush_nat();
            to.enter(&world);
        } else {
            to.enter(&world);
            from.leave(&world);
            from.flush_nat();
        }
        gaps.push(ticks.gap_after(start));
    }
    println!("gaps of {roams} moves in ms: {gaps:?}, median {}", median(&gaps));
    assert!(copy.wait(COPY_LIMIT).success(), "{}", copy.log());
    assert_eq!(sha256(&original), sha256(&copied));
    ticks.assert_alive();
    installation.stop(&mut connector);
}

fn a_connection_outlives_a_sleep_in_which_the_network_changed() {
    let world = World::new(ResolvConf::File);
    let networks = [Access::new(&world, 1), Access::new(&world, 2)];
    let (installation, mut connector) = start_behind(&world, &networks[0]);
    let mut ticks = Ticks::start(&world);
    connector.signal("STOP");
    networks[0].leave(&world);
    networks[1].enter(&world);
    networks[0].flush_nat();
    networks[1].flush_nat();
    let woken = ticks::now();
    connector.signal("CONT");
    println!("gap after the sleep in ms: {}", ticks.gap_after(woken));
    ticks.assert_alive();
    installation.stop(&mut connector);
}

fn a_new_network_brings_its_own_resolver() {
    let world = World::new(ResolvConf::File);
    let networks = [Access::new(&world, 1), Access::new(&world, 2)];
    let (installation, mut connector) = start_behind(&world, &networks[0]);
    let mut ticks = Ticks::start(&world);
    let resolver = networks[1].router_address();
    let zone =
        "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.1\nmenu A 192.0.2.7\n";
    let hotel = [("hotel.example", zone.to_owned())];
    world.start_once("bind-hotel", || {
        bind::start(&world, &networks[1].router, "bind-hotel", &resolver, &hotel)
    });
    let start = ticks::now();
    networks[0].leave(&world);
    networks[1].enter(&world);
    let lease = "printf 'nameserver %s\n' \"$1\" >/etc/resolv.conf"; // as a DHCP client does
    world.on_client("sh", &["-c", lease, "sh", &resolver]).success();
    println!("gap in ms: {}", ticks.gap_after(start));
    eventually(SHORT, "the hotel's own names are answered", || {
        let menu = dig::ask(&world.client, &[], "menu.hotel.example", "A");
        (menu.data("A") == ["192.0.2.7"]).then_some(())
    });
    let protected = dig::ask(&world.client, &[], HOST, "A");
    assert!(protected.status == "NOERROR" && !protected.shows_real_address(), "{}", protected.text);
    installation.stop(&mut connector);
}

fn a_link_that_flaps_brings_no_storm_of_handshakes() {
    let world = World::new(ResolvConf::File);
    let network = Access::new(&world, 1);
    let (installation, mut connector) = start_behind(&world, &network);
    let mut ticks = Ticks::start(&world);
    let capture = crate::world::capture::Capture::start(&world, &network.router, "wan0", "flaps");
    let start = ticks::now();
    for _ in 0..100 {
        network.leave(&world);
        network.enter(&world);
    }
    let flapped = ticks::now();
    let gap = ticks.gap_after(flapped);
    let handshakes = capture.stop().packets("udp dst port 51820 and udp[8] = 1").len();
    let seconds = (ticks::now() - start) / 1_000;
    println!("{handshakes} handshakes in {seconds} s of 100 flaps, then a gap of {gap} ms");
    assert!(handshakes as u128 <= 2 * seconds + 5, "{handshakes} handshakes in {seconds} s");
    ticks.assert_alive();
    installation.stop(&mut connector);
}

/// The connector, connected by way of an access network, the world's first cable unplugged.
fn start_behind<'w>(world: &'w World, network: &Access) -> (Installation<'w>, Running) {
    bind::corp(world);
    servers::tcp_echo(world);
    network.enter(world);
    access::unplug_first_cable(world);
    let installation = Installation::new(world, &Settings::new(world, BY_NAME));
    let connector = installation.start();
    (installation, connector)
}

/// A file of so many MiB on its way to the company's host, at 20 Mbit/s; the paths of the original and the copy.
fn start_copy(world: &World, mib: usize) -> (Running, String, String) {
    let path = |name: &str| world.folder().join(name).display().to_string();
    let (original, copied) = (path("original"), path("copied"));
    let mut random = Command::new("dd");
    random.args(["if=/dev/urandom", &format!("of={original}"), "bs=1M", &format!("count={mib}")]);
    run(&mut random, COPY_LIMIT).success();
    let mut scp = world.client.command("scp");
    scp.args(["-l", "20000"]).args(ssh::client_options(world));
    scp.args([&original, &format!("root@{HOST}:{copied}")]);
    (Running::start(&mut scp, &world.log_path("scp")), original, copied)
}

fn sha256(path: &str) -> String {
    let line = run(Command::new("sha256sum").arg(path), COPY_LIMIT).success();
    line.split(' ').next().unwrap_or_default().to_owned()
}

fn median(gaps: &[u128]) -> u128 {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// A connection through the tunnel with a byte every 20 ms.
struct Ticks(Running);

impl Ticks {
    #[track_caller]
    fn start(world: &World) -> Self {
        let mut command = world.client.agent(&["ticks", &format!("{HOST}:9")]);
        let ticks = Self(Running::start(&mut command, &world.log_path("ticks")));
        eventually(SHORT, "the connection ticks", || (ticks.times().len() > 10).then_some(()));
        ticks
    }

    /// The longest pause that began or lasted after `start`, once it is over; in milliseconds.
    #[track_caller]
    fn gap_after(&mut self, start: u128) -> u128 {
        // a second of ticks without a pause is the end of it
        eventually(GAP_LIMIT, "the connection goes on", || {
            assert!(self.0.ended().is_none(), "the connection ended: {}", self.0.log());
            let times = self.times();
            let recent = times.iter().filter(|time| **time > ticks::now() - 1_000).count();
            (recent > 20 && ticks::now() > start + 2_500).then_some(())
        });
        let times = self.times();
        let pauses = times.windows(2).filter(|pair| pair[1] > start).map(|pair| pair[1] - pair[0].max(start));
        pauses.max().unwrap_or(0)
    }

    #[track_caller]
    fn assert_alive(&mut self) {
        assert!(self.0.ended().is_none(), "the connection ended: {}", self.0.log());
    }

    fn times(&self) -> Vec<u128> {
        self.0.log().lines().filter_map(|line| line.parse().ok()).collect()
    }
}
