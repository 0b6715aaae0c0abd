//! A lossy path between a connector without a TUN and our gateway: both end the connections that they carry.

use std::env;
use std::time::Duration;

use crate::connector::{BY_ADDRESS, CONNECT_LIMIT, Installation, Settings};
use crate::enforcement::{ENDPOINT, Enforcer, LAPTOP, NAMES, POOL};
use crate::process::{Running, eventually, run};
use crate::servers;
use crate::suite::Test;
use crate::world::impairment::Impairment;
use crate::world::namespace::ResolvConf;
use crate::world::relay::Relay;
use crate::world::{CORP_ECHO, World, wireguard};

/// Where the SOCKS proxy is.
const SOCKS: &str = "socks5://127.0.0.1:1080";

/// The company's server for transfers.
const TARGET: &str = "10.77.0.7:7100";

/// The path where the environment says nothing: the bar's 100 MiB at 0.1 % and 20 ms take a minute.
const LOSS: &str = "0.01";
const ROUND_TRIP_MS: &str = "50";
const MIB: &str = "8";
/// Over the stack in user space, whose CUBIC is slowed down by loss.
const STACK_MIB: &str = "2";

/// How long a transfer may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

/// All of the company for the laptop.
const APPLICATIONS: &str = r#"
[[application]]
name = "everything"
hosts = ["10.77.0.0/16"]
ports = ["*"]
"#;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "proxied_transfers_end_well_on_a_lossy_path_in_private_namespaces",
            needs: &[],
            run: || proxied_transfers_end_well_on_a_lossy_path("namespace", MIB),
        },
        Test {
            name: "proxied_transfers_end_well_on_a_lossy_path_over_the_stack_in_user_space",
            needs: &[],
            run: || proxied_transfers_end_well_on_a_lossy_path("smoltcp", STACK_MIB),
        },
    ]
}

/// `OPENZTNA_E2E_PROXIED_LOSS`, `_RTT_MS` and `_MIB` set the path and the length; with `_ROUNDS` each transfer is made
/// so often, by turns with the kernel's TCP from end to end through the same relay: `benches/lossy/proxied.py`.
fn proxied_transfers_end_well_on_a_lossy_path(stack: &'static str, mib: &str) {
    let setting = |name: &str, default: &str| {
        let text = env::var(format!("OPENZTNA_E2E_PROXIED_{name}")).unwrap_or_else(|_| default.to_owned());
        text.parse::<f64>().expect("a number in the environment")
    };
    let round_trip = Duration::from_secs_f64(setting("RTT_MS", ROUND_TRIP_MS) / 1e3);
    let impairment =
        Impairment { delay: round_trip / 2, loss: setting("LOSS", LOSS), ..Impairment::default() };
    let octets = ((setting("MIB", mib) as u64) << 20).to_string();
    let rounds = setting("ROUNDS", "0") as u64;
    for round in 0..rounds.max(1) {
        println!("round {round} {stack}: {}", transfer_by_socks(stack, impairment, round, &octets));
        if rounds > 0 {
            println!("round {round} kernel: {}", transfer_by_the_kernel(impairment, round, &octets));
        }
    }
}

fn transfer_by_socks(stack: &'static str, impairment: Impairment, seed: u64, octets: &str) -> String {
    let world = World::new(ResolvConf::File);
    servers::transfers(&world);
    let enforcer = Enforcer::new(&world, stack);
    enforcer.configure(&["everything"], APPLICATIONS);
    let gateway = enforcer.start();
    let relay = Relay::start_to(&world, ENDPOINT, 51830, seed);
    let settings = Settings {
        public_key: enforcer.keys.public.clone(),
        endpoint: relay.endpoint(),
        dns: NAMES.to_owned(),
        addresses: vec![format!("{LAPTOP}/32")],
        allowed_ips: [POOL[0], "10.77.0.0/16"].map(str::to_owned).to_vec(),
        before: format!("[tunneling]\nstack = \"{stack}\"\n"),
        ..Settings::new(&world, BY_ADDRESS)
    };
    let installation = Installation::new(&world, &settings);
    let config = installation.config_path().display().to_string();
    let mut command = installation.command(&["run", "--no-tun", "--config", &config]);
    let mut connector = Running::start(&mut command, &world.log_path("connector"));
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    relay.set(impairment);
    let arguments = ["transfer-by", SOCKS, TARGET, octets];
    let result = run(&mut world.client.agent(&arguments), LIMIT).success();
    assert!(relay.counts().1 > 0, "the path loses nothing");
    installation.stop(&mut connector);
    enforcer.stop(gateway);
    result
}

/// The laptop's and the company's TCP talk to each other, through wireguard-go at both ends.
fn transfer_by_the_kernel(impairment: Impairment, seed: u64, octets: &str) -> String {
    let world = World::new(ResolvConf::File);
    servers::transfers(&world);
    let relay = Relay::start(&world, seed);
    let _client = wireguard::connect(&world, &world.gateway_keys.public, &relay.endpoint());
    eventually(CONNECT_LIMIT, "the stock client is connected", || {
        (world.on_client("ping", &["-c", "1", "-W", "1", CORP_ECHO]).code == 0).then_some(())
    });
    relay.set(impairment);
    run(&mut world.client.agent(&["transfer", TARGET, octets]), LIMIT).success()
}
