//! What carries packets between programs and the engine, and what of the system was changed for it.

use std::ffi::OsStr;
use std::time::Instant;

use platform::netlink::{Netlink, NetworkFacts};
use platform::private_namespace::{self, Obstacle, PrivateNamespace, SocketBroker};
use platform::tun::{Tun, TunConfig};
use platform::undo::Undo;

use super::{Foundation, mtu, networks, random};
use crate::connector::address_pool::AddressPool;
use crate::connector::engine::Device;
use crate::connector::{Setup, network};
use crate::dialer::Way;
use crate::guardian::Guardian;
use crate::user_stack::{self, UserStack};

/// What the TUN is called, with the first free number behind.
const TUN_NAME: &str = "ztna";
/// Flows of the stack in user space at one time.
const MOST_FLOWS: usize = 10_240;
/// The subcommand with which the program becomes the broker of a private network.
pub const BROKER_SUBCOMMAND: &str = "broker";

/// The way of packets.
pub(in crate::connector) enum Carrier {
    /// A TUN of the system: every program's packets reach it.
    Link(Box<OwnLink>),
    /// A TUN in a private network: only sockets of its broker reach it. Nothing of the system is changed.
    Namespace(SocketBroker),
    /// The stack in user space, and why not the private network. Nothing of the system is changed.
    Stack(String),
}

/// Our link in the system's network, and what stands around it.
pub(in crate::connector) struct OwnLink {
    pub(super) guardian: Guardian,
    pub(super) name: String,
    pub(super) index: u32,
    /// Addresses, routes and rules.
    pub(super) written: network::NetworkPlan,
}

impl Carrier {
    /// The number of our link in the system's network, if there is one.
    pub(super) fn link(&self) -> Option<u32> {
        match self {
            Self::Link(own) => Some(own.index),
            Self::Namespace(_) | Self::Stack(_) => None,
        }
    }

    /// For `status`.
    pub(in crate::connector) fn words(&self) -> String {
        match self {
            Self::Link(own) => format!("TUN {}", own.name),
            Self::Namespace(_) => "private namespace, for the proxies alone".to_owned(),
            Self::Stack(why) => format!("user-space stack, for the proxies alone ({why})"),
        }
    }

    /// How dialers reach the engine.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Link(_) => Way::Kernel,
            Self::Namespace(broker) => Way::Namespace(broker.clone()),
            Self::Stack(_) => Way::Stack,
        }
    }

    /// What was changed on the system, as sentences.
    pub(super) fn changes(&self) -> Vec<String> {
        let Self::Link(own) = self else { return Vec::new() };
        let network::NetworkPlan { addresses, routes, rules } = &own.written;
        vec![
            format!("link {} with {} addresses", own.name, addresses.len()),
            format!("{} routes in table {}", routes.len(), network::TABLE),
            format!("{} routing rules", rules.len()),
        ]
    }

    /// Takes back what was changed on the system for it.
    ///
    /// # Errors
    /// When something could not be undone.
    pub(super) fn take_back(self) -> anyhow::Result<()> {
        match self {
            Self::Link(own) => own.guardian.finish(),
            Self::Namespace(_) | Self::Stack(_) => Ok(()), // it goes with its last flow
        }
    }

    /// Lets it carry packets of `mtu` bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn set_mtu(&self, mtu: u16) -> anyhow::Result<()> {
        match self {
            Self::Link(own) => Ok(Netlink::open()?.set_mtu(own.index, mtu.into())?),
            Self::Namespace(broker) => Ok(broker.set_mtu(mtu)?),
            Self::Stack(_) => Ok(()), // the engine cuts what is longer
        }
    }
}

impl OwnLink {
    /// Makes the link and what leads to it; the guardian knows how to undo each before it is made.
    ///
    /// # Errors
    /// When the system refuses a part; the guardian takes back what was made before.
    pub(super) fn make(
        setup: &Setup,
        foundation: &Foundation,
        guardian: &mut Guardian,
    ) -> anyhow::Result<(Tun, network::NetworkPlan)> {
        let config = TunConfig {
            name_prefix: TUN_NAME.to_owned(),
            mtu: mtu(setup),
            force_plain: !setup.config.tunneling.offload.value,
        };
        let tun = Tun::open(&config)?;
        let (index, name) = (tun.index(), tun.name().to_owned());
        let _ = guardian.announce(&Undo::Link { name, index })?;
        let written = foundation.network(setup);
        let mut netlink = Netlink::open()?;
        network::write_link(&mut netlink, &written, index)?;
        for rule in &written.rules {
            let _ = guardian.announce(&Undo::Rule(rule.clone()))?;
            netlink.add_rule(rule)?;
        }
        Ok((tun, written))
    }

