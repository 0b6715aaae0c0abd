//! The gateway as a running program: from the configuration to an orderly end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use netstack::gateway::{self, Gateway};
use platform::Family;
use platform::lock::FileLock;
use platform::private_namespace::{self, PrivateNamespace, SocketBroker};
use platform::udp::{UdpConfig, UdpEndpoint};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::addresses::{self, Addresses};
use super::audit::Audit;
use super::config::{Config, Egress as EgressMode, Limits};
use super::egress::{self, Acceptor, Egress};
use super::engine::{self, Command, Engine, Inner};
use super::job::{JOB_QUEUE, ORDER_QUEUE};
use super::kernel::Kernel;
use super::monitor;
use super::names::{Names, wall};
use super::roster::Roster;
use super::target::Lookout;
use crate::config::keys::{format_key, load_or_create_private_key};
use crate::error::{Exit, Failure};
use crate::signals::Signals;
use crate::telemetry;
use crate::user_stack;

/// The subcommand with which the program becomes the broker of a private network.
const BROKER: &str = "broker";
/// First part of the name of the TUN there.
const LINK: &str = "gw";
/// Commands that may wait.
const COMMAND_QUEUE: usize = 4;

/// Runs until SIGTERM, SIGINT, or a failure that nothing can be done about.
///
/// # Errors
/// Wrong configuration, an address that cannot be listened on, or a state folder that cannot be used: each with a hint.
pub fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    telemetry::start(config.log_level);
    say_warnings(&config);
    if let Err(error) = platform::process::raise_descriptor_limit() {
        tracing::warn!("fewer connections can be open at once than could be: {error}");
    }
    let state_dir = platform::paths::state_dir().join("gateway");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start")?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().context("failed to listen for signals")?
    };
    serve(config, &state_dir, &runtime, signals.next())?;
    Ok(Exit::Success.into())
}

/// Runs until `end` says why it is to end.
fn serve(
    config: Config,
    state_dir: &Path,
    runtime: &tokio::runtime::Runtime,
    end: impl Future<Output = &'static str>,
) -> anyhow::Result<()> {
    let lock = FileLock::of_instance(state_dir).context("failed to start")?;
    let (audit, writer) = Audit::start(config.audit_file.as_deref())?;
    let service = Service::start(config, state_dir, audit)?;
    let result = runtime.block_on(service.supervise(end));
    writer.finish();
    drop(lock);
    result
}

/// A gateway beside other things in one process, on a thread of its own; it is told to end when this is dropped.
#[derive(Debug)]
pub struct Background {
    end: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// Wrong configuration. What goes wrong later is told by [`Self::stop`].
    pub fn start(path: &Path, state_dir: &Path) -> anyhow::Result<Self> {
        let config = Config::load(path)?;
        let (end, ended) = oneshot::channel::<()>();
        let state_dir = state_dir.to_owned();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            serve(config, &state_dir, &runtime, async {
                let _ = ended.await; // the sender's end is the end
                "the end"
            })
        };
        let thread = std::thread::Builder::new().name("gateway".to_owned()).spawn(work);
        Ok(Self { end, thread: thread.context("failed to start the gateway")? })
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// What it ended with.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow::anyhow!("failed to end the gateway: it had crashed"))?
    }
}

/// The threads, and what they are told.
struct Service {
    config: Config,
    audit: Audit,
    commands: mpsc::Sender<Command>,
    /// To the egress, once the engine enforces it.
    rosters: watch::Sender<Arc<Roster>>,
    engine: JoinHandle<()>,
    egress: JoinHandle<()>,
    /// Kernel egress: what was changed on the system.
    kernel: Option<Kernel>,
    /// How the engine ended.
    end: oneshot::Receiver<anyhow::Result<()>>,
}

