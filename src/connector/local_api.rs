//! The local API beside the connection: its settings from the configuration, its token, what the person should know.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;

use super::{Setup, network, numbers_of, supervisor};
use crate::api::{Access, Settings, States, random_text};
use crate::config::Secret;
use crate::http_port::State;

/// The file of a token that was made up, in the state folder.
const TOKEN_FILE: &str = "api.token";

/// What the API is to do now.
///
/// # Errors
/// A user of `[api] allowed_users` does not exist, or the system gives no randomness for a token.
pub(super) fn settings(setup: &Setup) -> anyhow::Result<Settings> {
    let api = &setup.config.api;
    let token = match &api.token {
        Some(token) => token.value.clone(),
        None => load_or_create_token(&setup.state_dir)?,
    };
    let monitoring = &setup.config.monitoring;
    let here = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Settings {
        metrics: monitoring.prometheus.value.then(|| here(monitoring.prometheus_port.value)),
        health: monitoring.healthcheck.value.then(|| here(monitoring.healthcheck_port.value)),
        address: api.enabled.value.then(|| api.address()),
        require_auth: api.require_auth.value,
        token,
        access: access(setup)?,
        config: setup.config.settings.clone(),
        personal: setup.personal.in_force(&setup.config),
    })
}

/// Those of `[api] allowed_users`; without it, those who may use the tunnel.
fn access(setup: &Setup) -> anyhow::Result<Access> {
    let users = &setup.config.api.allowed_users;
    match numbers_of(users)? {
        network::Access::Everyone => Ok(supervisor::access(setup)),
        network::Access::Users(users) => {
            Ok(Access::new(rustix::process::geteuid().as_raw(), Some(BTreeSet::from_iter(users))))
        }
    }
}

/// What the person should know.
pub(super) fn warnings(states: &States) -> Vec<String> {
    let failed = states.iter().filter_map(|(port, state)| match state {
        State::Listening(_) => None,
        State::Failed { address, error } => Some(format!(
            "{} cannot be served on {address}: {error}; hint: stop the program that has the port, or choose another \
             one in the configuration",
            port.as_str()
        )),
    });
    failed.collect()
}

fn load_or_create_token(state_dir: &Path) -> anyhow::Result<Secret> {
    let path = state_dir.join(TOKEN_FILE);
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(Secret::new(text.trim().to_owned()));
    }
    let token =
        random_text().context("failed to make a token for the local API: the system gives no randomness")?;
    if let Err(error) = platform::secret_file::replace(&path, format!("{token}\n").as_bytes()) {
        // nobody knows this one: the command line and the dashboard need none
        tracing::warn!("failed to keep the token of the local API: {error}; hint: set `token` in `[api]`");
    }
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::Port;

    #[test]
    fn a_token_that_was_made_up_stays_and_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let token = load_or_create_token(folder.path()).unwrap();
        assert!(token.reveal().len() >= 40);
        assert_eq!(load_or_create_token(folder.path()).unwrap(), token);
        assert!(!platform::secret_file::others_can_read(&folder.path().join(TOKEN_FILE)).unwrap());
    }

    #[test]
    fn a_state_folder_that_takes_nothing_stops_nobody() {
        assert!(load_or_create_token(Path::new("/proc/nowhere")).is_ok());
    }

    #[test]
    fn a_port_that_is_taken_is_a_warning() {
        let address = "127.0.0.1:8086".parse().unwrap();
        let state = State::Failed { address, error: "address in use".to_owned() };
        let warnings = warnings(&BTreeMap::from([(Port::Api, state)]));
        assert!(warnings[0].contains("127.0.0.1:8086") && warnings[0].contains("hint: "), "{warnings:?}");
    }
}