    /// Writes other addresses, routes and rules beside the present ones, and answers with the former, to be passed to
    /// [`Self::remove`] when nothing uses them any more.
    ///
    /// # Errors
    /// When the kernel refuses one of them.
    pub(super) fn write(&mut self, written: network::NetworkPlan) -> anyhow::Result<network::NetworkPlan> {
        let mut netlink = Netlink::open()?;
        network::write_link(&mut netlink, &written, self.index)?;
        for rule in written.rules.iter().filter(|rule| !self.written.rules.contains(rule)) {
            let _ = self.guardian.announce(&Undo::Rule(rule.clone()))?;
            netlink.add_rule(rule)?;
        }
        Ok(std::mem::replace(&mut self.written, written))
    }

    /// Removes what is of `former` and no longer wanted.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn remove(&self, former: &network::NetworkPlan) -> anyhow::Result<()> {
        network::remove_surplus(&mut Netlink::open()?, former, &self.written, self.index)
    }

    /// Whether all that is ours is there.
    pub(super) fn is_whole(&self, facts: &NetworkFacts) -> bool {
        network::is_whole(&self.written, facts, self.index)
    }

    /// Whether the link itself is there.
    pub(super) fn is_there(&self, facts: &NetworkFacts) -> bool {
        facts.links.iter().any(|link| link.index == self.index)
    }

    /// Writes again what another program has removed.
    ///
    /// # Errors
    /// When the kernel refuses one of them.
    pub(super) fn put_back(&self) -> anyhow::Result<()> {
        let mut netlink = Netlink::open()?;
        network::write_link(&mut netlink, &self.written, self.index)?;
        for rule in &self.written.rules {
            netlink.add_rule(rule)?;
        }
        Ok(())
    }
}

/// What carries the proxies' flows where there is no TUN of the system: its device, and whether it has IPv6.
///
/// # Errors
/// What stands in the way of the private network, if nothing else is wanted.
pub(super) fn without_link(
    setup: &Setup,
    foundation: &Foundation,
) -> anyhow::Result<(Carrier, Device, bool)> {
    let wanted = setup.config.tunneling.stack.value;
    if wanted == "smoltcp" {
        return Ok(user_stack(setup, foundation, "as configured".to_owned()));
    }
    match private_namespace(setup, &foundation.pool) {
        Ok(namespace) => {
            let (device, has_ipv6) = (Device::Tun(namespace.tun), namespace.has_ipv6);
            Ok((Carrier::Namespace(namespace.sockets), device, has_ipv6))
        }
        Err(obstacle) if wanted == "namespace" => Err(obstacle.into()),
        Err(obstacle) => {
            let hint = obstacle.hint().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
            let why = format!("{obstacle}{hint}");
            tracing::info!("no private namespace: {why}; the stack in user space carries the proxies' flows");
            Ok(user_stack(setup, foundation, why))
        }
    }
}

/// A private network with a TUN; no right is needed for it.
fn private_namespace(setup: &Setup, pool: &AddressPool) -> Result<PrivateNamespace, Obstacle> {
    let (device_v4, device_v6) = pool.device();
    let config = private_namespace::Config {
        name_prefix: TUN_NAME.to_owned(),
        mtu: mtu(setup),
        force_plain: !setup.config.tunneling.offload.value,
        most_segments: Some(network::MOST_SEGMENTS),
        addresses: vec![device_v4.into(), device_v6.into()],
        accept_any: false,
    };
    PrivateNamespace::open(&[OsStr::new(BROKER_SUBCOMMAND)], &config)
}

fn user_stack(setup: &Setup, foundation: &Foundation, why: String) -> (Carrier, Device, bool) {
    let (device_v4, device_v6) = foundation.pool.device();
    let config = user_stack::Config {
        seed: random(),
        mtu: mtu(setup).into(),
        addresses: [Some(device_v4.into()), Some(device_v6.into())],
        most_flows: MOST_FLOWS,
    };
    let stack = UserStack::new(&config, Instant::now());
    (Carrier::Stack(why), Device::Stack(Box::new(stack)), true)
}

impl Foundation {
    /// What is to stand in the system's network.
    fn network(&self, setup: &Setup) -> network::NetworkPlan {
        network::plan(&self.pool, &networks(&self.plan), &setup.access, self.facts.ipv6_available)
    }
}
