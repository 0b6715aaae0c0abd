//! `openztna-gateway`, as an ordinary user: what a peer reaches is exactly what it was given.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use crate::connector::{self, Installation, Settings};
use crate::dig;
use crate::enforcement::{ENDPOINT, Enforcer, LAPTOP, NAMES, POOL};
use crate::process::{self, Running, eventually, run};
use crate::servers::{self, START_LIMIT, bind, web};
use crate::suite::Test;
use crate::world::capture::{Capture, Seen};
use crate::world::namespace::ResolvConf;
use crate::world::wireguard::KeyPair;
use crate::world::{CORP_HOST, CORP_WEB, SHORT, World};

/// Applications of several people.
const APPLICATIONS: &str = r#"
[[application]]
name = "wiki"
hosts = ["wiki.corp.example.com"]
ports = ["tcp/80", "tcp/7000-7004", "udp/7", "udp/9000"]

[[application]]
name = "engineering"
hosts = ["*.eng.corp.example.com"]
ports = ["tcp/9", "udp/7", "icmp"]

[[application]]
name = "web-by-address"
hosts = ["10.77.0.80"]
ports = ["tcp/443", "udp/5000"]

[[application]]
name = "everything"
hosts = ["*.corp.example.com", "10.77.0.0/16"]
ports = ["*"]
"#;

/// A server of names that its owner points wherever they like.
const EVIL_DNS: &str = "10.77.0.66";

pub(crate) fn tests() -> Vec<Test> {
    let needs: &[&str] = &["curl", "dig", "named", "nginx", "openssl", "ping", "tcpdump"];
    vec![
        Test {
            name: "a_peer_of_our_gateway_reaches_exactly_its_applications_by_a_private_namespace",
            needs,
            run: || reaches_exactly_its_applications("namespace"),
        },
        Test {
            name: "a_peer_of_our_gateway_reaches_exactly_its_applications_by_the_user_space_stack",
            needs,
            run: || reaches_exactly_its_applications("smoltcp"),
        },
        Test {
            name: "a_peer_of_our_gateway_sees_the_names_of_its_applications_only",
            needs,
            run: a_peer_of_our_gateway_sees_the_names_of_its_applications_only,
        },
        Test {
            name: "a_record_that_points_at_our_gateway_reaches_nothing",
            needs,
            run: a_record_that_points_at_our_gateway_reaches_nothing,
        },
        Test {
            name: "the_connector_works_with_our_gateway_and_each_flow_has_its_line",
            needs,
            run: the_connector_works_with_our_gateway_and_each_flow_has_its_line,
        },
        Test {
            name: "a_reload_of_our_gateway_ends_what_lost_its_right_and_nothing_else",
            needs,
            run: a_reload_of_our_gateway_ends_what_lost_its_right_and_nothing_else,
        },
        Test {
            name: "our_gateway_goes_on_when_its_broker_is_killed",
            needs,
            run: our_gateway_goes_on_when_its_broker_is_killed,
        },
        Test {
            name: "kernel_egress_of_our_gateway_forwards_what_is_allowed_and_is_undone",
            needs: &["curl", "dig", "named", "nft", "nginx", "openssl", "ping", "tcpdump"],
            run: kernel_egress_of_our_gateway_forwards_what_is_allowed_and_is_undone,
        },
        Test {
            name: "ten_thousand_peers_that_never_connected_take_little_memory",
            needs: &[],
            run: ten_thousand_peers_that_never_connected_take_little_memory,
        },
    ]
}

fn reaches_exactly_its_applications(stack: &'static str) {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    let enforcer = Enforcer::new(&world, stack);
    enforcer.configure(&["wiki", "web-by-address"], APPLICATIONS);
    let gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let wiki = address_of(&world, "wiki.corp.example.com");
    for target in [&wiki, CORP_WEB, CORP_HOST] {
        let name = format!("scan-{target}");
        let capture = Capture::start(&world, &world.corp, "eth0", &name);
        run(&mut world.client.agent(&["scan", target]), SHORT * 6).success();
        let (tcp, udp): (&[u16], &[u16]) = match target {
            _ if target == wiki => (&[80, 7000, 7001, 7002, 7003, 7004], &[7, 9000]),
            CORP_WEB => (&[443], &[5000]),
            _ => (&[], &[]),
        };
        controls(&world, target, udp);
        let seen = capture.stop();
        assert_eq!(
            ports(&seen, "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"),
            tcp.iter().copied().collect()
        );
        assert_eq!(ports(&seen, "udp and not port 53"), udp.iter().copied().collect(), "{target}");
    }
    enforcer.stop(gateway);
}

