//! Two gateways with the same network behind them, which is also that of the laptop's neighbours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::connector::{CONNECT_LIMIT, Installation, Settings, application};
use crate::dig;
use crate::process::{Running, run};
use crate::servers::{START_LIMIT, bind};
use crate::suite::Test;
use crate::world::namespace::{Namespace, ResolvConf};
use crate::world::site::Site;
use crate::world::wireguard::KeyPair;
use crate::world::{self, CORP_DNS, SHORT, World};

/// The bar's number of requests.
const REQUESTS: &str = "10000";

/// How long they may take on a busy machine.
const REQUESTS_LIMIT: Duration = Duration::from_secs(300);

/// The first host of each network, and how many there are.
const FIRST_HOST: &str = "10.0.0.10";
const HOSTS: u8 = 6;

/// The laptop's address in the tunnel to the branch.
const BRANCH_TUNNEL_ADDRESS: &str = "10.77.0.9";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "three_networks_with_the_same_addresses_are_reached_at_once_and_never_crossed",
            needs: &["dig", "named"],
            run: three_networks_with_the_same_addresses_are_reached_at_once_and_never_crossed,
        },
        Test {
            name: "a_range_that_two_gateways_claim_is_refused_for_the_second",
            needs: &["ping"],
            run: a_range_that_two_gateways_claim_is_refused_for_the_second,
        },
    ]
}

fn three_networks_with_the_same_addresses_are_reached_at_once_and_never_crossed() {
    let world = World::new(ResolvConf::File);
    let (branch, branch_keys) = add_branch(&world);
    let _neighbours = add_neighbours(&world);
    furnish(&world, "hq", &world.gateway, &world.corp);
    furnish(&world, "branch", &branch.gateway, &branch.corp);
    let settings = settings(
        &world,
        &branch,
        r#"
[[application]]
name = "hq hosts"
host = "*.hq.example.org"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"

[[application]]
name = "branch hosts"
host = "*.branch.example.org"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "branch"
"#,
    );
    let installation = Installation::new(&world, &settings);
    write_branch_key(&installation, &branch_keys);
    let mut connector = installation.launch();
    wait_for_both(&installation, &mut connector);

    let mut targets = Vec::new();
    for i in 0..HOSTS {
        let address = format!("10.0.0.{}", 10 + i);
        targets.push(format!("{address}=neighbour {address}"));
        for site in ["hq", "branch"] {
            targets.push(format!("h{i}.{site}.example.org={site} {address}"));
            // Another name of the same host: what leaves from one port for both must be told apart.
            targets.push(format!("also{i}.{site}.example.org={site} {address}"));
        }
    }
    let mut arguments = vec!["identity-ask", REQUESTS];
    arguments.extend(targets.iter().map(String::as_str));
    let answers = run(&mut world.client.agent(&arguments), REQUESTS_LIMIT).success();
    assert_eq!(answers, format!("{REQUESTS} answers"));

    // Each gateway knows the laptop by a key and an address of its own, and its own DNS server answered.
    for (gateway, keys) in [(&world.gateway, &world.client_keys), (&branch.gateway, &branch_keys)] {
        let handshakes =
            run(gateway.command("wg").args(["show", "wg0", "latest-handshakes"]), SHORT).success();
        let (key, at) = handshakes.split_once('\t').expect("one peer");
        assert!(key == keys.public && at != "0", "{handshakes}");
    }
    for (own, other) in [("hq", "branch"), ("branch", "hq")] {
        let queries =
            fs::read_to_string(world.folder().join(format!("bind-{own}/queries"))).unwrap_or_default();
        assert!(queries.contains(&format!("h0.{own}.example.org")), "{own}: {queries}");
        assert!(!queries.contains(&format!("{other}.example.org")), "{own} was asked for {other}: {queries}");
    }
    let answer = dig::ask(&world.client, &[], "h1.hq.example.org", "A");
    assert!(answer.data("A").iter().all(|address| !address.starts_with("10.")), "{}", answer.text);
    installation.stop(&mut connector);
}

fn a_range_that_two_gateways_claim_is_refused_for_the_second() {
    let world = World::new(ResolvConf::File);
    let (branch, branch_keys) = add_branch(&world);
    let claim = |gateway: &str, network: &str| {
        format!(
            "[[application]]\nname = \"{gateway} {network}\"\nhost = \"{network}\"\n\
             ports = [\"tcp/*\", \"udp/*\", \"icmp\"]\ngateway = \"{gateway}\"\n"
        )
    };
    let applications =
        [claim("hq", "10.77.16.0/24"), claim("branch", "10.77.16.0/24"), claim("branch", "10.0.0.0/24")];
    furnish_hosts(&world, "hq", &world.gateway, &world.corp);
    furnish_hosts(&world, "branch", &branch.gateway, &branch.corp);
    let installation = Installation::new(&world, &settings(&world, &branch, &applications.concat()));
    write_branch_key(&installation, &branch_keys);
    let mut connector = installation.launch();
    let status = wait_for_both(&installation, &mut connector);
    assert_eq!(application(&status, "hq 10.77.16.0/24")["state"], "available", "{status:#}");
    assert_eq!(application(&status, "branch 10.0.0.0/24")["state"], "available", "{status:#}");
    let refused = application(&status, "branch 10.77.16.0/24")["state"].as_str().unwrap_or_default();
    assert!(refused.starts_with("refused: overlap") && refused.contains("name"), "{refused}");
    world.on_client("ping", &["-c", "1", "-W", "10", "10.77.16.5"]).success();
    let target = format!("{FIRST_HOST}=branch {FIRST_HOST}");
    run(&mut world.client.agent(&["identity-ask", "10", &target]), SHORT * 2).success();
    installation.stop(&mut connector);
}

