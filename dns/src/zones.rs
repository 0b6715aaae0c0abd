//! What the policy says about names: rules, who resolves them, and what their gateways reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;

use crate::name::Name;
use crate::rules::{Action, Rule, RuleTable};
use crate::upstream::Via;

/// Who resolves the names under a suffix. It grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The apex; it and everything below is covered, unless a longer forward covers it too.
    pub suffix: Name,
    /// The caller's id of the gateway through which the servers are asked.
    pub gateway: u32,
    /// The servers in order of preference; with none, the gateway's own are asked.
    pub servers: Vec<SocketAddr>,
}

/// What a gateway offers to names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayZone {
    /// Its servers in order of preference.
    pub servers: Vec<SocketAddr>,
    /// What can be reached through it: networks as address and prefix length in bits.
    pub allowed_ips: Vec<(IpAddr, u8)>,
    /// Whether we have an IPv4 address inside its tunnel.
    pub has_ipv4: bool,
    /// Whether we have an IPv6 address inside its tunnel.
    pub has_ipv6: bool,
}

/// Why rules, forwards and gateways do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZonesError {
    /// A rule or forward names a gateway that does not exist.
    #[error("failed to find the gateway of `{names}`: `{gateway}`")]
    UnknownGateway {
        /// The names of the rule or forward.
        names: String,
        /// The id that was not found.
        gateway: u32,
    },
    /// Two rules grant the same names differently. The caller is to join them into one grant.
    #[error("failed to decide between two grants of the same names: `{0}`")]
    ConflictingRules(String),
    /// Two forwards have the same suffix.
    #[error("failed to decide between two lists of servers for the same suffix: `{0}`")]
    ConflictingForwards(Name),
    /// A server cannot be reached through the tunnel that is to carry its queries.
    #[error("failed to place the server inside the allowed IPs of its gateway: `{0}`")]
    ServerOutsideAllowedIps(SocketAddr),
}

/// The policy about names, checked and ready to be looked up. Build a new one for each change of policy. A clone shares the
/// table of rules, which is large where there are many names.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    table: Arc<RuleTable>,
    forwards: Vec<Resolved>,
    gateways: BTreeMap<u32, GatewayZone>,
    gateway_servers: BTreeMap<u32, Arc<[SocketAddr]>>,
}

/// Whom to ask about a name, and what the answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) via: Via,
    pub(crate) servers: Arc<[SocketAddr]>,
    pub(crate) grant: Option<Granted>,
}

/// The gateway and grant of a name that a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The caller's id of the gateway.
    pub gateway: u32,
    /// The caller's id of what grants the name.
    pub grant: u32,
}

#[derive(Clone, Debug)]
struct Resolved {
    gateway: u32,
    servers: Arc<[SocketAddr]>,
}

impl Zones {
    /// Puts rules, forwards and gateways together.
    ///
    /// # Errors
    /// When one names a gateway that is not among `gateways`, when two contradict each other, or when a server is
    /// outside of the allowed IPs of the gateway through which it is to be asked.
    pub fn new(
        rules: impl IntoIterator<Item = Rule>,
        forwards: impl IntoIterator<Item = Forward>,
        gateways: BTreeMap<u32, GatewayZone>,
    ) -> Result<Self, ZonesError> {
        let mut zones = Self { gateways, ..Self::default() };
        for (id, gateway) in &zones.gateways {
            check_servers(gateway, &gateway.servers)?;
            zones.gateway_servers.insert(*id, distinct(gateway.servers.clone()));
        }
        rules.into_iter().try_for_each(|rule| zones.add_rule(rule))?;
        forwards.into_iter().try_for_each(|forward| zones.add_forward(forward))?;
        Arc::make_mut(&mut zones.table).shrink();
        Ok(zones)
    }

    /// Whether a name is resolved through a tunnel.
    pub fn covers(&self, name: &Name) -> bool {
        self.target(name.as_wire()).is_some()
    }

    /// The gateway and grant of a name in wire format and lower case, if a rule grants it.
    pub(crate) fn granted(&self, name: &[u8]) -> Option<Granted> {
        grant_of(self.table.decide(name).action)
    }