/// What is allowed works right after the scan; those without a server are refused by the host itself. A datagram of the
/// scan may have been lost, so that each allowed port gets one more.
fn controls(world: &World, target: &str, udp: &[u16]) {
    for port in udp {
        run(&mut world.client.agent(&["udp-ask", &format!("{target}:{port}"), "4"]), SHORT);
    }
    let open: &[&str] = match target {
        CORP_WEB => &["443"],
        CORP_HOST => &[],
        _ => &["80"],
    };
    for port in open {
        let connect =
            || run(&mut world.client.agent(&["tcp-connect", &format!("{target}:{port}")]), SHORT).code;
        eventually(SHORT, "an allowed port answers", || (connect() == 0).then_some(()));
    }
}

fn a_peer_of_our_gateway_sees_the_names_of_its_applications_only() {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    let enforcer = Enforcer::new(&world, "auto");
    enforcer.configure(&["wiki", "engineering"], APPLICATIONS);
    let gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let at = format!("@{NAMES}");
    let ask = |options: &[&str], name: &str, kind: &str| {
        dig::ask(&world.client, &[&[at.as_str()], options].concat(), name, kind)
    };
    let wiki = ask(&[], "wiki.corp.example.com", "A");
    assert!(wiki.data("A").iter().all(|address| address.starts_with("100.127.")), "{}", wiki.text);
    assert_eq!(ask(&["+tcp"], "wiki.corp.example.com", "A").data("A"), wiki.data("A"));
    assert_eq!(ask(&[], "WIKI.corp.example.com", "A").data("A"), wiki.data("A"));
    assert!(ask(&[], "h008.eng.corp.example.com", "AAAA").data("AAAA")[0].starts_with("fd7a:7a74:6e61:"));
    let reverse = ask(&["-x"], wiki.data("A")[0], "");
    assert_eq!(reverse.data("PTR"), ["wiki.corp.example.com."], "{}", reverse.text);
    for name in ["h2.corp.example.com", "ns1.corp.example.com", "public.example.net", "localhost", "com"] {
        for options in [&[][..], &["+tcp"]] {
            assert_eq!(ask(options, name, "A").status, expected_status(name), "{name}");
        }
    }
    assert_eq!(ask(&[], "nothing.eng.corp.example.com", "A").status, "NXDOMAIN");
    assert_eq!(ask(&[], "h007.eng.corp.example.com", "MX").data("MX").len(), 1);
    assert!(ask(&["+ignore", "+notcp"], "b007.eng.corp.example.com", "TXT").is_truncated());
    assert!(ask(&["+tcp"], "b007.eng.corp.example.com", "TXT").data("TXT")[0].len() > 4096);
    enforcer.stop(gateway);
}

/// What is above a granted name is there, and empty.
fn expected_status(name: &str) -> &'static str {
    if name == "com" { "NOERROR" } else { "NXDOMAIN" }
}

