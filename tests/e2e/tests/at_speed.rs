//! Bulk transfers are right, with offload and without, however bad the path is: by their hashes, by what the kernels
//! count, and by tcpdump.

use std::env;
use std::net::IpAddr;
use std::time::Duration;

use netstack::packet::{TCP, checksum};
use serde_json::Value;

use crate::connector::{BY_ADDRESS, BY_ADDRESS_V6, Installation, Settings};
use crate::process::{Running, run};
use crate::servers::{self, CORP_ECHO_V6, TRANSFER_PORT};
use crate::suite::Test;
use crate::world::capture::{Capture, Seen};
use crate::world::impairment::Impairment;
use crate::world::namespace::{Namespace, ResolvConf};
use crate::world::relay::Relay;
use crate::world::underlay::GATEWAY_ENDPOINT_V6;
use crate::world::{CORP_ECHO, GATEWAY_ENDPOINT, World};

/// MiB each way of each cell where `OPENZTNA_E2E_SPEED_MIB` says nothing: the 256 of the bar would take two minutes more.
const MIB: u64 = 128;
/// The same on the bad paths: the relay handles each datagram by itself, and what is lost halves the speed.
const BAD_MIB: u64 = 32;
/// How long a cell may take on a busy machine, for each MiB.
const LIMIT_PER_MIB: Duration = Duration::from_secs(4);
/// Of the packets one in sixteen is looked at, by the last octet of its sequence number; all are too many for a file.
const SAMPLE: &str = "( ( ip and tcp[7] & 0xf0 == 0 ) or ( ip6 and ip6[6] == 6 and ip6[47] & 0xf0 == 0 ) )";
/// Packets that tcpdump must have found right at least, so that finding none wrong says something.
const LEAST_SAMPLE: usize = 200;

/// The bad paths.
const LOSS: Impairment = Impairment { loss: 0.001, ..NO_HARM };
const DISORDER: Impairment = Impairment { reorder: 0.01, ..NO_HARM };
const NO_HARM: Impairment =
    Impairment { delay: Duration::ZERO, loss: 0.0, reorder: 0.0, duplicate: 0.0, corrupt: 0.0 };

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "bulk_transfers_with_offload_are_right_on_every_path",
            needs: &["tcpdump"],
            run: bulk_transfers_with_offload_are_right_on_every_path,
        },
        Test {
            name: "bulk_transfers_without_offload_are_right_on_every_path",
            needs: &["tcpdump"],
            run: bulk_transfers_without_offload_are_right_on_every_path,
        },
    ]
}

fn bulk_transfers_with_offload_are_right_on_every_path() {
    transfers(true);
}

fn bulk_transfers_without_offload_are_right_on_every_path() {
    transfers(false);
}

fn transfers(offload: bool) {
    let world = World::new(ResolvConf::File);
    world.add_ipv6_underlay();
    servers::transfers(&world);
    let arrived = Capture::start_of(
        &world,
        &world.corp,
        "eth0",
        "arrived",
        &format!("dst port {TRANSFER_PORT} and {SAMPLE}"),
    );
    for endpoint in [GATEWAY_ENDPOINT, GATEWAY_ENDPOINT_V6] {
        on_path(&world, offload, endpoint, &[("clean", NO_HARM)], |_| {}, mib(MIB));
    }
    let relay = Relay::start(&world, 13);
    let paths = [("0.1 % loss", LOSS), ("disorder", DISORDER)];
    on_path(&world, offload, &relay.endpoint(), &paths, |path| relay.set(path), mib(BAD_MIB));
    // The gateway's TUN is a plain one: what the connector's packets say is what travels here.
    let (right, wrong) = arrived.stop().tcp_checksums();
    assert!(right >= LEAST_SAMPLE && wrong.is_empty(), "{right} right, {} wrong: {wrong:#?}", wrong.len());
    for host in [&world.client, &world.corp] {
        assert_eq!(bad_checksums(host), 0, "segments with a wrong checksum reached a kernel");
    }
}

