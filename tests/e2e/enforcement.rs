//! `openztna-gateway` in front of the company's network: its configuration, its start, its audit; and a stock client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::connector::{CONNECT_LIMIT, STOP_LIMIT};
use crate::process::{Running, eventually, run};
use crate::world::wireguard::{self, KeyPair};
use crate::world::{CORP_DNS, SHORT, World};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_openztna-gateway");

/// An ordinary user: the gateway needs no rights.
const NOBODY: u32 = 65534;

/// Where it listens; the stock gateway of the world is beside it.
pub(crate) const ENDPOINT: &str = "198.18.2.2:51830";

/// Where peers ask for names: the default.
pub(crate) const NAMES: &str = "100.127.0.1";

/// The range that names are answered from: the default.
pub(crate) const POOL: [&str; 2] = ["100.127.0.0/16", "fd7a:7a74:6e61::/48"];

/// The laptop's address inside the tunnel.
pub(crate) const LAPTOP: &str = "10.99.0.3";

/// A device of this host's own: `/dev/net/tun` is open to everybody there, as on usual distributions.
const OPEN_TUN: &str = "mount -t tmpfs -o mode=755 tmpfs /dev/net
mknod /dev/net/tun c 10 200
chmod 666 /dev/net/tun
";

/// A place of a gateway.
pub(crate) struct Enforcer<'a> {
    world: &'a World,
    folder: PathBuf,
    /// Its keys.
    pub(crate) keys: KeyPair,
    stack: &'static str,
    egress: &'static str,
    /// The company's DNS server that it asks.
    pub(crate) dns: String,
}

impl<'a> Enforcer<'a> {
    /// Makes its folder and its key; `stack` as in the configuration.
    #[track_caller]
    pub(crate) fn new(world: &'a World, stack: &'static str) -> Self {
        let folder = world.folder().join("enforcer");
        let state = folder.join("state");
        fs::create_dir_all(&state).expect("a folder for the gateway");
        for path in [&folder, &state] {
            fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("permissions of a folder");
        }
        let keys = KeyPair::generate();
        let key_file = folder.join("gateway.key");
        fs::write(&key_file, &keys.private).expect("a key file");
        fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).expect("permissions of a key");
        std::os::unix::fs::chown(&key_file, Some(NOBODY), Some(NOBODY)).expect("owner of a key");
        run(world.gateway.command("sh").args(["-c", OPEN_TUN]), SHORT).success();
        Self { world, folder, keys, stack, egress: "userspace", dns: CORP_DNS.to_owned() }
    }

    /// The same with kernel egress, which is root's.
    #[track_caller]
    pub(crate) fn of_kernel(world: &'a World) -> Self {
        Self { egress: "kernel", ..Self::new(world, "auto") }
    }

    /// Writes the configuration: the laptop may reach these applications of `tables`.
    #[track_caller]
    pub(crate) fn configure(&self, applications: &[&str], tables: &str) {
        let Self { stack, egress, dns, .. } = self;
        let (laptop, audit) = (&self.world.client_keys.public, self.audit_path());
        let text = format!(
            "listen = [\"0.0.0.0:51830\"]\nprivate_key_file = \"gateway.key\"\ndns = \"{dns}\"\nstack = \"{stack}\"\negress = \"{egress}\"\n\
             audit_file = \"{}\"\nlog_level = \"debug\"\n{tables}\n[[peer]]\nname = \"laptop\"\n\
             public_key = \"{laptop}\"\nallowed_ips = [\"{LAPTOP}/32\", \"fd99::3/128\"]\napplications = {applications:?}\n",
            audit.display(),
        );
        fs::write(self.config_path(), text).expect("a configuration");
    }

    /// Starts it as an ordinary user, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(&self) -> Running {
        let mut command = match self.egress {
            "kernel" => self.world.gateway.command(BINARY),
            _ => self.world.gateway.command_as(NOBODY, BINARY),
        };
        command.arg("run").arg("--config").arg(self.config_path());
        command.env("OPENZTNA_STATE_DIR", self.folder.join("state")).env_remove("RUST_LOG");
        let mut running = Running::start(&mut command, &self.world.log_path("enforcer"));
        eventually(CONNECT_LIMIT, "the gateway listens", || {
            assert!(running.ended().is_none(), "the gateway ended\n{}", running.log());
            running.log().contains("this gateway's public key").then_some(())
        });
        let is_namespace = self.stack != "smoltcp" && self.egress == "userspace";
        assert_eq!(running.log().contains("private namespace"), is_namespace, "{}", running.log());
        running
    }

    /// Asks for a graceful stop and waits for it.
    #[track_caller]
    pub(crate) fn stop(&self, mut running: Running) {
        running.signal("TERM");
        let status = running.wait(STOP_LIMIT);
        assert!(status.success(), "a graceful stop ends with {status}\n{}", running.log());
    }

    /// Reads the configuration again.
    #[track_caller]
    pub(crate) fn reload(&self, running: &Running) {
        let before = running.log().matches("was read again").count();
        running.signal("HUP");
        eventually(SHORT, "the configuration is read again", || {
            (running.log().matches("was read again").count() > before).then_some(())
        });
    }

    /// The lines of the audit so far.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.audit_path()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Waits for a line of the audit in which all these fields are so.
    #[track_caller]
    pub(crate) fn wait_for_audit(&self, wanted: &[(&str, Value)]) -> Value {
        eventually(SHORT, &format!("the audit has {wanted:?}: {:#?}", self.audit()), || {
            self.audit().into_iter().find(|line| wanted.iter().all(|(key, value)| line[*key] == *value))
        })
    }

    /// Connects the laptop with wireguard-go, as `wg9`: the gateway's own range and the company's are behind it.
    #[track_caller]
    pub(crate) fn connect_stock_client(&self) -> Running {
        let world = self.world;
        let client =
            wireguard::start(&world.client, "wg9", &world.client_keys, None, &world.log_path("stock-client"));
        let mut set = world.client.command("wg");
        set.args(["set", "wg9", "peer", &self.keys.public, "endpoint", ENDPOINT, "allowed-ips"]);
        run(set.arg(format!("{},{},10.77.0.0/16", POOL[0], POOL[1])), SHORT).success();
        world.client.ip(&[
            &format!("addr add {LAPTOP}/32 dev wg9"),
            "-6 addr add fd99::3/128 dev wg9 nodad",
            "link set wg9 mtu 1420 up",
            &format!("route add {} dev wg9", POOL[0]),
            &format!("-6 route add {} dev wg9", POOL[1]),
            "route add 10.77.0.0/16 dev wg9",
        ]);
        client
    }

    /// Its memory that is its own alone, in KiB.
    pub(crate) fn resident_kib(running: &Running) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let number =
            line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no memory in {status}"))
    }

    /// A run of the program that only looks at its configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.gateway.command_as(NOBODY, BINARY);
        command.args(arguments).arg("--config").arg(self.config_path());
        command
    }

    fn config_path(&self) -> PathBuf {
        self.folder.join("gateway.toml")
    }

    fn audit_path(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }
}
