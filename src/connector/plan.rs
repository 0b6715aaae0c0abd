//! The configuration turned into what each leaf enforces: grants and networks for packets, rules and servers for names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use netstack::policy;
use platform::dns_config::Domains;

use crate::config::{Config, Host, NamePattern, PortSpec, Prefix};
use crate::dialer::AllWithheld;

/// Hosts that are asked one after the other when a path is measured; each that is silent costs a second.
const MOST_PROBE_TARGETS: usize = 3;
/// A shorter prefix (such as 0.0.0.0/0) says nothing about where the gateway is.
const SHORTEST_PROBED: u8 = 8;

/// What follows from a configuration.
#[derive(Debug)]
pub struct Plan {
    /// For the datapath.
    pub policy: policy::Policy,
    /// For the resolver.
    pub zones: Arc<dns::Zones>,
    /// The domains whose queries must reach the resolver, and those that complete short names.
    pub domains: Domains,
    /// Applications that cannot be offered, by index, and why in a sentence.
    pub refused: BTreeMap<usize, String>,
}

/// Builds the plan; `local_networks` are those that the device is connected to by itself, and `withheld` the
/// applications that it may not use now.
///
/// # Errors
/// When names, gateways and servers contradict each other in a way that the configuration's own checks let pass.
pub fn build(config: &Config, local_networks: &[Prefix], withheld: &AllWithheld) -> anyhow::Result<Plan> {
    let mut grants = Grants::default();
    let rules = name_rules(config, &mut grants)?;
    let (networks, refused) = networks(config, local_networks, &mut grants);
    let zones = dns::Zones::new(rules, forwards(config)?, gateway_zones(config));
    let policy = policy::Policy {
        gateways: config.gateways.iter().map(gateway).collect(),
        grants: grants.list.iter().map(|applications| grant(config, applications)).collect(),
        networks,
        withheld: withheld.keys().copied().collect(),
        is_blocked: true,
    };
    Ok(Plan {
        policy,
        zones: Arc::new(zones.context("failed to build the rules of names")?),
        domains: Domains {
            routing: routing_domains(config),
            exact: vec![dns::DOH_CANARY.to_owned()],
            search: search_domains(config)?,
        },
        refused,
    })
}

/// Each distinct set of applications is one grant, so that a list of 100,000 domains stays one.
#[derive(Default)]
struct Grants {
    list: Vec<Vec<u32>>,
    ids: HashMap<Vec<u32>, u32>,
}

impl Grants {
    fn id(&mut self, applications: Vec<u32>) -> u32 {
        let next = self.list.len() as u32;
        *self.ids.entry(applications).or_insert_with_key(|applications| {
            self.list.push(applications.clone());
            next
        })
    }
}

fn name_rules(config: &Config, grants: &mut Grants) -> anyhow::Result<Vec<dns::Rule>> {
    let mut owners: HashMap<&NamePattern, (usize, Vec<u32>)> = HashMap::new();
    let mut order = Vec::new();
    for (index, application) in config.applications.iter().enumerate() {
        for host in &application.hosts {
            let Host::Name(pattern) = host else { continue };
            let (gateway, applications) = owners.entry(pattern).or_insert_with(|| {
                order.push(pattern);
                (application.gateway, Vec::new())
            });
            if *gateway == application.gateway {
                applications.push(index as u32);
            }
        }
    }
    let mut rules = Vec::with_capacity(order.len());
    for pattern in order {
        let Some((gateway, applications)) = owners.remove(pattern) else { continue };
        let action = dns::Action::Grant { gateway: gateway as u32, grant: grants.id(applications) };
        rules.push(dns::Rule { pattern: dns_pattern(pattern)?, action });
    }
    for pattern in &config.exclude_domains {
        rules.push(dns::Rule { pattern: dns_pattern(pattern)?, action: dns::Action::Exclude });
    }
    Ok(rules)
}

fn dns_pattern(pattern: &NamePattern) -> anyhow::Result<dns::Pattern> {
    let name =
        |text: &str| text.parse::<dns::Name>().with_context(|| format!("failed to read name: `{text}`"));
    Ok(match pattern {
        NamePattern::Exact(text) => dns::Pattern::Exact(name(text)?),
        NamePattern::Wildcard(text) => dns::Pattern::Wildcard(name(text)?),
        NamePattern::Suffix(text) => dns::Pattern::Suffix(name(text)?),
    })
}

fn forwards(config: &Config) -> anyhow::Result<Vec<dns::Forward>> {
    let forward = |zone: &crate::config::Zone| {
        let suffix =
            zone.domain.parse().with_context(|| format!("failed to read name: `{}`", zone.domain))?;
        Ok(dns::Forward { suffix, gateway: zone.gateway as u32, servers: zone.servers.clone() })
    };
    config.split_dns.iter().map(forward).collect()
}