    /// Whom to ask about a name in wire format and lower case. `None`: the servers of the physical links.
    pub(crate) fn target(&self, name: &[u8]) -> Option<Target> {
        let decision = self.table.decide(name);
        if decision.action == Some(Action::Exclude) {
            return None;
        }
        let grant = grant_of(decision.action);
        let forward = decision.forward.and_then(|index| self.forwards.get(index as usize));
        let (gateway, servers) = match (forward, grant) {
            (Some(forward), _) => (forward.gateway, forward.servers.clone()),
            (None, Some(granted)) => (granted.gateway, self.servers_of(granted.gateway)),
            (None, None) => return None,
        };
        Some(Target { via: Via::Gateway(gateway), servers, grant })
    }

    /// Whether an address can be reached through a gateway: one of its family is ours there, and it is allowed.
    pub(crate) fn reaches(&self, gateway: u32, address: IpAddr) -> bool {
        let Some(gateway) = self.gateways.get(&gateway) else { return false };
        let has_family = if address.is_ipv4() { gateway.has_ipv4 } else { gateway.has_ipv6 };
        has_family && gateway.allows(address)
    }

    /// Every server that can be asked, in a fixed order.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (Via, SocketAddr)> {
        let own = self.gateway_servers.iter().map(|(gateway, servers)| (*gateway, servers));
        let forwards = self.forwards.iter().map(|forward| (forward.gateway, &forward.servers));
        own.chain(forwards)
            .flat_map(|(gateway, servers)| servers.iter().map(move |server| (Via::Gateway(gateway), *server)))
    }

    fn servers_of(&self, gateway: u32) -> Arc<[SocketAddr]> {
        self.gateway_servers.get(&gateway).cloned().unwrap_or_default()
    }

    fn add_rule(&mut self, rule: Rule) -> Result<(), ZonesError> {
        if let Action::Grant { gateway, .. } = rule.action
            && !self.gateways.contains_key(&gateway)
        {
            return Err(ZonesError::UnknownGateway { names: rule.pattern.to_string(), gateway });
        }
        let names = rule.pattern.clone();
        Arc::make_mut(&mut self.table)
            .insert(rule)
            .map_err(|_| ZonesError::ConflictingRules(names.to_string()))
    }

    fn add_forward(&mut self, forward: Forward) -> Result<(), ZonesError> {
        let Forward { suffix, gateway, servers } = forward;
        let Some(zone) = self.gateways.get(&gateway) else {
            return Err(ZonesError::UnknownGateway { names: suffix.to_string(), gateway });
        };
        check_servers(zone, &servers)?;
        let servers = if servers.is_empty() { self.servers_of(gateway) } else { distinct(servers) };
        Arc::make_mut(&mut self.table)
            .insert_forward(suffix.clone(), self.forwards.len() as u32)
            .map_err(|_| ZonesError::ConflictingForwards(suffix))?;
        self.forwards.push(Resolved { gateway, servers });
        Ok(())
    }
}

impl GatewayZone {
    fn allows(&self, address: IpAddr) -> bool {
        self.allowed_ips.iter().any(|(network, prefix)| covers(*network, *prefix, address))
    }
}

