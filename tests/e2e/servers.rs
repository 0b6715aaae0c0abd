//! The servers of the world, each started when a test first asks for it and ready when the call returns.

pub(crate) mod bind;
pub(crate) mod postgres;
pub(crate) mod siem;
pub(crate) mod ssh;
pub(crate) mod web;

use std::time::Duration;

use crate::process::Running;
use crate::world::{CORP_ECHO, CORP_HOST, World};

/// How long a server may take to listen on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);

/// The company's echo and transfers over IPv6.
pub(crate) const CORP_ECHO_V6: &str = "fd77:0:0:10::7";

/// The port of transfers over TCP.
pub(crate) const TRANSFER_PORT: u16 = 7100;

/// Sends back every UDP datagram at `CORP_ECHO:7`.
#[track_caller]
pub(crate) fn udp_echo(world: &World) {
    world.start_once("udp-echo", || {
        let address = format!("{CORP_ECHO}:7");
        Running::start(&mut world.corp.agent(&["udp-echo", &address]), &world.log_path("udp-echo"))
    });
}

/// The UDP echo also at `CORP_ECHO_V6`, and transfers over TCP at both, port 7100.
#[track_caller]
pub(crate) fn transfers(world: &World) {
    world.corp.ip(&[&format!("addr replace {CORP_ECHO_V6}/128 dev lo nodad")]);
    for (name, agent, address) in [
        ("udp-echo-6", "udp-echo", format!("[{CORP_ECHO_V6}]:7")),
        ("transfer-4", "transfer-serve", format!("{CORP_ECHO}:{TRANSFER_PORT}")),
        ("transfer-6", "transfer-serve", format!("[{CORP_ECHO_V6}]:{TRANSFER_PORT}")),
    ] {
        world.start_once(name, || {
            let running = Running::start(&mut world.corp.agent(&[agent, &address]), &world.log_path(name));
            if agent == "transfer-serve" {
                world.corp.wait_tcp(&address, START_LIMIT);
            }
            running
        });
    }
    udp_echo(world);
}

/// Sends back every byte of TCP connections to `CORP_HOST:9`.
#[track_caller]
pub(crate) fn tcp_echo(world: &World) {
    world.start_once("tcp-echo", || {
        let address = format!("{CORP_HOST}:9");
        let running =
            Running::start(&mut world.corp.agent(&["tcp-echo", &address]), &world.log_path("tcp-echo"));
        world.corp.wait_tcp(&address, START_LIMIT);
        running
    });
}

/// iperf3 at `CORP_HOST:5201`.
#[track_caller]
pub(crate) fn iperf3(world: &World) {
    world.start_once("iperf3", || {
        let mut command = world.corp.command("iperf3");
        let running = Running::start(command.args(["-s", "-B", CORP_HOST]), &world.log_path("iperf3"));
        world.corp.wait_tcp(&format!("{CORP_HOST}:5201"), START_LIMIT);
        running
    });
}