impl Service {
    fn start(config: Config, state_dir: &Path, audit: Audit) -> anyhow::Result<Self> {
        let key = load_or_create_private_key(&config.private_key_file)?;
        let public_key = format_key(&netstack::wireguard::public_key(*key.reveal()));
        let sockets = bind(&config)?;
        let (inner, broker, kernel) = open_inner(&config, state_dir)?;
        let segments = sockets.iter().map(UdpEndpoint::max_gso_segments).min().unwrap_or(1);
        let machine = Gateway::new(machine_config(&config, *key.reveal(), &inner, segments)?, Instant::now());
        let roster = Arc::new(Roster::new(config.clone()));
        let table_path = state_dir.join("names.json");
        let table = Addresses::new(config.pool, addresses::load(&table_path), wall());
        let names = Names { addresses: Arc::new(Mutex::new(table)), lookout: Lookout::of_system() };
        let (jobs, take_jobs) = mpsc::channel(JOB_QUEUE);
        let (orders, take_orders) = mpsc::channel(ORDER_QUEUE);
        let (commands, take_commands) = mpsc::channel(COMMAND_QUEUE);
        let (end_sender, end) = oneshot::channel();
        let (rosters, take_rosters) = watch::channel(Arc::clone(&roster));
        let parts = egress::Parts {
            rosters: take_rosters,
            names: names.clone(),
            acceptor: match kernel.is_some() {
                true => Acceptor::of_system(config.names),
                false => Acceptor::new(broker),
            },
            jobs: take_jobs,
            orders,
            table_path,
        };
        let egress = start_egress(parts)?;
        let parts = engine::Parts {
            gateway: machine,
            sockets,
            inner,
            roster,
            addresses: names.addresses,
            jobs,
            orders: take_orders,
            commands: take_commands,
            audit: audit.clone(),
        };
        let engine = start_engine(parts, end_sender)?;
        for address in &config.listen {
            tracing::info!("listening on {address}");
        }
        tracing::info!("this gateway's public key: {public_key}");
        Ok(Self { config, audit, commands, rosters, engine, egress, kernel, end })
    }

    async fn supervise(mut self, end: impl Future<Output = &'static str>) -> anyhow::Result<()> {
        let mut end = std::pin::pin!(end);
        let mut hang_ups = signal(SignalKind::hangup()).context("failed to listen for signals")?;
        let monitor = self.config.metrics;
        let monitor = monitor.map(|address| tokio::spawn(monitor::serve(address, self.commands.downgrade())));
        let result = loop {
            tokio::select! {
                ended = &mut self.end => break ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the engine ended"))),
                Some(()) = hang_ups.recv() => self.reload().await,
                why = &mut end => {
                    tracing::info!("{why}: stopping");
                    break Ok(());
                }
            }
        };
        let Self { audit, commands, engine, egress, kernel, .. } = self;
        if let Some(monitor) = monitor {
            monitor.abort();
        }
        drop((audit, commands)); // the engine ends, and with it the egress
        for thread in [engine, egress] {
            let _ = thread.join(); // a panic there was told already
        }
        match kernel {
            Some(kernel) => result.and(kernel.finish()),
            None => result,
        }
    }

    async fn reload(&mut self) {
        let config = match Config::load(&self.config.path) {
            Ok(config) => config,
            Err(error) => return tracing::error!("the configuration was not read again: {error}"),
        };
        say_warnings(&config);
        if needs_restart(&self.config, &config) {
            tracing::warn!(
                "some of what changed takes effect at the next start: only peers, applications, DNS servers and the \
                 level of the log are read again"
            );
        }
        let config = Config {
            peers: config.peers,
            applications: config.applications,
            dns: config.dns,
            log_level: config.log_level,
            ..self.config.clone()
        };
        telemetry::set_level(config.log_level);
        self.audit.reopen();
        self.config = config.clone();
        let (done, wait) = oneshot::channel();
        let roster = Arc::new(Roster::new(config));
        if self.commands.send(Command::Roster(Arc::clone(&roster), done)).await.is_ok() {
            let _ = wait.await; // the engine ended, which is told elsewhere
        }
        self.rosters.send_replace(roster);
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.update(&self.config)
        {
            tracing::error!("the system's routes or firewall do not fit the peers: {error:#}");
        }
        tracing::info!("the configuration was read again");
    }
}

fn say_warnings(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}

fn needs_restart(old: &Config, new: &Config) -> bool {
    (&old.listen, &old.private_key_file, old.names, old.pool, old.egress, old.stack.value, old.mtu)
        != (&new.listen, &new.private_key_file, new.names, new.pool, new.egress, new.stack.value, new.mtu)
        || (&old.audit_file, old.limits, old.metrics) != (&new.audit_file, new.limits, new.metrics)
}

