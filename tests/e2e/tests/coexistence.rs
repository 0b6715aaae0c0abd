//! Beside other programs that have networks of their own: both sides keep working, whoever came first.

use std::time::{Duration, Instant};

use crate::connector::{BY_ADDRESS, BY_NAME, Installation, Settings, application};
use crate::process::{Running, eventually, run};
use crate::servers::{self, bind};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::neighbour::Neighbour;
use crate::world::{CORP_ECHO, PUBLIC_WEB, SHORT, World};

/// How long it may take until both sides work on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// What a well-known VPN does: what claims to come from its range by another link than its own is dropped.
const DROPS_OTHERS: [&str; 3] = [
    "add table ip tailscale",
    "add chain ip tailscale ts-input { type filter hook input priority 0; }",
    "add rule ip tailscale ts-input ip saddr 100.64.0.0/10 iifname != \"tailscale0\" drop",
];

/// Links of other programs, their addresses and ranges. The world itself uses 198.18.0.0/16 below the tunnel.
const RANGES: [(&str, &str, &str); 5] = [
    ("shared0", "100.99.0.1/10", "100.99.0.2/10"),
    ("bench0", "198.19.99.1/16", "198.19.99.2/16"),
    ("sixteen0", "172.29.0.1/12", "172.29.0.2/12"),
    ("ten0", "10.200.0.1/8", "10.200.0.2/8"),
    ("home0", "192.168.77.1/16", "192.168.77.2/16"),
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "ranges_that_others_use_at_the_start_are_left_to_them",
            needs: &["named", "nft", "ping"],
            run: ranges_that_others_use_at_the_start_are_left_to_them,
        },
        Test {
            name: "ranges_that_others_begin_to_use_are_given_up",
            needs: &["named", "nft", "ping"],
            run: ranges_that_others_begin_to_use_are_given_up,
        },
        Test {
            name: "a_network_that_appears_is_not_hidden_by_an_application",
            needs: &["ping"],
            run: a_network_that_appears_is_not_hidden_by_an_application,
        },
        Test {
            name: "what_another_program_removes_is_put_back",
            needs: &["named"],
            run: what_another_program_removes_is_put_back,
        },
    ]
}

fn ranges_that_others_use_at_the_start_are_left_to_them() {
    let world = World::new(ResolvConf::File);
    let installation = install(&world);
    let mut neighbours: Vec<Neighbour> =
        RANGES.iter().map(|(name, near, far)| Neighbour::new(&world, name, near, far)).collect();
    neighbours.push(docker(&world));
    neighbours.push(libvirt(&world));
    for neighbour in &neighbours {
        neighbour.claim(&world);
        check_from_the_start(&world, &installation, &[neighbour]);
        neighbour.release(&world);
    }
    let vpn = vpn(&world);
    vpn.claim(&world);
    drop_others(&world);
    check_from_the_start(&world, &installation, &[&vpn]);
    vpn.release(&world);
    check_from_the_start(&world, &installation, &[]); // the firewall's chain alone
    stop_dropping(&world);
    neighbours[..4].iter().for_each(|neighbour| neighbour.claim(&world));
    check_from_the_start(&world, &installation, &neighbours[..4].iter().collect::<Vec<_>>());
}

fn ranges_that_others_begin_to_use_are_given_up() {
    let world = World::new(ResolvConf::File);
    let installation = install(&world);
    let mut connector = installation.start();
    assert_works(&world, &[]);
    // Each takes the range that the virtual addresses have moved to, and all but the first keep theirs.
    let [shared, bench, sixteen, ten, home] =
        RANGES.map(|(name, near, far)| Neighbour::new(&world, name, near, far));
    let mut present = Vec::new();
    for neighbour in [&shared, &bench, &sixteen, &ten] {
        present.push(neighbour);
        check_move(&world, &present, || neighbour.claim(&world));
    }
    assert!(resolver(&world).starts_with("192.168."), "{}", resolver(&world));
    shared.release(&world);
    check_move(&world, &[&bench, &sixteen, &ten, &home], || home.claim(&world));
    for neighbour in [&bench, &sixteen, &ten, &home] {
        neighbour.release(&world);
    }
    for neighbour in [docker(&world), libvirt(&world)] {
        neighbour.claim(&world);
        check_change(&world, &[&neighbour]);
        let public = ["-c", "1", "-W", "5", PUBLIC_WEB];
        run(neighbour.host.command("ping").args(public), SHORT).success();
        neighbour.release(&world);
    }
    assert!(resolver(&world).starts_with("100."), "{}", resolver(&world));
    let vpn = vpn(&world);
    check_move(&world, &[&vpn], || {
        vpn.claim(&world);
        drop_others(&world);
    });
    vpn.release(&world);
    stop_dropping(&world);
    check_move(&world, &[&bench], || bench.claim(&world));
    assert!(resolver(&world).starts_with("100."), "{}", resolver(&world));
    bench.release(&world);
    check_move(&world, &[], || drop_others(&world)); // the firewall's chain alone
    installation.stop(&mut connector);
}