fn a_record_that_points_at_our_gateway_reaches_nothing() {
    let world = World::new(ResolvConf::File);
    world.corp.ip(&[&format!("addr add {EVIL_DNS}/32 dev lo")]);
    web::corp(&world);
    let _services = services_of_the_gateway(&world);
    let mut evil = evil_dns(&world, "evil-1", &|_| CORP_WEB.to_owned());
    let mut enforcer = Enforcer::new(&world, "auto");
    EVIL_DNS.clone_into(&mut enforcer.dns);
    enforcer.configure(
        &["evil"],
        "[[application]]\nname = \"evil\"\nhosts = [\"*.evil.example.com\", \"0.0.0.0/0\"]\nports = [\"*\"]\n",
    );
    let gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let names: Vec<String> = (0..TARGETS.len()).map(|i| format!("t{i}.evil.example.com")).collect();
    let good: Vec<String> = names.iter().map(|name| address_of(&world, name)).collect();
    for address in &good {
        run(&mut world.client.agent(&["tcp-connect", &format!("{address}:80")]), SHORT).success();
    }
    // From now on the names lead to the gateway itself; the addresses that the peer holds still stand for them.
    evil.kill();
    let _evil = evil_dns(&world, "evil-2", &|i| TARGETS[i].to_owned());
    let capture = Capture::start(&world, &world.gateway, "lo", "gateway-lo");
    for (address, target) in good.iter().zip(TARGETS) {
        let answer = dig::ask(&world.client, &[&format!("@{NAMES}")], &names_of(target), "A");
        assert!(answer.answer.is_empty(), "{target}: {}", answer.text);
        let refused = run(&mut world.client.agent(&["tcp-connect", &format!("{address}:80")]), SHORT);
        assert_ne!(refused.code, 0, "{target} was reached: {}", refused.stdout);
        run(&mut world.client.agent(&["udp-ask", &format!("{address}:80"), "20"]), SHORT);
    }
    let seen = capture.stop();
    assert_eq!(seen.packets("port 80"), Vec::<String>::new(), "something reached the gateway's own network");
    enforcer.wait_for_audit(&[("reason", json!("forbidden_address")), ("verdict", json!("refused"))]);
    enforcer.stop(gateway);
}

/// The gateway's own addresses, in several disguises.
const TARGETS: [&str; 5] = ["127.0.0.1", "169.254.169.254", "198.18.2.2", "10.77.254.1", "0.0.0.0"];

fn names_of(target: &str) -> String {
    let index = TARGETS.iter().position(|known| *known == target).expect("one of the targets");
    format!("t{index}.evil.example.com")
}

#[track_caller]
fn evil_dns(world: &World, name: &str, address: &dyn Fn(usize) -> String) -> Running {
    let mut zone =
        "$TTL 1\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 10.77.0.66\n".to_owned();
    for index in 0..TARGETS.len() {
        let _ = writeln!(zone, "t{index} A {}", address(index));
    }
    bind::start(world, &world.corp, name, EVIL_DNS, &[("evil.example.com", zone)])
}

/// Something to reach at each of the gateway's own addresses.
fn services_of_the_gateway(world: &World) -> Vec<Running> {
    world.gateway.ip(&["addr add 169.254.169.254/32 dev lo"]);
    let start = |agent: &str| {
        let command = &mut world.gateway.agent(&[agent, "0.0.0.0:80"]);
        Running::start(command, &world.log_path(&format!("gateway-{agent}")))
    };
    let services = vec![start("tcp-echo"), start("udp-echo")];
    world.gateway.wait_tcp("127.0.0.1:80", START_LIMIT);
    services
}

fn the_connector_works_with_our_gateway_and_each_flow_has_its_line() {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    let enforcer = Enforcer::new(&world, "auto");
    enforcer.configure(&["wiki", "engineering"], APPLICATIONS);
    let gateway = enforcer.start();
    let settings = Settings {
        public_key: enforcer.keys.public.clone(),
        endpoint: ENDPOINT.to_owned(),
        dns: NAMES.to_owned(),
        addresses: vec![format!("{LAPTOP}/32"), "fd99::3/128".to_owned()],
        allowed_ips: POOL.map(str::to_owned).to_vec(),
        ..Settings::new(&world, connector::BY_NAME)
    };
    let ranges = "/proc/sys/net/ipv4/ping_group_range";
    run(world.gateway.command("sh").args(["-c", &format!("echo 0 65535 >{ranges}")]), SHORT).success();
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    let page = connector::eventually_fetch(&world, "http://wiki.corp.example.com/");
    assert!(page.contains(&format!("{} at {CORP_WEB}", web::SECRET_PHRASE)), "{page}");
    run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", "1200"]), SHORT).success();
    ping_is_answered(&world);
    // Allowed by the connector, not by the gateway, which is the one that counts.
    let refused = run(&mut world.client.agent(&["tcp-connect", "wiki.corp.example.com:443"]), SHORT);
    assert!(refused.stdout.starts_with("ConnectionRefused"), "{}", refused.stdout);
    let line = enforcer.wait_for_audit(&[("application", json!("wiki")), ("reason", json!("closed"))]);
    assert_eq!((&line["peer"], &line["name"]), (&json!("laptop"), &json!("wiki.corp.example.com")));
    assert_eq!((&line["port"], &line["dialed"]), (&json!(80), &json!(CORP_WEB)));
    assert!(line["down"].as_u64() > Some(100) && line["up"].as_u64() > Some(50), "{line}");
    enforcer.wait_for_audit(&[
        ("verdict", json!("refused")),
        ("port", json!(443)),
        ("peer", json!("laptop")),
    ]);
    installation.stop(&mut connector);
    enforcer.stop(gateway);
    enforcer.wait_for_audit(&[("application", json!("engineering")), ("protocol", json!("udp"))]);
}

