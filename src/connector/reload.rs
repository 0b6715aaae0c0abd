//! Reload: the configuration read anew, fitted to what runs, so that what stays the same is not touched.

use std::path::Path;

use super::{Reach, Setup, access, local_api, network};
use crate::api;
use crate::config::keys::load_or_create_private_key;
use crate::config::{Config, Gateway, SecretKey, Sources};
use crate::personal::Personal;
use crate::telemetry;

/// What a reload brought.
pub(super) struct Reloaded {
    /// The setup from now on.
    pub(super) setup: Setup,
    /// What the local API is to do.
    pub(super) api: api::Settings,
    /// Gateways, by id, whose session cannot go on as it is.
    pub(super) changed_gateways: Vec<u32>,
    /// What cannot be changed without a new link, in words.
    pub(super) needs_new_link: Option<&'static str>,
}

/// Reads the file of `running` again.
///
/// # Errors
/// As at the start of the program; nothing has changed then.
pub(super) fn reload(running: &Setup) -> anyhow::Result<Reloaded> {
    let mut config = Config::load(&Sources::of_process(running.config.path.clone()))?;
    keep_places(&mut config, &running.config.gateways);
    let access = access(&config)?;
    let keys = private_keys(&config, running)?;
    running.personal.apply(&mut config);
    fitted(running, config, keys, access, running.personal.clone())
}

/// Lets what a person chose take effect, and keeps it.
///
/// # Errors
/// It cannot be kept; nothing has changed then.
pub(super) fn choose(running: &Setup, change: &Personal) -> anyhow::Result<Reloaded> {
    let personal = running.personal.with(change);
    personal.save(&running.state_dir)?;
    let mut config = running.config.clone();
    personal.apply(&mut config);
    fitted(running, config, running.keys.clone(), running.access.clone(), personal)
}

/// Level and file of the log as configured.
pub(super) fn follow_log_settings(config: &Config) {
    telemetry::set_level(config.server.log_level.value);
    // a relative path is that of the configuration's folder, as for keys
    let folder = config.path.parent().unwrap_or(Path::new(""));
    telemetry::set_file(config.server.log_file.as_ref().map(|file| folder.join(&file.value)));
}

fn fitted(
    running: &Setup,
    config: Config,
    keys: Vec<SecretKey>,
    access: network::Access,
    personal: Personal,
) -> anyhow::Result<Reloaded> {
    let (state_dir, events) = (running.state_dir.clone(), running.events.clone());
    let device = running.device.clone(); // judged anew by whoever asked for this
    let setup = Setup { config, keys, access, personal, state_dir, events, device, ..*running };
    let api = local_api::settings(&setup)?;
    follow_log_settings(&setup.config);
    let changed_gateways = changed_gateways(running, &setup);
    let needs_new_link = needs_new_link(running, &setup);
    Ok(Reloaded { setup, api, changed_gateways, needs_new_link })
}

/// Ids of gateways are their places: those that ran before keep theirs, new ones come behind, and the place of one
/// that is gone is left empty.
fn keep_places(config: &mut Config, running: &[Gateway]) {
    let mut fresh: Vec<Option<Gateway>> =
        std::mem::take(&mut config.gateways).into_iter().map(Some).collect();
    let mut places = vec![0; fresh.len()];
    for (place, former) in running.iter().enumerate() {
        let same = fresh.iter().position(|gateway| gateway.as_ref().is_some_and(|g| g.name == former.name));
        let kept = same.and_then(|index| {
            places[index] = place;
            fresh[index].take()
        });
        config.gateways.push(kept.unwrap_or_else(|| former.retired()));
    }
    for (index, gateway) in fresh.into_iter().enumerate() {
        if let Some(gateway) = gateway {
            places[index] = config.gateways.len();
            config.gateways.push(gateway);
        }
    }
    for application in &mut config.applications {
        application.gateway = places[application.gateway];
    }
    for zone in &mut config.split_dns {
        zone.gateway = places[zone.gateway];
    }
}

/// Our keys by gateway; one that is gone keeps its own, which nothing uses.
fn private_keys(config: &Config, running: &Setup) -> anyhow::Result<Vec<SecretKey>> {
    let key = |(id, gateway): (usize, &Gateway)| match running.keys.get(id) {
        Some(key) if gateway.is_retired => Ok(key.clone()),
        _ => Ok(load_or_create_private_key(&gateway.private_key_file)?),
    };
    config.gateways.iter().enumerate().map(key).collect()
}

fn changed_gateways(running: &Setup, setup: &Setup) -> Vec<u32> {
    let is_kept = |id: usize| {
        let Some(former) = running.config.gateways.get(id) else { return false };
        let gateway = &setup.config.gateways[id];
        gateway.public_key == former.public_key
            && gateway.preshared_key == former.preshared_key
            && gateway.endpoints == former.endpoints
            && gateway.is_retired == former.is_retired
            && setup.keys[id] == running.keys[id]
            && setup.config.tunneling.keep_alive.value == running.config.tunneling.keep_alive.value
    };
    (0..setup.config.gateways.len()).filter(|id| !is_kept(*id)).map(|id| id as u32).collect()
}

fn needs_new_link(running: &Setup, setup: &Setup) -> Option<&'static str> {
    let (former, now) = (&running.config.tunneling, &setup.config.tunneling);
    if former.mtu.value != now.mtu.value {
        return Some("`tunneling.mtu` has changed");
    }
    if former.offload.value != now.offload.value {
        return Some("`tunneling.offload` has changed");
    }
    let is_other_stack = setup.reach != Reach::Everything && former.stack.value != now.stack.value;
    is_other_stack.then_some("`tunneling.stack` has changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(gateways: &[&str], application_of: &str) -> Config {
        let gateway = |name: &&str| {
            let letter = char::from(b'A' + name.len() as u8);
            format!(
                "[[gateway]]\nname = \"{name}\"\npublic_key = \"{letter}TIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"\n\
                 endpoint = \"198.51.100.7:51820\"\naddress = \"10.77.0.3\"\nallowed_ips = \"10.77.0.0/16\"\n\
                 private_key_file = \"{name}.key\"\ndns = \"10.77.0.53\"\n"
            )
        };
        let mut text: String = gateways.iter().map(gateway).collect();
        text += &format!(
            "[[application]]\nname = \"wiki\"\nhost = \"wiki.example.com\"\nports = \"tcp/80\"\ngateway = \"{application_of}\"\n"
        );
        Config::parse(std::path::Path::new("test.toml"), &text).unwrap()
    }

    #[test]
    fn gateways_keep_their_numbers_whatever_comes_goes_and_moves() {
        let running = config(&["hq", "lab", "north"], "hq").gateways;
        let mut fresh = config(&["branch", "north", "hq"], "branch");
        keep_places(&mut fresh, &running);
        let names: Vec<(&str, bool)> =
            fresh.gateways.iter().map(|gateway| (&*gateway.name, gateway.is_retired)).collect();
        assert_eq!(names, [("hq", false), ("lab", true), ("north", false), ("branch", false)]);
        assert_eq!(fresh.applications[0].gateway, 3);
        assert!(!fresh.gateways[1].allows("10.77.1.1/32".parse().unwrap()), "nothing goes to what is gone");
        let mut back = config(&["lab"], "lab");
        keep_places(&mut back, &fresh.gateways);
        assert_eq!(back.applications[0].gateway, 1, "it gets its number back");
        assert!(!back.gateways[1].is_retired && back.gateways[3].is_retired);
    }
}