fn a_network_that_appears_is_not_hidden_by_an_application() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    let asks =
        || run(&mut world.client.agent(&["udp-ask", &format!("{CORP_ECHO}:7"), "10"]), SHORT).code == 0;
    eventually(LIMIT, "the company's host answers", || asks().then_some(()));
    let hotel = Neighbour::new(&world, "hotel0", "10.77.99.1/24", "10.77.99.2/24");
    hotel.claim(&world);
    eventually(LIMIT, "the host of the hotel answers", || hotel.answers(&world).then_some(()));
    let state = |wanted: &'static str| {
        move |status: &serde_json::Value| {
            application(status, "network")["state"].as_str().is_some_and(|state| state.starts_with(wanted))
        }
    };
    installation.wait_for_status(&mut connector, "the overlap is told", LIMIT, state("refused: overlap"));
    hotel.release(&world);
    installation.wait_for_status(&mut connector, "the overlap is over", LIMIT, state("available"));
    eventually(LIMIT, "the company's host answers again", || asks().then_some(()));
    installation.stop(&mut connector);
}

fn what_another_program_removes_is_put_back() {
    let world = World::new(ResolvConf::File);
    let installation = install(&world);
    let mut connector = installation.start();
    assert_works(&world, &[]);
    world.client.ip(&["link add noise0 type veth peer name noise1"]);
    eventually(LIMIT, "the change is noticed", || {
        connector.log().contains("the network has changed").then_some(())
    });
    assert_works(&world, &[]);
    assert!(!connector.log().contains("put back"), "nothing was missing: {}", connector.log());
    for words in
        ["rule flush pref 5150", "route flush table 31348", "addr flush dev ztna0", "link set ztna0 down"]
    {
        world.client.ip(&[words.replace("rule flush", "rule del").as_str()]);
        check_change(&world, &[]);
    }
    let times = connector.log().matches("they are put back").count();
    assert!((4..=6).contains(&times), "put back {times} times: {}", connector.log());
    installation.stop(&mut connector);
}

fn install(world: &World) -> Installation<'_> {
    bind::corp(world);
    servers::udp_echo(world);
    Installation::new(world, &Settings::new(world, BY_NAME))
}

fn docker(world: &World) -> Neighbour {
    let docker = Neighbour::behind_bridge(world, "docker0", "172.17.0.1/16", "172.17.0.2/16");
    nft(world, "add table ip docker");
    nft(world, "add chain ip docker nat { type nat hook postrouting priority srcnat; }");
    nft(world, "add rule ip docker nat ip saddr 172.17.0.0/16 oifname != docker0 masquerade");
    docker
}

fn libvirt(world: &World) -> Neighbour {
    let libvirt = Neighbour::behind_bridge(world, "virbr0", "192.168.122.1/24", "192.168.122.2/24");
    nft(world, "add table ip libvirt");
    nft(world, "add chain ip libvirt nat { type nat hook postrouting priority srcnat; }");
    nft(world, "add rule ip libvirt nat ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade");
    libvirt
}

fn vpn(world: &World) -> Neighbour {
    Neighbour::new(world, "tailscale0", "100.101.102.103/10", "100.100.100.100/10")
}

fn drop_others(world: &World) {
    DROPS_OTHERS.iter().for_each(|words| nft(world, words));
}

fn stop_dropping(world: &World) {
    nft(world, "delete table ip tailscale");
}

#[track_caller]
fn nft(world: &World, words: &str) {
    world.on_client("nft", &[words]).success();
}

/// A run of the connector beside others that were there before.
#[track_caller]
fn check_from_the_start(world: &World, installation: &Installation<'_>, others: &[&Neighbour]) {
    let mut connector: Running = installation.start();
    check_change(world, others);
    installation.stop(&mut connector);
}

/// After a change that takes their range from the virtual addresses, these move, and both sides work.
#[track_caller]
fn check_move(world: &World, others: &[&Neighbour], change: impl FnOnce()) {
    let (before, start) = (resolver(world), Instant::now());
    change();
    eventually(LIMIT, "the virtual addresses move", || (resolver(world) != before).then_some(()));
    println!("moved after {:?}", start.elapsed());
    check_change(world, others);
}

/// After a change both sides work, and stay so.
#[track_caller]
fn check_change(world: &World, others: &[&Neighbour]) {
    let start = Instant::now();
    eventually(LIMIT, "both sides work", || works(world, others).then_some(()));
    println!(
        "{} others: works after {:?}; the resolver is {}",
        others.len(),
        start.elapsed(),
        resolver(world)
    );
    assert_works(world, others);
}

#[track_caller]
fn assert_works(world: &World, others: &[&Neighbour]) {
    eventually(SHORT, "a protected name is answered", || asks_by_name(world).then_some(()));
    assert!(others.iter().all(|other| other.answers(world)), "the others' hosts answer");
}

fn works(world: &World, others: &[&Neighbour]) -> bool {
    others.iter().all(|other| other.answers(world)) && asks_by_name(world)
}

/// Looks a protected name up and exchanges a datagram with its host.
fn asks_by_name(world: &World) -> bool {
    run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", "10"]), SHORT).code == 0
}

/// Our resolver's address, as the system knows it.
fn resolver(world: &World) -> String {
    let text = world.client.resolv_conf();
    let line = text.lines().find(|line| line.starts_with("nameserver")).unwrap_or_default();
    line.trim_start_matches("nameserver ").to_owned()
}