fn a_reload_of_our_gateway_ends_what_lost_its_right_and_nothing_else() {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    servers::tcp_echo(&world);
    let enforcer = Enforcer::new(&world, "auto");
    enforcer.configure(&["wiki", "engineering"], APPLICATIONS);
    let gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let wiki = address_of(&world, "wiki.corp.example.com");
    let host = address_of(&world, "host.eng.corp.example.com");
    let asking = |name: &str, agent: &str, target: String| {
        let running = Running::start(&mut world.client.agent(&[agent, &target]), &world.log_path(name));
        eventually(SHORT, name, || (running.log().lines().count() > 2).then_some(()));
        running
    };
    let mut lost = asking("wiki-connection", "keep-asking", format!("{wiki}:80"));
    let mut kept = asking("echo-connection", "ticks", format!("{host}:9"));
    enforcer.configure(&["engineering"], APPLICATIONS);
    enforcer.reload(&gateway);
    lost.wait(SHORT);
    assert!(lost.log().contains("ConnectionReset"), "{}", lost.log());
    let ticks = kept.log().lines().count();
    eventually(SHORT, "the other connection goes on", || {
        (kept.log().lines().count() > ticks + 5).then_some(())
    });
    assert!(kept.ended().is_none());
    let answer = dig::ask(&world.client, &[&format!("@{NAMES}")], "wiki.corp.example.com", "A");
    assert_eq!(answer.status, "NXDOMAIN");
    enforcer.wait_for_audit(&[("application", json!("wiki")), ("reason", json!("revoked"))]);
    enforcer.stop(gateway);
    enforcer.wait_for_audit(&[("application", json!("engineering")), ("reason", json!("gateway_stopped"))]);
}

fn our_gateway_goes_on_when_its_broker_is_killed() {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    let enforcer = Enforcer::new(&world, "namespace");
    enforcer.configure(&["wiki", "web-by-address"], APPLICATIONS);
    let gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let wiki = address_of(&world, "wiki.corp.example.com");
    let asking = &mut world.client.agent(&["keep-asking", &format!("{wiki}:80")]);
    let mut open = Running::start(asking, &world.log_path("open-connection"));
    eventually(SHORT, "a connection is open", || (open.log().lines().count() > 2).then_some(()));
    let brokers = process::children(gateway.id());
    assert_eq!(brokers.len(), 1);
    run(std::process::Command::new("kill").args(["-s", "KILL", &brokers[0].to_string()]), SHORT).success();
    let answers = open.log().lines().count();
    // A port that nobody had asked for: a listener is made for it now.
    run(&mut world.client.agent(&["tcp-connect", &format!("{CORP_WEB}:443")]), SHORT).success();
    assert_ne!(process::children(gateway.id()), brokers, "another broker");
    eventually(SHORT, "the open connection goes on", || {
        (open.log().lines().count() > answers + 5).then_some(())
    });
    assert!(open.ended().is_none());
    enforcer.stop(gateway);
}

/// As an ordinary user, by the kernel's own kind of socket for echoes.
#[track_caller]
fn ping_is_answered(world: &World) {
    for family in ["-4", "-6"] {
        let ping =
            || world.on_client("ping", &[family, "-c", "1", "-W", "2", "h008.eng.corp.example.com"]).code;
        eventually(SHORT, "an echo is answered", || (ping() == 0).then_some(()));
    }
}