/// A second gateway that knows the laptop by another key and another address only.
fn add_branch(world: &World) -> (Site, KeyPair) {
    let site = Site::new(world, 2, KeyPair::generate());
    let keys = KeyPair::generate();
    let wg = |arguments: &[&str]| run(site.gateway.command("wg").args(arguments), SHORT).success();
    wg(&["set", "wg0", "peer", &world.client_keys.public, "remove"]);
    wg(&["set", "wg0", "peer", &keys.public, "allowed-ips", &format!("{BRANCH_TUNNEL_ADDRESS}/32")]);
    site.gateway.ip(&[&format!("route add {BRANCH_TUNNEL_ADDRESS}/32 dev wg0")]);
    (site, keys)
}

/// The laptop's own network: 10.0.0.0/24 with hosts that say `neighbour`.
fn add_neighbours(world: &World) -> Namespace {
    let neighbours = Namespace::new(world.folder(), "neighbours");
    world::link(&world.client, "office0", &neighbours, "office0");
    world.client.ip(&["addr add 10.0.0.2/24 dev office0"]);
    neighbours.ip(&["addr add 10.0.0.1/24 dev office0", "route add local 10.0.0.8/29 dev lo"]);
    serve_hosts(world, "neighbour", &neighbours);
    neighbours
}

/// 10.0.0.0/24 behind a gateway, with hosts that say where they are, and a DNS server that knows their names.
fn furnish(world: &World, label: &str, gateway: &Namespace, corp: &Namespace) {
    furnish_hosts(world, label, gateway, corp);
    let zone = format!("{label}.example.org");
    let hosts: String = (0..HOSTS)
        .map(|i| format!("h{i} A 10.0.0.{address}\nalso{i} A 10.0.0.{address}\n", address = 10 + i))
        .collect();
    let text =
        format!("$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A {CORP_DNS}\n{hosts}");
    let name = format!("bind-{label}");
    world.start_once(&name, || bind::start(world, corp, &name, CORP_DNS, &[(&zone, text)]));
}

fn furnish_hosts(world: &World, label: &str, gateway: &Namespace, corp: &Namespace) {
    gateway.ip(&["route add 10.0.0.0/24 via 10.77.254.2"]);
    corp.ip(&["route add local 10.0.0.0/24 dev lo"]);
    serve_hosts(world, label, corp);
}

fn serve_hosts(world: &World, label: &str, host: &Namespace) {
    world.start_once(&format!("identity-{label}"), || {
        let mut command = host.agent(&["identity", label, FIRST_HOST, &HOSTS.to_string()]);
        let running = Running::start(&mut command, &world.log_path(&format!("identity-{label}")));
        host.wait_tcp(&format!("{FIRST_HOST}:7000"), START_LIMIT);
        running
    });
}

fn settings(world: &World, branch: &Site, applications: &str) -> Settings {
    let mut settings = Settings::new(world, applications);
    settings.allowed_ips.push("10.0.0.0/24".to_owned());
    settings.more = format!(
        "\n[[gateway]]\nname = \"branch\"\npublic_key = \"{}\"\nendpoint = \"{}\"\n\
         address = [\"{BRANCH_TUNNEL_ADDRESS}/32\"]\nallowed_ips = [\"10.77.0.0/16\", \"10.0.0.0/24\"]\n\
         private_key_file = \"branch.key\"\ndns = [\"{CORP_DNS}\"]\n",
        branch.keys.public,
        branch.endpoint()
    );
    settings
}

fn write_branch_key(installation: &Installation<'_>, keys: &KeyPair) {
    let path = installation.folder().join("branch.key");
    fs::write(&path, &keys.private).expect("a key file");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions of a key file");
}

fn wait_for_both(installation: &Installation<'_>, connector: &mut Running) -> serde_json::Value {
    installation.wait_for_status(connector, "both gateways are connected", CONNECT_LIMIT, |status| {
        let gateways = status["gateways"].as_array().map(Vec::as_slice).unwrap_or_default();
        gateways.len() == 2 && gateways.iter().all(|gateway| gateway["state"] == "connected")
    })
}