fn gateway_zones(config: &Config) -> BTreeMap<u32, dns::GatewayZone> {
    let zone = |gateway: &crate::config::Gateway| dns::GatewayZone {
        servers: gateway.dns.clone(),
        allowed_ips: gateway.allowed_ips.iter().map(|prefix| (prefix.address, prefix.length)).collect(),
        has_ipv4: gateway.addresses.iter().any(|prefix| prefix.address.is_ipv4()),
        has_ipv6: gateway.addresses.iter().any(|prefix| prefix.address.is_ipv6()),
    };
    config.gateways.iter().enumerate().map(|(index, gateway)| (index as u32, zone(gateway))).collect()
}

/// The applications that are address ranges. One that overlaps a local network, or another gateway's, is refused.
fn networks(
    config: &Config,
    local: &[Prefix],
    grants: &mut Grants,
) -> (Vec<policy::Network>, BTreeMap<usize, String>) {
    let mut taken: BTreeMap<Prefix, (usize, Vec<u32>)> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for (index, application) in config.applications.iter().enumerate() {
        for host in &application.hosts {
            let prefix = match host {
                Host::Address(address) => Prefix::host(*address),
                Host::Network(prefix) => prefix.network(),
                Host::Name(_) => continue,
            };
            let foreign = taken
                .iter()
                .find(|(other, (gateway, _))| *gateway != application.gateway && overlap(prefix, **other));
            if let Some(other) = foreign
                .map(|(other, _)| *other)
                .or(local.iter().copied().find(|other| overlap(prefix, *other)))
            {
                let reason =
                    format!("refused: overlap of {prefix} with {other}; give the application a name instead");
                refused.insert(index, reason);
                continue;
            }
            taken.entry(prefix).or_insert_with(|| (application.gateway, Vec::new())).1.push(index as u32);
        }
    }
    let networks = taken.into_iter().map(|(prefix, (gateway, applications))| policy::Network {
        prefix: policy_prefix(prefix),
        gateway: gateway as u32,
        grant: grants.id(applications),
    });
    (networks.collect(), refused)
}

fn overlap(a: Prefix, b: Prefix) -> bool {
    a.covers(b) || b.covers(a)
}

fn policy_prefix(prefix: Prefix) -> policy::Prefix {
    policy::Prefix { address: prefix.address, length: prefix.length }
}

fn gateway(gateway: &crate::config::Gateway) -> policy::Gateway {
    let address = |is_wanted: fn(&std::net::IpAddr) -> bool| {
        gateway.addresses.iter().map(|prefix| prefix.address).find(is_wanted)
    };
    policy::Gateway {
        ipv4: address(std::net::IpAddr::is_ipv4).and_then(|address| match address {
            std::net::IpAddr::V4(address) => Some(address),
            std::net::IpAddr::V6(_) => None,
        }),
        ipv6: address(std::net::IpAddr::is_ipv6).and_then(|address| match address {
            std::net::IpAddr::V6(address) => Some(address),
            std::net::IpAddr::V4(_) => None,
        }),
        allowed_ips: gateway.allowed_ips.iter().copied().map(policy_prefix).collect(),
        probe_targets: probe_targets(gateway),
    }
}

/// Who may answer when the path is measured: the gateway's DNS servers, or else the first address of what it carries,
/// which is often its own; be there nobody, the gateway answers for hosts that are too far away.
fn probe_targets(gateway: &crate::config::Gateway) -> Vec<std::net::IpAddr> {
    let has_family = |target: &std::net::IpAddr| {
        gateway.addresses.iter().any(|prefix| prefix.address.is_ipv4() == target.is_ipv4())
    };
    let first_hosts =
        gateway.allowed_ips.iter().filter(|prefix| prefix.length >= SHORTEST_PROBED).map(first_host);
    let servers = gateway.dns.iter().map(std::net::SocketAddr::ip);
    let known = servers.chain(first_hosts).filter(has_family);
    known.take(MOST_PROBE_TARGETS).collect()
}

fn first_host(prefix: &Prefix) -> std::net::IpAddr {
    let network = prefix.network();
    match network.address {
        address if network.length >= 31 && address.is_ipv4() || network.length >= 127 => address,
        std::net::IpAddr::V4(address) => std::net::Ipv4Addr::from_bits(address.to_bits() | 1).into(),
        std::net::IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() | 1).into(),
    }
}

fn grant(config: &Config, applications: &[u32]) -> policy::Grant {
    let application = |id: &u32| {
        let ports = config.applications[*id as usize].ports.iter().map(|port| match *port {
            PortSpec::Tcp { first, last } => policy::Ports { protocol: policy::Protocol::Tcp, first, last },
            PortSpec::Udp { first, last } => policy::Ports { protocol: policy::Protocol::Udp, first, last },
            PortSpec::Icmp => policy::Ports { protocol: policy::Protocol::Icmp, first: 0, last: 0 },
        });
        policy::Application { id: *id, ports: ports.collect() }
    };
    policy::Grant { applications: applications.iter().map(application).collect() }
}