fn kernel_egress_of_our_gateway_forwards_what_is_allowed_and_is_undone() {
    let world = World::new(ResolvConf::File);
    servers_of(&world);
    let enforcer = Enforcer::of_kernel(&world);
    enforcer.configure(&["wiki", "engineering"], APPLICATIONS);
    let mut gateway = enforcer.start();
    let _client = enforcer.connect_stock_client();
    let wiki = address_of(&world, "wiki.corp.example.com");
    let echo = address_of(&world, "echo.eng.corp.example.com");
    let page = world.on_client("curl", &["-sS", "-m", "10", &format!("http://{wiki}/")]).success();
    assert!(page.contains(&format!("{} at {CORP_WEB}", web::SECRET_PHRASE)), "{page}");
    run(&mut world.client.agent(&["udp-ask", &format!("{echo}:7"), "1200"]), SHORT).success();
    world.on_client("ping", &["-c", "1", "-W", "5", &echo]).success();
    let refused = run(&mut world.client.agent(&["tcp-connect", &format!("{wiki}:443")]), SHORT);
    assert!(refused.stdout.starts_with("ConnectionRefused"), "{}", refused.stdout);
    let refused = run(&mut world.client.agent(&["tcp-connect", &format!("{CORP_WEB}:80")]), SHORT);
    assert_ne!(refused.code, 0, "an address that no application lists was reached");
    let over_tcp = dig::ask(&world.client, &[&format!("@{NAMES}"), "+tcp"], "wiki.corp.example.com", "A");
    assert_eq!(over_tcp.data("A"), [wiki.as_str()]);
    let line = enforcer.wait_for_audit(&[("application", json!("wiki")), ("verdict", json!("allowed"))]);
    assert_eq!((&line["name"], &line["dialed"]), (&json!("wiki.corp.example.com"), &json!(CORP_WEB)));
    let traces = || {
        let tables = run(world.gateway.command("nft").args(["list", "tables"]), SHORT).success();
        let links = run(world.gateway.command("ip").args(["-o", "link"]), SHORT).success();
        (tables.contains("openztna"), links.contains("ztnagw"))
    };
    assert_eq!(traces(), (true, true));
    gateway.kill();
    eventually(SHORT, "the guardian undoes it", || (traces() == (false, false)).then_some(()));
}

fn ten_thousand_peers_that_never_connected_take_little_memory() {
    const PEERS: usize = 10_000;
    const MOST_KIB: u64 = 30 * 1024;
    let world = World::new(ResolvConf::File);
    let enforcer = Enforcer::new(&world, "auto");
    let mut tables = APPLICATIONS.to_owned();
    let key = KeyPair::generate().public;
    for index in 0..PEERS {
        // A public key is any 32 bytes; the last characters of the text hold the padding.
        let key = format!("{}{index:05}{}", &key[..8], &key[13..]);
        let address = std::net::Ipv4Addr::from_bits(0x0a64_0000 + index as u32);
        let _ = write!(
            tables,
            "[[peer]]\nname = \"p{index}\"\npublic_key = \"{key}\"\nallowed_ips = \"{address}\"\napplications = \"wiki\"\n"
        );
    }
    enforcer.configure(&["wiki"], &tables);
    run(&mut enforcer.command(&["config", "validate"]), SHORT).success();
    let gateway = enforcer.start();
    let resident = Enforcer::resident_kib(&gateway);
    println!("{resident} KiB for {PEERS} peers");
    assert!(resident < MOST_KIB, "{resident} KiB");
    enforcer.stop(gateway);
}

fn servers_of(world: &World) {
    bind::corp(world);
    web::corp(world);
    servers::udp_echo(world);
}

/// The address that the gateway answers a name with.
#[track_caller]
fn address_of(world: &World, name: &str) -> String {
    eventually(SHORT, "the gateway answers names", || {
        let answer = dig::ask(&world.client, &[&format!("@{NAMES}"), "+time=2"], name, "A");
        answer.data("A").first().map(|address| (*address).to_owned())
    })
}

/// The ports that packets were sent to at the company's hosts.
#[track_caller]
fn ports(seen: &Seen, expression: &str) -> BTreeSet<u16> {
    let hosts = format!("({expression}) and (dst host {CORP_WEB} or dst host {CORP_HOST})");
    let port = |line: &String| {
        let destination = line.split(" > ").nth(1)?.split(": ").next()?;
        destination.rsplit('.').next()?.parse().ok()
    };
    let lines = seen.packets(&hosts);
    lines.iter().map(|line| port(line).unwrap_or_else(|| panic!("no port in {line}"))).collect()
}
