//! IPv6 below, inside, beside and instead of IPv4.

use crate::connector::{BY_ADDRESS, BY_ADDRESS_V6, BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::{eventually, run};
use crate::servers::{self, CORP_ECHO_V6, TRANSFER_PORT, bind, web};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::underlay::GATEWAY_ENDPOINT_V6;
use crate::world::{CLIENT_TUNNEL_ADDRESS, CORP_DNS, CORP_ECHO, SHORT, World};

/// The company's DNS server over IPv6.
const CORP_DNS_V6: &str = "fd77:0:0:10::53";

/// Names of a test's own zone, by the families that they have.
const ZONE: &str = "six.example.org";

/// A resolver that waits for a family that does not come does so for seconds: its usual timeout is five, the world's two.
const NO_STALL_S: f64 = 1.5;

const APPLICATION: &str = r#"
[[application]]
name = "six"
host = "*.six.example.org"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"
"#;

pub(crate) fn tests() -> Vec<Test> {
    const NEEDS: &[&str] = &["curl", "dig", "named", "nginx", "openssl", "ping"];
    vec![
        Test {
            name: "an_ipv6_underlay_carries_both_families",
            needs: &["curl", "named", "nginx", "openssl", "ping", "tcpdump"],
            run: an_ipv6_underlay_carries_both_families,
        },
        Test {
            name: "applications_of_one_family_do_not_wait_for_the_other",
            needs: NEEDS,
            run: applications_of_one_family_do_not_wait_for_the_other,
        },
        Test {
            name: "a_family_that_the_tunnel_lacks_is_answered_with_no_data",
            needs: NEEDS,
            run: a_family_that_the_tunnel_lacks_is_answered_with_no_data,
        },
    ]
}

fn an_ipv6_underlay_carries_both_families() {
    let world = World::new(ResolvConf::File);
    world.add_ipv6_underlay();
    bind::corp(&world);
    web::corp(&world);
    servers::transfers(&world);
    let mut settings = Settings::new(&world, &[BY_NAME, BY_ADDRESS, BY_ADDRESS_V6].concat());
    settings.endpoint = GATEWAY_ENDPOINT_V6.to_owned();
    let installation = Installation::new(&world, &settings);
    let capture = Capture::start(&world, &world.client, "eth0", "uplink");
    let mut connector = installation.start();
    for family in ["-4", "-6"] {
        let name = format!("h000.eng.{}", bind::CORP_ZONE);
        world.on_client("ping", &[family, "-c", "2", "-i", "0.2", "-W", "5", &name]).success();
        let page =
            world.on_client("curl", &[family, "-sS", "-m", "10", &format!("http://{name}/")]).success();
        assert!(page.contains(web::SECRET_PHRASE), "{page}");
    }
    for host in [CORP_ECHO.to_owned(), format!("[{CORP_ECHO_V6}]")] {
        let target = format!("{host}:{TRANSFER_PORT}");
        run(&mut world.client.agent(&["transfer", &target, "1048576"]), SHORT * 3).success();
        let target = format!("{host}:7");
        run(&mut world.client.agent(&["transfer-datagrams", &target, "1048576", "1200"]), SHORT * 3)
            .success();
    }
    installation.stop(&mut connector);
    let seen = capture.stop();
    assert!(!seen.packets("ip6 and udp port 51820").is_empty(), "the tunnel is on IPv6");
    assert!(seen.packets("ip and udp port 51820").is_empty(), "nothing of the tunnel is on IPv4");
}

fn applications_of_one_family_do_not_wait_for_the_other() {
    let world = World::new(ResolvConf::File);
    start_zone(&world, CORP_DNS);
    web::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, APPLICATION));
    let mut connector = installation.start();
    // Each name is asked for once only, so that nothing is in a cache; the machine may be busy, so the best counts.
    for kind in ["four", "six", "both"] {
        let best =
            (0..3).map(|i| seconds_to_fetch(&world, &format!("{kind}{i}.{ZONE}"))).fold(f64::MAX, f64::min);
        assert!(best < NO_STALL_S, "{kind}: {best} s at best");
    }
    for (name, kind, records) in
        [("four9", "A", 1), ("four9", "AAAA", 0), ("six9", "A", 0), ("six9", "AAAA", 1)]
    {
        let answer = dig::ask(&world.client, &[], &format!("{name}.{ZONE}"), kind);
        assert!(
            answer.status == "NOERROR" && answer.data(kind).len() == records,
            "{name} {kind}: {}",
            answer.text
        );
    }
    world.on_client("ping", &["-c", "1", "-W", "5", &format!("six9.{ZONE}")]).success();
    world.on_client("ping", &["-c", "1", "-W", "5", &format!("four9.{ZONE}")]).success();
    installation.stop(&mut connector);
}

fn seconds_to_fetch(world: &World, name: &str) -> f64 {
    let arguments = ["-sS", "-m", "15", "-o", "/dev/null", "-w", "%{time_total}", &format!("http://{name}/")];
    world.on_client("curl", &arguments).success().parse().expect("seconds")
}

fn a_family_that_the_tunnel_lacks_is_answered_with_no_data() {
    for (family, lacks, server, addresses, allowed_ips) in [
        ("A", "AAAA", CORP_DNS, format!("{CLIENT_TUNNEL_ADDRESS}/32"), "10.77.0.0/16"),
        ("AAAA", "A", CORP_DNS_V6, "fd77::3/128".to_owned(), "fd77::/48"),
    ] {
        let world = World::new(ResolvConf::File);
        start_zone(&world, server);
        web::corp(&world);
        let mut settings = Settings::new(&world, APPLICATION);
        settings.dns = server.to_owned();
        settings.addresses = vec![addresses];
        settings.allowed_ips = vec![allowed_ips.to_owned()];
        let installation = Installation::new(&world, &settings);
        let mut connector = installation.start();
        let name = format!("both9.{ZONE}");
        let answer = eventually(SHORT, "the company's server answers", || {
            Some(dig::ask(&world.client, &[], &name, family)).filter(|answer| answer.status == "NOERROR")
        });
        assert_eq!(answer.data(family).len(), 1, "{}", answer.text);
        let answer = dig::ask(&world.client, &[], &name, lacks);
        assert!(answer.status == "NOERROR" && answer.answer.is_empty(), "{}", answer.text);
        let best =
            (0..3).map(|i| seconds_to_fetch(&world, &format!("both{i}.{ZONE}"))).fold(f64::MAX, f64::min);
        assert!(best < NO_STALL_S, "{family} only: {best} s at best");
        world.on_client("ping", &["-c", "1", "-W", "5", &name]).success();
        installation.stop(&mut connector);
    }
}

/// The company's server for names `four0` to `four9` with an IPv4 address only, `six…` with IPv6 only, `both…`.
fn start_zone(world: &World, address: &str) {
    world.corp.ip(&[&format!("addr replace {CORP_DNS_V6}/128 dev lo nodad")]);
    let names: String = (0..10)
        .map(|i| {
            let (v4, v6) = (format!("A 10.77.16.{}", i + 1), format!("AAAA fd77:0:0:10::{:x}", i + 1));
            format!("four{i} {v4}\nsix{i} {v6}\nboth{i} {v4}\nboth{i} {v6}\n")
        })
        .collect();
    let text =
        format!("$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A {CORP_DNS}\n{names}");
    world.start_once("bind-six", || bind::start(world, &world.corp, "bind-six", address, &[(ZONE, text)]));
}
