//! The world: `client` (the laptop), `wan` (router and internet), `gateway` (a stock WireGuard server), `corp`.
//!
//! ```text
//! client 198.18.1.2 ── 198.18.1.1 wan 198.18.2.1 ── 198.18.2.2 gateway 10.77.254.1 ── 10.77.254.2 corp
//!                          203.0.113.53 public DNS      10.77.0.1 in the tunnel       10.77.0.53 DNS, …
//! ```
//!
//! More is added when a test asks for it: another gateway with hosts of its own ([`site`]), other access networks of
//! the laptop ([`access`]), IPv6 and smaller links ([`underlay`]), and a lossy path to a gateway ([`relay`]).
//!
//! The namespaces have no names: they live as long as a process that the test started, so that nothing can be left
//! behind, and any number of worlds stand beside each other.

pub(crate) mod access;
pub(crate) mod bad_route;
pub(crate) mod capture;
pub(crate) mod conntrack;
pub(crate) mod impairment;
pub(crate) mod namespace;
pub(crate) mod neighbour;
pub(crate) mod relay;
pub(crate) mod resolvconf;
pub(crate) mod site;
pub(crate) mod systemd;
pub(crate) mod underlay;
pub(crate) mod wireguard;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Finished, Running, run};
use namespace::{Namespace, ResolvConf};
use wireguard::KeyPair;

/// Where the gateway listens.
pub(crate) const GATEWAY_ENDPOINT: &str = "198.18.2.2:51820";

/// Where every gateway listens.
pub(crate) const GATEWAY_PORT: u16 = 51820;

/// The client's address inside the tunnel.
pub(crate) const CLIENT_TUNNEL_ADDRESS: &str = "10.77.0.3";

/// The public internet's DNS server.
pub(crate) const PUBLIC_DNS: &str = "203.0.113.53";

/// The public internet's web server.
pub(crate) const PUBLIC_WEB: &str = "203.0.113.80";

/// The company's DNS server.
pub(crate) const CORP_DNS: &str = "10.77.0.53";

/// The company's web server.
pub(crate) const CORP_WEB: &str = "10.77.0.80";

/// The company's UDP echo.
pub(crate) const CORP_ECHO: &str = "10.77.0.7";

/// The company's host for ssh, PostgreSQL and iperf3.
pub(crate) const CORP_HOST: &str = "10.77.0.22";

/// How long a short program of the world may take on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_secs(20);

/// Lines of each log that a failure shows.
const LOG_TAIL: usize = 40;

/// Four namespaces, their servers and a folder for all their files.
pub(crate) struct World {
    /// The laptop.
    pub(crate) client: Namespace,
    /// The internet: a router with a public DNS server and a public web server.
    pub(crate) wan: Namespace,
    /// The WireGuard server.
    pub(crate) gateway: Namespace,
    /// The company's hosts.
    pub(crate) corp: Namespace,
    /// The gateway's keys.
    pub(crate) gateway_keys: KeyPair,
    /// The laptop's keys, known to the gateway.
    pub(crate) client_keys: KeyPair,
    servers: Mutex<BTreeMap<String, Running>>,
    folder: Option<TempDir>,
}

impl World {
    /// Makes the namespaces and starts the gateway; servers start when a test asks for them.
    #[track_caller]
    pub(crate) fn new(resolv_conf: ResolvConf) -> Self {
        let prefix = format!("oz{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder");
        // Servers that run as users of their own read below it.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))
            .expect("permissions of the folder");
        let path = folder.path();
        let world = Self {
            client: Namespace::laptop(path, resolv_conf),
            wan: Namespace::new(path, "wan"),
            gateway: Namespace::new(path, "gateway"),
            corp: Namespace::new(path, "corp"),
            gateway_keys: KeyPair::generate(),
            client_keys: KeyPair::generate(),
            servers: Mutex::default(),
            folder: Some(folder),
        };
        world.connect();
        world.start_gateway();
        world
    }