fn bind(config: &Config) -> anyhow::Result<Vec<UdpEndpoint>> {
    let open = |address: &std::net::SocketAddr| {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let settings = UdpConfig { port: address.port(), ..UdpConfig::new(family, None) };
        Ok(UdpEndpoint::bind_at(address.ip(), &settings)?)
    };
    config.listen.iter().map(open).collect()
}

/// What carries the peers' connections, who makes listeners for them, and what was changed on the system.
fn open_inner(
    config: &Config,
    state_dir: &Path,
) -> anyhow::Result<(Inner, Option<SocketBroker>, Option<Kernel>)> {
    if config.egress == EgressMode::Kernel {
        let (tun, kernel) = Kernel::open(config, state_dir)?;
        return Ok((Inner::Tun(tun), None, Some(kernel)));
    }
    let (inner, broker) = open_stack(config)?;
    Ok((inner, broker, None))
}

/// The private namespace, or the stack in user space.
fn open_stack(config: &Config) -> anyhow::Result<(Inner, Option<SocketBroker>)> {
    if config.stack.value == "smoltcp" {
        return Ok((user_stack(config)?, None));
    }
    let settings = private_namespace::Config {
        name_prefix: LINK.to_owned(),
        mtu: config.mtu,
        force_plain: false,
        most_segments: None,
        addresses: vec![config.names.0.into(), config.names.1.into()],
        accept_any: true,
    };
    match PrivateNamespace::open(&[OsStr::new(BROKER)], &settings) {
        Ok(network) => {
            tracing::info!("connections are carried by a private namespace");
            Ok((Inner::Tun(network.tun), Some(network.sockets)))
        }
        Err(obstacle) if config.stack.value == "auto" => {
            let hint = obstacle.hint().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            tracing::warn!(
                "connections are carried by the stack in user space, which is slower: {obstacle}{hint}"
            );
            Ok((user_stack(config)?, None))
        }
        Err(obstacle) => {
            let failure = Failure::new(Exit::Failure, format!("failed to start: {obstacle}"));
            Err(match obstacle.hint() {
                Some(hint) => failure.hint(hint).into(),
                None => failure.into(),
            })
        }
    }
}

fn user_stack(config: &Config) -> anyhow::Result<Inner> {
    Ok(Inner::Stack(user_stack::Config {
        seed: random()?,
        mtu: config.mtu.into(),
        addresses: [Some(config.names.0.into()), Some(config.names.1.into())],
        most_flows: MOST_FLOWS,
    }))
}

/// Flows of all peers at one time.
const MOST_FLOWS: usize = 65_536;

fn machine_config(
    config: &Config,
    private_key: [u8; 32],
    inner: &Inner,
    most_segments: usize,
) -> anyhow::Result<gateway::Config> {
    let Limits {
        flows_per_peer,
        half_open_per_peer,
        queries_per_second_per_peer,
        handshakes_per_second,
        buffer_bytes_per_peer: _,
    } = config.limits;
    let limits = gateway::Limits {
        flows: MOST_FLOWS,
        flows_per_peer,
        half_open_per_peer,
        queries_per_second: queries_per_second_per_peer,
        handshakes_per_second,
        ..gateway::Limits::default()
    };
    Ok(gateway::Config {
        private_key,
        seed: random()?,
        mtu: config.mtu.into(),
        can_join: inner.can_join(),
        most_segments,
        names: (Some(config.names.0), Some(config.names.1)),
        egress: match config.egress {
            EgressMode::Userspace => gateway::Egress::Userspace,
            EgressMode::Kernel => gateway::Egress::Kernel,
        },
        limits,
    })
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from).context("failed to ask for randomness")?;
    Ok(bytes)
}

fn start_egress(parts: egress::Parts) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || runtime.block_on(Egress::new(parts).run());
    std::thread::Builder::new().name("egress".to_owned()).spawn(work).context("failed to start a thread")
}

fn start_engine(
    parts: engine::Parts,
    end: oneshot::Sender<anyhow::Result<()>>,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || {
        let result = runtime.block_on(async {
            let engine = Engine::new(parts).context("failed to start the engine")?;
            engine.run().await
        });
        let _ = end.send(result); // the program ends already
    };
    std::thread::Builder::new().name("engine".to_owned()).spawn(work).context("failed to start a thread")
}
