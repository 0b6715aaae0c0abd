//! Small links in the middle of the way, and nobody who says so: every size of underlay, TCP and UDP, both families.

use std::time::Duration;

use crate::connector::{BY_ADDRESS, BY_ADDRESS_V6, BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::{eventually, run};
use crate::servers::{self, CORP_ECHO_V6, TRANSFER_PORT};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::underlay::GATEWAY_ENDPOINT_V6;
use crate::world::{CORP_DNS, CORP_ECHO, World};

/// What each cell carries each way.
const BYTES: &str = "1048576";

/// How long one cell may take on a busy machine.
const CELL_LIMIT: Duration = Duration::from_secs(180);

/// How long the link's MTU may take to follow: a round of echo requests, on a busy machine.
const MTU_LIMIT: Duration = Duration::from_secs(60);

/// Over IPv4: all of the bar. Over IPv6 no link is smaller than 1280.
const UNDERLAYS: [(Underlay, u16); 8] = [
    (Underlay::V4, 1500),
    (Underlay::V4, 1400),
    (Underlay::V4, 1280),
    (Underlay::V4, 1124),
    (Underlay::V4, 1000),
    (Underlay::V6, 1500),
    (Underlay::V6, 1400),
    (Underlay::V6, 1280),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Underlay {
    V4,
    V6,
}

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "every_underlay_carries_tcp_and_udp_of_both_families_without_any_icmp",
            needs: &["nft"],
            run: every_underlay_carries_tcp_and_udp_of_both_families_without_any_icmp,
        },
        Test {
            name: "an_automatic_mtu_follows_the_path",
            needs: &["nft"],
            run: an_automatic_mtu_follows_the_path,
        },
        Test {
            name: "a_dns_answer_that_no_datagram_carries_there_comes_all_the_same",
            needs: &["nft", "named", "dig"],
            run: a_dns_answer_that_no_datagram_carries_there_comes_all_the_same,
        },
    ]
}

fn every_underlay_carries_tcp_and_udp_of_both_families_without_any_icmp() {
    let failures: Vec<String> =
        UNDERLAYS.into_iter().flat_map(|(underlay, mtu)| cells(underlay, mtu)).collect();
    assert!(failures.is_empty(), "{} cells failed:\n{}", failures.len(), failures.join("\n"));
}

fn an_automatic_mtu_follows_the_path() {
    let world = World::new(ResolvConf::File);
    servers::transfers(&world);
    world.drop_icmp();
    let mut settings = Settings::new(&world, BY_ADDRESS);
    settings.before = "[tunneling]\nmtu = \"auto\"\n".to_owned();
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    wait_for_mtu(&world, 1_400, 1_419); // the gateway's own link carries 1420: in whole steps of 16 bytes less
    world.shrink_underlay(1_400);
    let target = format!("{CORP_ECHO}:{TRANSFER_PORT}");
    run(&mut world.client.agent(&["transfer", &target, BYTES]), CELL_LIMIT).success();
    wait_for_mtu(&world, 1_280, 1_340);
    installation.stop(&mut connector);
}

fn a_dns_answer_that_no_datagram_carries_there_comes_all_the_same() {
    let world = World::new(ResolvConf::File);
    servers::bind::corp(&world);
    world.drop_icmp();
    world.shrink_underlay(1_000);
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.start();
    let name = format!("long.eng.{}", servers::bind::CORP_ZONE);
    let truth =
        dig::ask(&world.gateway, &[&format!("@{CORP_DNS}"), "+ignore", "+bufsize=1232"], &name, "TXT");
    assert!(!truth.is_truncated() && !truth.data("TXT").is_empty(), "a long datagram: {}", truth.text);
    // the first may be asked before the path is measured
    for round in 0..2 {
        let found = dig::ask(&world.client, &["+bufsize=1232"], &name, "TXT");
        assert_eq!(found.data("TXT"), truth.data("TXT"), "round {round}: {}", found.text);
    }
    let cut = dig::ask(&world.client, &["+bufsize=1232", "+ignore", "+norec"], &name, "TXT");
    assert!(cut.is_truncated(), "it went into the tunnel again, and came back cut: {}", cut.text);
    installation.stop(&mut connector);
}

/// Waits until the tunnel's link has an MTU within these.
#[track_caller]
fn wait_for_mtu(world: &World, least: u16, most: u16) {
    eventually(MTU_LIMIT, &format!("an MTU of {least} to {most}"), || {
        let text = world.on_client("cat", &["/sys/class/net/ztna0/mtu"]).success();
        (least..=most).contains(&text.parse().ok()?).then_some(())
    });
}

/// Four cells of an underlay; what went wrong.
fn cells(underlay: Underlay, mtu: u16) -> Vec<String> {
    let world = World::new(ResolvConf::File);
    servers::transfers(&world);
    world.add_ipv6_underlay();
    world.drop_icmp();
    world.shrink_underlay(mtu);
    let mut settings = Settings::new(&world, &[BY_ADDRESS, BY_ADDRESS_V6].concat());
    if underlay == Underlay::V6 {
        settings.endpoint = GATEWAY_ENDPOINT_V6.to_owned();
    }
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    let echo_v6 = format!("[{CORP_ECHO_V6}]");
    let mut failures = Vec::new();
    for host in [CORP_ECHO, &echo_v6] {
        let longest = longest_datagram(underlay, mtu, host == echo_v6).to_string();
        for arguments in [
            &["transfer", &format!("{host}:{TRANSFER_PORT}"), BYTES][..],
            &["transfer-datagrams", &format!("{host}:7"), BYTES, &longest],
        ] {
            let finished = run(&mut world.client.agent(arguments), CELL_LIMIT);
            let line = format!("{underlay:?} {mtu} {}: {}", arguments.join(" "), finished.stdout.trim());
            println!("{line}");
            if finished.code != 0 {
                failures.push(line);
            }
        }
    }
    installation.stop(&mut connector);
    failures
}

/// The longest datagram, in bytes of content, that a stock gateway can send back on such a path.
///
/// 1200 bytes, as most programs hold themselves to (RFC 9000, 14), and over IPv4 always: the server's kernel cuts
/// what it sends once it was told (RFC 1191). Over IPv6 it never cuts what fits 1280 bytes, whatever it is told
/// (RFC 8200, 5), and the gateway's own datagrams are lost where they do not fit: nothing on our side helps.
fn longest_datagram(underlay: Underlay, mtu: u16, is_inner_v6: bool) -> u16 {
    if !is_inner_v6 {
        return 1200;
    }
    let outer_header = if underlay == Underlay::V6 { 40 } else { 20 };
    // UDP, WireGuard's header and tag; it pads to 16 bytes.
    let room = (mtu - outer_header - 8 - 32) / 16 * 16;
    (room - 40 - 8).min(1200)
}
