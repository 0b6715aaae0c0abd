//! What is protected, put together for dialers from the configuration and what follows from it.

use netstack::policy::Prefix;

use super::address_pool::AddressPool;
use super::plan::{self, Plan};
use crate::config::Config;
use crate::dialer::{ApplicationWords, Catalogue};

/// The catalogue of a plan in force; `pool` is where virtual addresses come from.
pub(super) fn of(config: &Config, plan: &Plan, pool: &AddressPool) -> Catalogue {
    let networks = plan.policy.networks.iter().map(|network| network.prefix);
    catalogue(config, plan, pool.networks().into_iter().chain(networks).collect())
}

/// The catalogue while there is no connection. Where no plan can be made of the configuration, everything counts as
/// protected: no failure opens traffic.
pub(super) fn disconnected(config: &Config) -> Catalogue {
    match plan::build(config, &[]) {
        Ok(plan) => {
            let networks = plan.policy.networks.iter().map(|network| network.prefix);
            catalogue(config, &plan, networks.collect())
        }
        Err(_) => Catalogue { is_everything: true, ..Catalogue::default() },
    }
}

fn catalogue(config: &Config, plan: &Plan, networks: Vec<Prefix>) -> Catalogue {
    let words = |application: &crate::config::Application| ApplicationWords {
        name: application.name.clone(),
        ports: application.ports.iter().map(ToString::to_string).collect(),
    };
    Catalogue {
        zones: plan.zones.clone(),
        networks,
        search: plan.domains.search.clone(),
        applications: config.applications.iter().map(words).collect(),
        is_everything: false,
    }
}
