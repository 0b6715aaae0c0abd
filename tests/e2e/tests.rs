//! All end-to-end tests, in the order in which they begin: the longest, what works, what is refused, what breaks.

mod at_speed;
mod coexistence;
mod crash;
mod dashboard;
mod demo;
mod device;
mod failover;
mod faults;
mod gateway;
mod gateway_idle;
mod idle;
mod ipv6;
mod isolation;
mod keys;
mod lifecycle;
mod local_api;
mod lossy;
mod lossy_proxied;
mod mtu;
mod names;
mod network;
mod network_manager;
mod overlap;
mod programs;
mod proxy;
mod refusal;
mod reload;
mod renewal;
mod resolvconf;
mod resolved;
mod roam;
mod siem;
mod stock_client;
mod users;
mod wars;
mod wider_world;
mod without_tun;

use crate::suite::Test;

/// Every test of this binary.
pub(crate) fn all() -> Vec<Test> {
    [
        renewal::tests(),
        gateway::tests(),
        lossy::tests(),
        lossy_proxied::tests(),
        at_speed::tests(),
        proxy::tests(),
        dashboard::tests(),
        stock_client::tests(),
        wider_world::tests(),
        network::tests(),
        names::tests(),
        programs::tests(),
        overlap::tests(),
        ipv6::tests(),
        mtu::tests(),
        keys::tests(),
        isolation::tests(),
        refusal::tests(),
        device::tests(),
        users::tests(),
        without_tun::tests(),
        lifecycle::tests(),
        local_api::tests(),
        reload::tests(),
        faults::tests(),
        failover::tests(),
        crash::tests(),
        demo::tests(),
        resolvconf::tests(),
        network_manager::tests(),
        resolved::tests(),
        roam::tests(),
        siem::tests(),
        gateway_idle::tests(),
        idle::tests(),
        coexistence::tests(),
        wars::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
