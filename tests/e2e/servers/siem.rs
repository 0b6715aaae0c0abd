//! The company's SIEM in the internet: rsyslog on every transport, or an HTTP Event Collector.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::process::{Running, run};
use crate::servers::START_LIMIT;
use crate::world::{PUBLIC_WEB, SHORT, World};

/// Where it is.
pub(crate) const SIEM: &str = PUBLIC_WEB;

/// What the collector is asked with.
pub(crate) const TOKEN: &str = "Splunk 11111111-fake-fake-fake-111111111111";

/// rsyslog at ports 514 of UDP and TCP, and 6514 of TLS, where clients must show a certificate of the world's authority.
#[track_caller]
pub(crate) fn rsyslog(world: &World) -> Running {
    authority(world);
    let folder = world.folder().display().to_string();
    let text = include_str!("rsyslog.conf").replace("@FOLDER@", &folder);
    let file = world.folder().join("rsyslog.conf");
    fs::write(&file, text).expect("rsyslog.conf");
    let mut command = world.wan.command("rsyslogd");
    command.arg("-n").arg("-f").arg(&file).arg("-i").arg(world.folder().join("rsyslog.pid"));
    let running = Running::start(&mut command, &world.log_path("rsyslog"));
    for port in [514, 6514] {
        world.wan.wait_tcp(&format!("{SIEM}:{port}"), START_LIMIT);
    }
    running
}

/// What rsyslog received by a transport: `udp`, `tcp` or `tls`.
pub(crate) fn received(world: &World, transport: &str) -> Vec<Value> {
    lines(&world.folder().join(format!("{transport}.jsonl")))
}

/// A collector at port 8088.
#[track_caller]
pub(crate) fn collector(world: &World, mode: &str) -> Running {
    collector_at(world, SIEM, mode)
}

/// The company's proxy at `SIEM:3128`, for alice with the password "sesame".
#[track_caller]
pub(crate) fn proxy(world: &World) -> Running {
    let file = world.folder().join("tinyproxy.conf");
    let text = format!(
        "Port 3128\nListen {SIEM}\nTimeout 60\nBasicAuth alice sesame\nConnectPort 514\nConnectPort 6514\n"
    );
    fs::write(&file, text).expect("tinyproxy.conf");
    let mut command = world.wan.command("tinyproxy");
    let running = Running::start(command.arg("-d").arg("-c").arg(&file), &world.log_path("tinyproxy"));
    world.wan.wait_tcp(&format!("{SIEM}:3128"), START_LIMIT);
    running
}

/// The same at another address of the internet.
#[track_caller]
pub(crate) fn collector_at(world: &World, address: &str, mode: &str) -> Running {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/servers/hec.py");
    let mut command = world.wan.command("python3");
    command.args([script, address, "8088"]).arg(collected_path(world)).arg(mode);
    let running = Running::start(&mut command, &world.log_path("hec"));
    world.wan.wait_tcp(&format!("{address}:8088"), START_LIMIT);
    running
}

/// What the collector took.
pub(crate) fn collected(world: &World) -> Vec<Value> {
    lines(&collected_path(world))
}

/// Where the collector keeps it.
pub(crate) fn collected_path(world: &World) -> PathBuf {
    world.folder().join("hec.jsonl")
}

/// Ids of events of the JSON format by their number; panics when a number has two.
#[track_caller]
pub(crate) fn numbered(events: &[Value]) -> BTreeMap<u64, String> {
    let mut numbered = BTreeMap::new();
    for event in events {
        let number = event["event"]["sequence"].as_u64().expect("a number");
        let id = event["event"]["id"].as_str().expect("an id").to_owned();
        let known = numbered.entry(number).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "number {number} has two ids");
    }
    numbered
}

/// A line that is not whole yet is left out.
fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read(path).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// An authority, a certificate of the SIEM and one of the laptop, once a world.
#[track_caller]
fn authority(world: &World) {
    let folder = world.folder();
    if folder.join("siem-ca.pem").exists() {
        return;
    }
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        run(command.args(arguments.split(' ')).current_dir(folder), SHORT).success();
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 30 -subj /CN=authority -keyout siem-ca.key -out siem-ca.pem"));
    for (name, subject) in [("siem", format!("IP:{SIEM}")), ("laptop", "DNS:laptop".to_owned())] {
        fs::write(folder.join("names"), format!("subjectAltName={subject}\n")).expect("a file");
        openssl(&format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA siem-ca.pem -CAkey siem-ca.key -CAcreateserial -days 30 -extfile names -out {name}.pem"
        ));
    }
}
