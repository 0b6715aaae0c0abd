//! Debian's wireguard-go, as gateway and as the reference client.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::namespace::Namespace;
use super::{CLIENT_TUNNEL_ADDRESS, SHORT, World};
use crate::process::{Running, eventually, run};

/// A Curve25519 key pair in the text form of `wg`.
#[derive(Clone)]
pub(crate) struct KeyPair {
    /// Base64.
    pub(crate) private: String,
    /// Base64.
    pub(crate) public: String,
}

impl KeyPair {
    /// Makes a new pair with `wg genkey`.
    pub(crate) fn generate() -> Self {
        let private = run(Command::new("wg").arg("genkey"), SHORT).success();
        let public = public_key(&private);
        Self { private, public }
    }
}

/// Starts wireguard-go on a host and gives its link a key and perhaps a port.
#[track_caller]
pub(crate) fn start(host: &Namespace, link: &str, keys: &KeyPair, port: Option<u16>, log: &Path) -> Running {
    let mut command = host.command("wireguard-go");
    command.args(["-f", link]).env("LOG_LEVEL", "verbose").env("WG_PROCESS_FOREGROUND", "1");
    let running = Running::start(&mut command, log);
    let key_path = log.with_extension("key");
    fs::write(&key_path, &keys.private).expect("a key file");
    let port = port.unwrap_or(0).to_string();
    // `wg` removes a control socket that is bound and not listened to yet, taking it for a dead program's.
    eventually(SHORT, "wireguard-go listens", || {
        running.log().contains("UAPI listener started").then_some(())
    });
    eventually(SHORT, "wireguard-go answers", || {
        let mut set = host.command("wg");
        set.args(["set", link, "listen-port", &port, "private-key"]).arg(&key_path);
        (run(&mut set, SHORT).code == 0).then_some(())
    });
    running
}

/// Connects the laptop with wireguard-go, as `wg9`: all of 10.77.0.0/16 and fd77::/48 is behind this gateway.
#[track_caller]
pub(crate) fn connect(world: &World, public_key: &str, endpoint: &str) -> Running {
    let client = start(&world.client, "wg9", &world.client_keys, None, &world.log_path("stock-client"));
    let mut set = world.client.command("wg");
    set.args(["set", "wg9", "peer", public_key, "endpoint", endpoint]);
    run(set.args(["allowed-ips", "10.77.0.0/16,fd77::/48"]), SHORT).success();
    world.client.ip(&[
        &format!("addr add {CLIENT_TUNNEL_ADDRESS}/32 dev wg9"),
        "-6 addr add fd77::3/128 dev wg9 nodad",
        "link set wg9 mtu 1420 up",
        "route add 10.77.0.0/16 dev wg9",
        "-6 route add fd77::/48 dev wg9",
    ]);
    client
}

fn public_key(private: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("wg")
        .arg("pubkey")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("wg pubkey");
    child.stdin.take().expect("piped").write_all(private.as_bytes()).expect("a key for wg pubkey");
    let output = child.wait_with_output().expect("wg pubkey");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