    /// The folder for files of this world.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("kept until dropped").path()
    }

    /// The log file of a server.
    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }

    /// Starts a server under a name, unless it is running.
    #[track_caller]
    pub(crate) fn start_once(&self, name: &str, start: impl FnOnce() -> Running) {
        let is_running = self.servers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name);
        if !is_running {
            let running = start();
            self.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), running);
        }
    }

    /// Kills a server; true if it was running.
    pub(crate) fn stop_server(&self, name: &str) -> bool {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// Runs a program on the laptop as root.
    #[track_caller]
    pub(crate) fn on_client(&self, program: &str, arguments: &[&str]) -> Finished {
        run(self.client.command(program).args(arguments), SHORT)
    }

    fn connect(&self) {
        link(&self.client, "eth0", &self.wan, "client0");
        link(&self.gateway, "eth0", &self.wan, "gateway0");
        self.client.ip(&["addr add 198.18.1.2/24 dev eth0", "route add default via 198.18.1.1"]);
        self.wan.ip(&[
            "addr add 198.18.1.1/24 dev client0",
            "addr add 198.18.2.1/24 dev gateway0",
            &format!("addr add {PUBLIC_DNS}/32 dev lo"),
            &format!("addr add {PUBLIC_WEB}/32 dev lo"),
        ]);
        self.gateway.ip(&["addr add 198.18.2.2/24 dev eth0", "route add default via 198.18.2.1"]);
        site::furnish(&self.gateway, &self.corp);
    }

    /// Starts the gateway and tells it the laptop's key; `new` has done so once.
    pub(crate) fn start_gateway(&self) {
        self.start_wireguard("wireguard-gateway", &self.gateway, &self.gateway_keys);
        self.admit(&self.client_keys.public);
    }

    /// Tells the gateway the laptop's public key.
    pub(crate) fn admit(&self, public_key: &str) {
        admit_at(&self.gateway, public_key);
    }

    /// Starts WireGuard as `wg0` of a gateway, unless it runs.
    #[track_caller]
    fn start_wireguard(&self, name: &str, gateway: &Namespace, keys: &KeyPair) {
        self.start_once(name, || {
            wireguard::start(gateway, "wg0", keys, Some(GATEWAY_PORT), &self.log_path(name))
        });
        gateway.ip(&["addr add 10.77.0.1/32 dev wg0", "-6 addr add fd77::1/128 dev wg0 nodad"]);
        gateway.ip(&[
            "link set wg0 mtu 1420 up",
            "route add 10.77.0.3/32 dev wg0",
            "-6 route add fd77::3/128 dev wg0",
        ]);
    }

    fn print_logs(&self) {
        for entry in std::fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            eprintln!(
                "--- {} (last {} of {} lines)\n{}",
                path.display(),
                tail.len(),
                lines.len(),
                tail.join("\n")
            );
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.print_logs();
        if let Some(folder) = self.folder.take() {
            eprintln!("--- the files of this world are kept in {}", folder.keep().display());
        }
    }
}

/// Tells a gateway the laptop's public key.
#[track_caller]
fn admit_at(gateway: &Namespace, public_key: &str) {
    let allowed = format!("{CLIENT_TUNNEL_ADDRESS}/32,fd77::3/128");
    let arguments = ["set", "wg0", "peer", public_key, "allowed-ips", &allowed];
    run(gateway.command("wg").args(arguments), SHORT).success();
}

/// Joins two namespaces by a cable.
pub(crate) fn link(a: &Namespace, name_a: &str, b: &Namespace, name_b: &str) {
    let (id_a, id_b) = (a.id().to_string(), b.id().to_string());
    let arguments =
        ["link", "add", name_a, "netns", &id_a, "type", "veth", "peer", "name", name_b, "netns", &id_b];
    run(Command::new("ip").args(arguments), SHORT).success();
    a.ip(&[&format!("link set {name_a} up")]);
    b.ip(&[&format!("link set {name_b} up")]);
}
