//! Debian's wireguard-go, as gateway and as the reference client.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::SHORT;
use super::namespace::Namespace;
use crate::process::{Running, eventually, run};

/// A Curve25519 key pair in the text form of `wg`.
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
    // The link is there a moment before the control socket.
    eventually(SHORT, "wireguard-go answers", || {
        let mut set = host.command("wg");
        set.args(["set", link, "listen-port", &port, "private-key"]).arg(&key_path);
        (run(&mut set, SHORT).code == 0).then_some(())
    });
    running
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
