//! Bad networks: loss, delay, disorder, repetition, damage, and no network at all for a while.

use std::env;
use std::time::{Duration, Instant};

use crate::connector::{BY_ADDRESS, CONNECT_LIMIT, Installation, Settings};
use crate::process::{Running, eventually, run};
use crate::servers::{self, TRANSFER_PORT};
use crate::suite::Test;
use crate::world::bad_route::BadRoute;
use crate::world::impairment::Impairment;
use crate::world::namespace::ResolvConf;
use crate::world::relay::Relay;
use crate::world::{CORP_ECHO, SHORT, World, wireguard};

/// The company's server for transfers.
const INNER_TARGET: &str = "10.77.0.7:7100";

/// 20 ms there and back.
const DELAY: Duration = Duration::from_millis(10);

/// The losses of the bar.
const LOSSES: [f64; 2] = [0.001, 0.01];

/// MiB each way where `OPENZTNA_E2E_LOSSY_MIB` says nothing: the bar's 100 take minutes at 1 % loss.
const MIB: u64 = 8;

/// How long a transfer may take on a busy machine: at 1 % loss and 20 ms TCP does about 1 MiB a second.
const LIMIT: Duration = Duration::from_secs(900);

/// How long UDP is blocked.
const OUTAGE: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "transfers_end_well_on_lossy_paths",
            needs: &[],
            run: transfers_end_well_on_lossy_paths,
        },
        Test {
            name: "disorder_repetition_and_damage_change_nothing",
            needs: &["ping"],
            run: disorder_repetition_and_damage_change_nothing,
        },
        Test {
            name: "an_outage_is_survived_by_the_tunnel_and_by_open_connections",
            needs: &["ping"],
            run: an_outage_is_survived_by_the_tunnel_and_by_open_connections,
        },
    ]
}

/// With `OPENZTNA_E2E_LOSSY_ROUNDS=n` each transfer is made n times, by turns with wireguard-go as the client on the
/// same relay and without any tunnel on a router that does the same, and the times are printed: `benches/lossy`.
fn transfers_end_well_on_lossy_paths() {
    let rounds = number("OPENZTNA_E2E_LOSSY_ROUNDS").unwrap_or(0);
    for loss in LOSSES {
        let impairment = Impairment { delay: DELAY, loss, ..Impairment::default() };
        let say = |round: u64, client: &str, times: String| {
            println!("loss {loss} round {round} {client}: {times}");
        };
        for round in 0..rounds.max(1) {
            say(round, "connector", transfer_with_connector(impairment, round));
            if rounds > 0 {
                say(round, "wireguard-go", transfer_with_stock_client(impairment, round));
                say(round, "no tunnel", transfer_in_clear(impairment, round));
            }
        }
    }
}

fn transfer_with_connector(impairment: Impairment, seed: u64) -> String {
    let world = World::new(ResolvConf::File);
    let relay = Relay::start(&world, seed);
    let (installation, mut connector) = start(&world, &relay);
    relay.set(impairment);
    let result = transfer(&world, INNER_TARGET);
    installation.stop(&mut connector);
    result
}

fn transfer_with_stock_client(impairment: Impairment, seed: u64) -> String {
    let world = World::new(ResolvConf::File);
    let relay = Relay::start(&world, seed);
    servers::transfers(&world);
    let _client = wireguard::connect(&world, &world.gateway_keys.public, &relay.endpoint());
    eventually(CONNECT_LIMIT, "the stock client is connected", || is_reached(&world).then_some(()));
    relay.set(impairment);
    transfer(&world, INNER_TARGET)
}

fn transfer_in_clear(impairment: Impairment, seed: u64) -> String {
    let world = World::new(ResolvConf::File);
    let target = format!("198.18.2.2:{TRANSFER_PORT}");
    world.start_once("transfer-clear", || {
        let mut command = world.gateway.agent(&["transfer-serve", &target]);
        Running::start(&mut command, &world.log_path("transfer-clear"))
    });
    world.client.wait_tcp(&target, SHORT);
    let _route = BadRoute::start(&world, impairment, seed);
    transfer(&world, &target)
}

fn disorder_repetition_and_damage_change_nothing() {
    let harmless = Impairment { delay: Duration::from_millis(2), ..Impairment::default() };
    let world = World::new(ResolvConf::File);
    let relay = Relay::start(&world, 7);
    let (installation, mut connector) = start(&world, &relay);
    for impairment in [
        Impairment { reorder: 0.01, ..harmless },
        Impairment { duplicate: 0.01, ..harmless },
        Impairment { corrupt: 0.01, ..harmless },
    ] {
        relay.set(impairment);
        println!("{impairment:?}: {}", transfer_mib(&world, INNER_TARGET, 2));
        let datagrams = ["transfer-datagrams", &format!("{CORP_ECHO}:7"), "1048576", "1200"];
        println!("{impairment:?}: {}", run(&mut world.client.agent(&datagrams), LIMIT).success());
    }
    installation.stop(&mut connector);
}

fn an_outage_is_survived_by_the_tunnel_and_by_open_connections() {
    let world = World::new(ResolvConf::File);
    let relay = Relay::start(&world, 11);
    let (installation, mut connector) = start(&world, &relay);
    // Slow enough that the outage comes in the middle.
    relay.set(Impairment { delay: Duration::from_millis(40), loss: 0.02, ..Impairment::default() });
    let log = world.log_path("transfer");
    let mut client = Running::start(&mut world.client.agent(&["transfer", INNER_TARGET, "4194304"]), &log);
    let before = relay.counts().0;
    eventually(SHORT * 3, "the transfer is under way", || (relay.counts().0 > before + 500).then_some(()));
    relay.set(Impairment::BLOCKED);
    let blocked = Instant::now();
    installation.wait_for_status(&mut connector, "the gateway is lost", OUTAGE * 3, |status| {
        status["gateways"][0]["state"] != "connected"
    });
    assert!(client.ended().is_none(), "the transfer waits: {}", client.log());
    std::thread::sleep(OUTAGE.saturating_sub(blocked.elapsed()));
    relay.set(Impairment::default());
    let back = Instant::now();
    eventually(CONNECT_LIMIT, "the tunnel is back", || is_reached(&world).then_some(()));
    println!("reached again after {:?}", back.elapsed());
    assert!(client.wait(LIMIT).success(), "the connection from before the outage: {}", client.log());
    installation.wait_for_state(&mut connector, "connected", SHORT);
    installation.stop(&mut connector);
}

fn start<'w>(world: &'w World, relay: &Relay) -> (Installation<'w>, Running) {
    servers::transfers(world);
    let mut settings = Settings::new(world, BY_ADDRESS);
    settings.endpoint = relay.endpoint();
    let installation = Installation::new(world, &settings);
    let connector = installation.start();
    (installation, connector)
}

fn is_reached(world: &World) -> bool {
    world.on_client("ping", &["-c", "1", "-W", "1", CORP_ECHO]).code == 0
}

fn transfer(world: &World, target: &str) -> String {
    transfer_mib(world, target, number("OPENZTNA_E2E_LOSSY_MIB").unwrap_or(MIB))
}

/// MiB each way; prints the milliseconds.
#[track_caller]
fn transfer_mib(world: &World, target: &str, mib: u64) -> String {
    run(&mut world.client.agent(&["transfer", target, &(mib << 20).to_string()]), LIMIT).success()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().and_then(|text| text.parse().ok())
}
