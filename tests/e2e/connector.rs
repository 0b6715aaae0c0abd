//! The connector on the laptop: its configuration, its start, what it says of itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Finished, Running, eventually, run};
use crate::world::{CLIENT_TUNNEL_ADDRESS, CORP_DNS, GATEWAY_ENDPOINT, SHORT, World};

/// How long the connector may take to prove its tunnel on a busy machine.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How long a graceful stop may take. The bar is 2 s; a disk that others keep busy makes each `fsync` take as long.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The applications of most tests: the wiki by its name, all of engineering.
pub(crate) const BY_NAME: &str = r#"
[[application]]
name = "wiki"
host = "wiki.corp.example.com"
ports = ["tcp/80", "tcp/443"]
gateway = "hq"

[[application]]
name = "engineering"
host = "*.eng.corp.example.com"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"
"#;

/// One application: the company's whole network by its addresses.
pub(crate) const BY_ADDRESS: &str = r#"
[[application]]
name = "network"
host = "10.77.0.0/16"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"
"#;

/// The same by its IPv6 addresses.
pub(crate) const BY_ADDRESS_V6: &str = r#"
[[application]]
name = "network-6"
host = "fd77::/48"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"
"#;

/// What a configuration file says; the defaults fit the world.
pub(crate) struct Settings {
    /// The gateway's public key.
    pub(crate) public_key: String,
    /// Where the gateway is; several with a space between.
    pub(crate) endpoint: String,
    /// The company's DNS server.
    pub(crate) dns: String,
    /// The laptop's addresses inside the tunnel.
    pub(crate) addresses: Vec<String>,
    /// What is behind the gateway.
    pub(crate) allowed_ips: Vec<String>,
    /// More lines of the gateway, such as a preshared key, and more `[[gateway]]` tables.
    pub(crate) more: String,
    /// Tables before `[[gateway]]`.
    pub(crate) before: String,
    /// `[[application]]` tables.
    pub(crate) applications: String,
}

impl Settings {
    /// The world's gateway with these applications.
    pub(crate) fn new(world: &World, applications: &str) -> Self {
        Self {
            public_key: world.gateway_keys.public.clone(),
            endpoint: GATEWAY_ENDPOINT.to_owned(),
            dns: CORP_DNS.to_owned(),
            addresses: vec![format!("{CLIENT_TUNNEL_ADDRESS}/32"), "fd77::3/128".to_owned()],
            allowed_ips: vec!["10.77.0.0/16".to_owned(), "fd77::/48".to_owned()],
            more: String::new(),
            before: String::new(),
            applications: applications.to_owned(),
        }
    }

    fn text(&self) -> String {
        let Self { public_key, endpoint, dns, addresses, allowed_ips, more, before, applications } = self;
        let endpoints: Vec<&str> = endpoint.split(' ').collect();
        format!(
            "[server]\nlog_level = \"debug\"\n{before}\n[[gateway]]\nname = \"hq\"\npublic_key = \"{public_key}\"\n\
             endpoint = {endpoints:?}\naddress = {addresses:?}\nallowed_ips = {allowed_ips:?}\n\
             private_key_file = \"hq.key\"\ndns = [\"{dns}\"]\n{more}\n{applications}"
        )
    }
}

/// A place of a connector: its configuration, its state folder; it need not run.
pub(crate) struct Installation<'a> {
    world: &'a World,
    folder: PathBuf,
    shell: Box<dyn Fn() -> Command + 'a>,
}

impl<'a> Installation<'a> {
    /// Writes the configuration and the laptop's private key.
    pub(crate) fn new(world: &'a World, settings: &Settings) -> Self {
        Self::behind(world, settings, || world.client.command(BINARY))
    }

    /// The same where `shell` makes the command that runs the connector: in a container, say.
    pub(crate) fn behind(world: &'a World, settings: &Settings, shell: impl Fn() -> Command + 'a) -> Self {
        let folder = world.folder().join("connector");
        fs::create_dir_all(folder.join("state")).expect("a folder for the connector");
        let installation = Self { world, folder, shell: Box::new(shell) };
        installation.write_private(&installation.folder.join("hq.key"), &world.client_keys.private);
        installation.configure(settings);
        installation
    }