/// A connector toward `endpoint` with all transfers of each of `paths`, both families at once.
fn on_path(
    world: &World,
    offload: bool,
    endpoint: &str,
    paths: &[(&str, Impairment)],
    set: impl Fn(Impairment),
    mib: u64,
) {
    let mut settings = Settings::new(world, &[BY_ADDRESS, BY_ADDRESS_V6].concat());
    settings.endpoint = endpoint.to_owned();
    settings.before = format!("[tunneling]\noffload = {offload}\n");
    let installation = Installation::new(world, &settings);
    let mut connector = installation.start();
    let status = installation.status().expect("a status");
    assert_eq!(says_offload_is_off(&status), !offload, "{status:#}");
    let which = format!("src port {TRANSFER_PORT} and {SAMPLE}");
    let given = Capture::start_of(world, &world.client, "ztna0", "given", &which);
    for (name, path) in paths {
        set(*path);
        println!("offload {offload}, {endpoint}, {name}, {mib} MiB: {}", transfer(world, mib));
    }
    set(NO_HARM);
    let (right, wrong) = of_whole_packets(&given.stop());
    assert!(right >= LEAST_SAMPLE || offload, "{right} right");
    assert!(wrong.is_empty(), "{right} right, {} wrong: {wrong:#?}", wrong.len());
    installation.stop(&mut connector);
}

/// IPv4 and IPv6 side by side, each with data both ways at once; the milliseconds of each.
fn transfer(world: &World, mib: u64) -> String {
    let bytes = (mib << 20).to_string();
    let limit = LIMIT_PER_MIB * u32::try_from(mib).expect("a number of MiB") + Duration::from_secs(60);
    let target = format!("{CORP_ECHO}:{TRANSFER_PORT}");
    let mut other =
        Running::start(&mut world.client.agent(&["transfer-duplex", &target, &bytes]), &world.log_path("v4"));
    let target = format!("[{CORP_ECHO_V6}]:{TRANSFER_PORT}");
    let v6 = run(&mut world.client.agent(&["transfer-duplex", &target, &bytes]), limit).success();
    let is_right = other.wait(limit).success();
    assert!(is_right, "IPv4: {}", other.log());
    format!("v4 {} v6 {v6}", other.log().lines().last().unwrap_or_default())
}

/// What tcpdump says of packets that were given to the laptop's kernel. Super-packets are let out: their checksum is
/// the sum of the pseudo-header alone, which the kernel goes on from.
fn of_whole_packets(seen: &Seen) -> (usize, Vec<String>) {
    let (right, wrong) = seen.tcp_checksums();
    (right, wrong.into_iter().filter(|line| is_unfinished(line) != Some(true)).collect())
}

/// Whether the checksum in a line of tcpdump is the sum of the pseudo-header, such as
/// `IP (tos …, length 2776) 10.77.0.7.7100 > 100.64.0.1.4000: Flags [.], cksum 0x2e1d (incorrect -> 0xd7f6), seq …`.
fn is_unfinished(line: &str) -> Option<bool> {
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok();
    let length = match after("payload length: ") {
        Some(rest) => number(rest)?,
        None => number(after("proto TCP (6), length ")?)? - 20,
    };
    let (before, rest) = line.split_once(" > ")?;
    let source = address(before.split_whitespace().last()?)?;
    let destination = address(rest.split(": ").next()?)?;
    let found = u16::from_str_radix(after("cksum 0x")?.get(..4)?.trim_end_matches(' '), 16).ok()?;
    let sum = checksum::fold(checksum::pseudo_header(source, destination, TCP, length));
    Some(u16::from_be_bytes(sum.to_ne_bytes()) == found)
}

/// Of `10.77.0.7.7100`: what is before the last dot.
fn address(text: &str) -> Option<IpAddr> {
    text.rsplit_once('.')?.0.parse().ok()
}

/// TCP segments with a wrong checksum that this host's kernel has got.
fn bad_checksums(host: &Namespace) -> u64 {
    let text = run(host.command("cat").arg("/proc/net/snmp"), crate::world::SHORT).success();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut columns = names.split(' ').zip(values.split(' '));
    let (_, count) = columns.find(|(name, _)| *name == "InCsumErrors").expect("a count of wrong checksums");
    count.parse().expect("a number")
}

fn says_offload_is_off(status: &Value) -> bool {
    status["warnings"].to_string().contains("offload is off")
}

fn mib(usual: u64) -> u64 {
    env::var("OPENZTNA_E2E_SPEED_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
