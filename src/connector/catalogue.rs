//! What is protected, put together for dialers from the configuration and what follows from it.

use netstack::policy::Prefix;

use super::address_pool::AddressPool;
use super::plan::{self, Plan};
use crate::config::Config;
use crate::dialer::{AllWithheld, ApplicationWords, Catalogue};

/// The catalogue of a plan in force; `pool` is where virtual addresses come from.
pub(super) fn of(config: &Config, plan: &Plan, pool: &AddressPool, withheld: &AllWithheld) -> Catalogue {
    let networks = plan.policy.networks.iter().map(|network| network.prefix);
    catalogue(config, plan, pool.networks().into_iter().chain(networks).collect(), withheld)
}

/// The catalogue while there is no connection. Where no plan can be made of the configuration, everything counts as
/// protected: no failure opens traffic.
pub(super) fn disconnected(config: &Config) -> Catalogue {
    match plan::build(config, &[], &AllWithheld::new()) {
        Ok(plan) => {
            let networks = plan.policy.networks.iter().map(|network| network.prefix);
            catalogue(config, &plan, networks.collect(), &AllWithheld::new())
        }
        Err(_) => Catalogue { is_everything: true, ..Catalogue::default() },
    }
}

fn catalogue(config: &Config, plan: &Plan, networks: Vec<Prefix>, withheld: &AllWithheld) -> Catalogue {
    let words = |(id, application): (u32, &crate::config::Application)| ApplicationWords {
        withheld: withheld.get(&id).cloned(),
        name: application.name.clone(),
        ports: application.ports.iter().map(ToString::to_string).collect(),
    };
    Catalogue {
        zones: plan.zones.clone(),
        networks,
        search: plan.domains.search.clone(),
        applications: (0..).zip(&config.applications).map(words).collect(),
        is_everything: false,
    }
}