/// Whether a network, written as any address in it and a prefix length in bits, holds an address.
pub(crate) fn covers(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The servers in their order, each once: a query asks none of them as if it were two.
pub(crate) fn distinct(mut servers: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
    let mut seen = BTreeSet::new();
    servers.retain(|server| seen.insert(*server));
    servers.into()
}

fn grant_of(action: Option<Action>) -> Option<Granted> {
    match action {
        Some(Action::Grant { gateway, grant }) => Some(Granted { gateway, grant }),
        Some(Action::Exclude) | None => None,
    }
}

fn check_servers(gateway: &GatewayZone, servers: &[SocketAddr]) -> Result<(), ZonesError> {
    match servers.iter().find(|server| !gateway.allows(server.ip())) {
        Some(outside) => Err(ZonesError::ServerOutsideAllowedIps(*outside)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Pattern;

    fn gateway(servers: &[&str]) -> GatewayZone {
        GatewayZone {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            allowed_ips: vec![("10.0.0.0".parse().unwrap(), 8)],
            has_ipv4: true,
            has_ipv6: true,
        }
    }

    fn rule(name: &str, gateway: u32, grant: u32) -> Rule {
        Rule { pattern: Pattern::Suffix(name.parse().unwrap()), action: Action::Grant { gateway, grant } }
    }

    fn forward(suffix: &str, gateway: u32, servers: &[&str]) -> Forward {
        let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        Forward { suffix: suffix.parse().unwrap(), gateway, servers }
    }

    fn target(zones: &Zones, name: &str) -> Option<(Via, Vec<String>, Option<u32>)> {
        let target = zones.target(name.parse::<Name>().unwrap().as_wire())?;
        let servers = target.servers.iter().map(ToString::to_string).collect();
        Some((target.via, servers, target.grant.map(|granted| granted.grant)))
    }

    #[test]
    fn a_name_is_resolved_by_its_longest_forward_else_by_its_gateway() {
        let gateways = BTreeMap::from([(1, gateway(&["10.0.0.53:53"])), (2, gateway(&[]))]);
        let zones = Zones::new(
            [rule("corp", 1, 7), rule("bare", 2, 8)],
            [forward("lab.corp", 2, &["10.9.9.9:53"]), forward("other", 1, &[])],
            gateways,
        )
        .unwrap();
        let one = |via, server: &str, grant| Some((Via::Gateway(via), vec![server.to_owned()], grant));
        assert_eq!(target(&zones, "wiki.corp"), one(1, "10.0.0.53:53", Some(7)));
        assert_eq!(target(&zones, "x.lab.corp"), one(2, "10.9.9.9:53", Some(7)));
        assert_eq!(target(&zones, "x.other"), one(1, "10.0.0.53:53", None));
        assert_eq!(target(&zones, "bare"), Some((Via::Gateway(2), Vec::new(), Some(8))));
        assert_eq!(target(&zones, "example.com"), None);
    }

    #[test]
    fn an_excluded_name_goes_to_the_system_even_under_a_forward() {
        let excluded = Rule { pattern: Pattern::Exact("x.corp".parse().unwrap()), action: Action::Exclude };
        let zones = Zones::new(
            [rule("corp", 1, 7), excluded],
            [forward("corp", 1, &["10.0.0.1:53"])],
            BTreeMap::from([(1, gateway(&[]))]),
        )
        .unwrap();
        assert_eq!(target(&zones, "x.corp"), None);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let gateways = BTreeMap::from([(1, gateway(&[]))]);
        let build =
            |rules: Vec<Rule>, forwards: Vec<Forward>| Zones::new(rules, forwards, gateways.clone()).err();
        assert!(matches!(build(vec![rule("a", 9, 1)], vec![]), Some(ZonesError::UnknownGateway { .. })));
        assert!(matches!(
            build(vec![rule("a", 1, 1), rule("a", 1, 2)], vec![]),
            Some(ZonesError::ConflictingRules(_))
        ));
        assert!(matches!(
            build(vec![], vec![forward("a", 1, &[]), forward("a", 1, &[])]),
            Some(ZonesError::ConflictingForwards(_))
        ));
        assert!(matches!(
            build(vec![], vec![forward("a", 1, &["192.0.2.1:53"])]),
            Some(ZonesError::ServerOutsideAllowedIps(_))
        ));
    }

    #[test]
    fn a_network_covers_what_its_prefix_says() {
        let covers = |network: &str, prefix, address: &str| {
            covers(network.parse().unwrap(), prefix, address.parse().unwrap())
        };
        assert!(covers("10.1.2.3", 8, "10.255.0.1"));
        assert!(!covers("10.0.0.0", 8, "11.0.0.1"));
        assert!(covers("0.0.0.0", 0, "192.0.2.1"));
        assert!(covers("192.0.2.1", 32, "192.0.2.1"));
        assert!(covers("fd00::", 8, "fd12::1"));
        assert!(!covers("::", 0, "10.0.0.1"));
    }
}