/// What the system must send to the resolver: the names of applications and the zones of `split_dns`.
fn routing_domains(config: &Config) -> Vec<String> {
    let of_hosts =
        config.applications.iter().flat_map(|application| &application.hosts).filter_map(|host| match host {
            Host::Name(
                NamePattern::Exact(name) | NamePattern::Wildcard(name) | NamePattern::Suffix(name),
            ) => Some(name.to_string()),
            Host::Address(_) | Host::Network(_) => None,
        });
    let of_zones = config.split_dns.iter().map(|zone| zone.domain.to_string());
    let unique: std::collections::BTreeSet<String> = of_hosts.chain(of_zones).collect();
    unique.into_iter().collect()
}

/// The search domains as names, so that nothing else gets into a file of the system.
fn search_domains(config: &Config) -> anyhow::Result<Vec<String>> {
    let read = |text: &String| {
        let name: dns::Name =
            text.parse().with_context(|| format!("failed to read `dns.search_domains`: `{text}`"))?;
        Ok(name.to_string())
    };
    config.search_domains.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
        [[gateway]]
        name = "hq"
        public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
        endpoint = "198.51.100.7:51820"
        address = ["10.77.0.3/32"]
        allowed_ips = ["10.77.0.0/16"]
        private_key_file = "hq.key"
        dns = ["10.77.0.53"]
    "#;

    fn plan(applications: &str, local: &[Prefix]) -> Plan {
        let text = format!("{HEAD}\n{applications}");
        let config = Config::parse(std::path::Path::new("test.toml"), &text).unwrap();
        build(&config, local, &AllWithheld::new()).unwrap()
    }

    #[test]
    fn applications_of_one_name_share_a_grant_in_order() {
        let plan = plan(
            r#"
            [[application]]
            name = "wiki"
            host = "wiki.corp.example.com"
            ports = ["tcp/80"]
            gateway = "hq"
            [[application]]
            name = "wiki-admin"
            host = "wiki.corp.example.com"
            ports = ["tcp/22"]
            gateway = "hq"
            "#,
            &[],
        );
        assert_eq!(plan.policy.grants.len(), 1);
        assert_eq!(plan.policy.application(0, 6, 80), Some(0));
        assert_eq!(plan.policy.application(0, 6, 22), Some(1));
        assert_eq!(plan.domains.routing, ["wiki.corp.example.com"]);
    }

    #[test]
    fn the_path_is_measured_with_the_dns_server_or_else_the_first_host() {
        let targets = |text: &str| {
            let config = Config::parse(std::path::Path::new("test.toml"), text).unwrap();
            let plan = build(&config, &[], &AllWithheld::new()).unwrap();
            plan.policy.gateways[0].probe_targets.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(targets(HEAD), ["10.77.0.53", "10.77.0.1"]);
        let bare = HEAD.replace("dns =", "# dns =").replace("10.77.0.0/16", "0.0.0.0/0");
        assert_eq!(targets(&bare), [""; 0]);
        let bare =
            HEAD.replace("dns =", "# dns =").replace("\"10.77.0.0/16\"", "\"10.77.9.9/32\", \"fd77::/48\"");
        assert_eq!(targets(&bare), ["10.77.9.9"], "no IPv6 address of ours there");
    }

    #[test]
    fn search_domains_keep_their_order_and_the_canary_is_ours() {
        let parse = |list: &str| {
            let text = format!("[dns]\nsearch_domains = [{list}]\n{HEAD}");
            let config = Config::parse(std::path::Path::new("test.toml"), &text).unwrap();
            build(&config, &[], &AllWithheld::new()).map(|plan| plan.domains)
        };
        let domains = parse(r#""Lab.example.com.", "corp.example.com""#).unwrap();
        assert_eq!(domains.search, ["lab.example.com", "corp.example.com"]);
        assert_eq!(domains.exact, ["use-application-dns.net"]);
        let error = parse(r#""corp\nnameserver 192.0.2.1""#).unwrap_err();
        assert!(error.to_string().contains("dns.search_domains"), "{error:#}");
    }

    #[test]
    fn a_range_that_overlaps_a_local_network_is_refused_with_a_hint() {
        let text = r#"
            [[application]]
            name = "all"
            host = "10.77.0.0/16"
            ports = ["tcp/*"]
            gateway = "hq"
        "#;
        let local = "10.77.3.0/24".parse().unwrap();
        assert!(plan(text, &[local]).refused[&0].contains("overlap"));
        assert_eq!(plan(text, &[]).policy.networks.len(), 1);
    }
}
