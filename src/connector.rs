//! The connector as a running program: from the configuration to an orderly end.

pub mod address_pool;
mod browser;
mod catalogue;
mod connection;
mod degraded;
mod endpoints;
pub mod engine;
mod flow_reporter;
mod happened;
mod lists;
mod local_api;
pub mod network;
mod network_watch;
pub mod plan;
mod proxies;
mod publish;
mod reload;
mod service;
mod supervisor;
mod system_dns;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use platform::dns_config::DnsMode;
use platform::lock::FileLock;

pub use connection::BROKER_SUBCOMMAND;
pub use service::{Service, ServiceOptions};

use crate::config::keys::load_or_create_private_key;
use crate::config::{Config, SecretKey, Sources};
use crate::error::{Exit, Failure};
use crate::event::Events;
use crate::personal::Personal;
use crate::posture::Assessment;
use crate::signals::Signals;
use crate::{guardian, telemetry};

/// What `run` was told on the command line.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// How the system's DNS is told about our resolver.
    pub dns_mode: DnsMode,
    /// No TUN is wanted: programs come by the proxies only.
    pub no_tun: bool,
}

/// Whose packets the connector carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Every program's, by a TUN.
    Everything,
    /// The proxies' alone, as it was asked for.
    Proxies,
    /// The proxies' alone, since this process may not make a TUN.
    ProxiesForLackOfRights,
}

/// What the program runs with; a reload makes another one.
struct Setup {
    config: Config,
    /// Our private keys, by gateway.
    keys: Vec<SecretKey>,
    state_dir: PathBuf,
    dns_mode: DnsMode,
    access: network::Access,
    reach: Reach,
    /// What a person chose.
    personal: Personal,
    /// Where everybody says what happened.
    events: Events,
    /// What follows from the device's security.
    device: Arc<Assessment>,
}

/// Runs until SIGTERM, SIGINT, or a failure that nothing can be done about.
///
/// # Errors
/// Wrong configuration, no permission, another instance, or a state folder that cannot be used: each with a hint.
pub fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let config = Config::load(&Sources::of_process(options.config))?;
    telemetry::start(config.server.log_level.value);
    say_what_is_not_effective(&config);
    let reach = reach(options.no_tun);
    if reach == Reach::ProxiesForLackOfRights {
        tracing::warn!(
            "a TUN device and routes need the capability CAP_NET_ADMIN: going on with the proxies alone"
        );
    }
    let (setup, lock) = prepare(config, platform::paths::state_dir(), options.dns_mode, reach)?;
    reload::follow_log_settings(&setup.config);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new().context("failed to listen for signals")?;
        supervisor::supervise(setup, signals.next()).await
    });
    runtime.shutdown_background(); // a look-up of a gateway's name may still hang in the system
    drop(lock);
    telemetry::flush();
    result.map(|()| Exit::Success.into())
}

/// Takes the state folder, undoes what an earlier run left, and reads the keys.
fn prepare(
    mut config: Config,
    state_dir: PathBuf,
    dns_mode: DnsMode,
    reach: Reach,
) -> anyhow::Result<(Setup, FileLock)> {
    let lock = FileLock::of_instance(&state_dir).context("failed to start")?;
    let mut restored = Vec::new();
    for journal in platform::paths::journals(&state_dir) {
        restored.extend(guardian::restore(&journal)?);
    }
    for restored in restored {
        match restored.result {
            Ok(_) => {
                tracing::warn!(
                    "an earlier run was ended before it could undo its {}: done now",
                    restored.undo
                );
            }
            Err(error) => {
                tracing::error!("failed to undo what an earlier run left: {}: {error}", restored.undo)
            }
        }
    }
    let keys = config.gateways.iter().map(|gateway| load_or_create_private_key(&gateway.private_key_file));
    let keys = keys.collect::<Result<_, _>>()?;
    let access = access(&config)?;
    let personal = Personal::load(&state_dir);
    personal.apply(&mut config);
    let events = Events::default();
    Ok((
        Setup { config, keys, state_dir, dns_mode, access, reach, personal, events, device: Arc::default() },
        lock,
    ))
}

fn reach(no_tun: bool) -> Reach {
    match platform::privileges::can_change_network() {
        _ if no_tun => Reach::Proxies,
        true => Reach::Everything,
        false => Reach::ProxiesForLackOfRights,
    }
}

fn say_what_is_not_effective(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for entry in &config.not_effective {
        tracing::warn!("{}", entry.diagnostic());
    }
}

/// Who may use the tunnel, by user number.
fn access(config: &Config) -> anyhow::Result<network::Access> {
    numbers_of(&config.tunneling.allowed_users)
}

/// Users by their numbers; an empty list is everyone.
fn numbers_of(users: &[crate::config::Setting<String>]) -> anyhow::Result<network::Access> {
    if users.is_empty() {
        return Ok(network::Access::Everyone);
    }
    let number = |user: &crate::config::Setting<String>| {
        let found = platform::privileges::user_id(&user.value).context("failed to ask for users")?;
        found.ok_or_else(|| {
            Failure::new(Exit::Configuration, format!("{}: there is no user `{}`", user.origin, user.value))
                .hint("name a user of this system, or give its number")
                .into()
        })
    };
    let users = users.iter().map(number).collect::<anyhow::Result<_>>()?;
    Ok(network::Access::Users(users))
}