    /// Writes another configuration.
    pub(crate) fn configure(&self, settings: &Settings) {
        self.write_private(&self.config_path(), &settings.text());
    }

    /// The configuration file.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.join("client-connector.toml")
    }

    /// The state folder.
    pub(crate) fn state_path(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The folder of both.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The connector with arguments, on the laptop.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = (self.shell)();
        command.args(arguments).env("OPENZTNA_STATE_DIR", self.state_path()).env_remove("RUST_LOG");
        command
    }

    /// Starts `run` without waiting for anything.
    pub(crate) fn launch(&self) -> Running {
        self.launch_with(&[])
    }

    /// Starts `run` with environment variables, without waiting for anything.
    pub(crate) fn launch_with(&self, variables: &[(&str, &str)]) -> Running {
        let config = self.config_path().to_string_lossy().into_owned();
        let mut command = self.command(&["run", "--config", &config]);
        Running::start(command.envs(variables.iter().copied()), &self.world.log_path("connector"))
    }

    /// Starts `run` and waits until its tunnel is proven.
    #[track_caller]
    pub(crate) fn start(&self) -> Running {
        let mut running = self.launch();
        self.wait_for_state(&mut running, "connected", CONNECT_LIMIT);
        running
    }

    /// Waits until `status` says this state.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, running: &mut Running, state: &str, limit: Duration) -> Value {
        self.wait_for_status(running, &format!("the state is `{state}`"), limit, |status| {
            status["state"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(state))
        })
    }

    /// Waits until `status` is as `wanted` says.
    #[track_caller]
    pub(crate) fn wait_for_status(
        &self,
        running: &mut Running,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = running.ended() {
                panic!("the connector ended with {status} before {what}\n{}", running.log());
            }
            if let Some(status) = self.status() {
                if wanted(&status) {
                    return status;
                }
                last = status;
            }
            assert!(start.elapsed() < limit, "{what}: not within {limit:?}; the last status: {last:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What `status --json` says, if the connector answers.
    #[track_caller]
    pub(crate) fn status(&self) -> Option<Value> {
        let finished = self.run(&["status", "--json"]);
        serde_json::from_str(&finished.stdout).ok()
    }

    /// What the local API says, over its Unix socket.
    pub(crate) fn get(&self, path: &str) -> Value {
        let socket = self.state_path().join("connector.sock");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "10", "--unix-socket"]).arg(socket).arg(format!("http://connector{path}"));
        let answer = run(&mut curl, SHORT).success();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    /// Runs a short command of the connector.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        run(&mut self.command(arguments), SHORT)
    }

    /// Asks for a graceful stop and waits for it.
    #[track_caller]
    pub(crate) fn stop(&self, running: &mut Running) {
        running.signal("TERM");
        let status = running.wait(STOP_LIMIT);
        assert!(status.success(), "a graceful stop ends with {status}\n{}", running.log());
    }

    fn write_private(&self, path: &std::path::Path, text: &str) {
        fs::write(path, text).expect("a file of the connector");
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("permissions of a file");
    }
}

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_openztna-client-connector");

/// The status of one application.
pub(crate) fn application<'v>(status: &'v Value, name: &str) -> &'v Value {
    let applications = status["applications"].as_array().expect("applications in the status");
    let found = applications.iter().find(|application| application["name"] == name);
    found.unwrap_or_else(|| panic!("no application `{name}` in {status:#}"))
}

/// Waits until a page can be fetched on the laptop; returns its text.
#[track_caller]
pub(crate) fn eventually_fetch(world: &World, url: &str) -> String {
    eventually(CONNECT_LIMIT, &format!("{url} can be fetched"), || {
        let finished = world.on_client("curl", &["-sS", "-m", "5", url]);
        (finished.code == 0).then_some(finished.stdout)
    })
}
