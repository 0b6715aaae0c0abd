//! Who may see which name, and which real addresses an application lists: pure look-ups over the configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::config::Application;
use crate::config::{Host, NamePattern, PortSpec, Prefix};

/// A transport and the port of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// An echo.
    Echo,
}

/// The applications of a configuration, made for look-ups.
#[derive(Debug, Default)]
pub struct Access {
    /// Applications of exactly this name.
    exact: BTreeMap<Box<str>, Vec<u32>>,
    /// Applications of every name below this one.
    below: BTreeMap<Box<str>, Vec<u32>>,
    /// Real addresses of each application, by its number, and its ports.
    listed: Vec<(Vec<Prefix>, Vec<PortSpec>)>,
    /// Names of each application, by its number, without the `*.`.
    names: Vec<Vec<Box<str>>>,
}

impl Access {
    /// Numbers are indices of `applications`.
    pub fn new(applications: &[Application]) -> Self {
        let mut access = Self::default();
        for (number, application) in applications.iter().enumerate() {
            access.add(number as u32, application);
        }
        access
    }

    /// The applications among `own` (ascending) that cover a name (lower case, no dot at its end) by their most specific
    /// pattern: the name itself, then the longest `*.name`. Ascending; empty: the peer does not know the name.
    pub fn covering(&self, own: &[u32], name: &str) -> Vec<u32> {
        let exact = self.exact.get(name).map(|all| among(all, own)).unwrap_or_default();
        if !exact.is_empty() {
            return exact;
        }
        let parents = name.match_indices('.').filter_map(|(at, _)| name.get(at + 1..));
        let patterns = parents.filter_map(|parent| self.below.get(parent));
        patterns.map(|all| among(all, own)).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Whether a name of an application among `own` lies below this one, so that it exists without records of its own
    /// (RFC 8020 section 2).
    pub fn has_below(&self, own: &[u32], name: &str) -> bool {
        let mut names = own.iter().filter_map(|number| self.names.get(*number as usize)).flatten();
        let is_below = |known: &str| {
            let rest = known.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) || name.is_empty()
        };
        names.any(|known| is_below(known))
    }

    /// Whether all of these applications cover the name by some pattern.
    pub fn all_cover(&self, applications: &[u32], name: &str) -> bool {
        let mut numbers = applications.iter();
        numbers.all(|number| self.covering(std::slice::from_ref(number), name) == [*number])
    }

    /// The longest range with this address that an application among `own` lists for the service, or for any.
    pub fn listing(&self, own: &[u32], address: IpAddr, service: Option<Service>) -> Option<Prefix> {
        let listed = own.iter().filter_map(|number| self.listed.get(*number as usize));
        let is_open = |port: &PortSpec| service.is_none_or(|service| allows(*port, service));
        let open = listed.filter(|(_, ports)| ports.iter().any(is_open));
        let ranges = open.flat_map(|(ranges, _)| ranges).filter(|range| range.contains(address));
        ranges.max_by_key(|range| range.length).copied()
    }

    fn add(&mut self, number: u32, application: &Application) {
        let mut names = Vec::new();
        for host in &application.hosts {
            let Host::Name(pattern) = host else { continue };
            names.push(pattern.name().into());
            match pattern {
                NamePattern::Exact(name) => insert(&mut self.exact, name, number),
                NamePattern::Wildcard(parent) => insert(&mut self.below, parent, number),
                NamePattern::Suffix(name) => {
                    insert(&mut self.exact, name, number);
                    insert(&mut self.below, name, number);
                }
            }
        }
        self.names.push(names);
        let ranges = application.hosts.iter().filter_map(Host::prefix).collect();
        self.listed.push((ranges, application.ports.clone()));
    }
}

/// Whether a port specification lets a service through.
pub fn allows(port: PortSpec, service: Service) -> bool {
    match (port, service) {
        (PortSpec::Tcp { first, last }, Service::Tcp(port))
        | (PortSpec::Udp { first, last }, Service::Udp(port)) => (first..=last).contains(&port),
        (PortSpec::Icmp, Service::Echo) => true,
        (PortSpec::Tcp { .. } | PortSpec::Udp { .. } | PortSpec::Icmp, _) => false,
    }
}

fn insert(map: &mut BTreeMap<Box<str>, Vec<u32>>, name: &str, number: u32) {
    let numbers = map.entry(name.into()).or_default();
    if numbers.last() != Some(&number) {
        numbers.push(number);
    }
}

fn among(all: &[u32], own: &[u32]) -> Vec<u32> {
    all.iter().copied().filter(|number| own.binary_search(number).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(hosts: &[&str], ports: &str) -> Application {
        let mut specs = Vec::new();
        PortSpec::parse_into(ports, &mut specs).unwrap();
        let hosts = hosts.iter().map(|host| Host::parse(host).unwrap()).collect();
        Application { name: hosts_name(ports), hosts, ports: specs, description: None }
    }

    fn hosts_name(ports: &str) -> String {
        format!("app-{ports}")
    }

    fn access() -> Access {
        Access::new(&[
            application(&["wiki.corp"], "tcp/443"),
            application(&["*.corp"], "tcp/22"),
            application(&["wiki.corp", "10.1.0.0/16", "127.0.0.1"], "tcp/80"),
            application(&["*.eng.corp", "10.1.2.3"], "udp/53"),
        ])
    }

    #[test]
    fn the_most_specific_pattern_of_the_peers_own_applications_counts() {
        let access = access();
        for (own, name, expected) in [
            (&[0, 1, 2, 3][..], "wiki.corp", &[0, 2][..]),
            (&[1, 3], "wiki.corp", &[1]),
            (&[0, 1], "git.corp", &[1]),
            (&[1, 3], "a.b.eng.corp", &[3]),
            (&[1], "a.b.eng.corp", &[1]),
            (&[1, 3], "eng.corp", &[1]),
            (&[1, 3], "corp", &[]),
            (&[0], "git.corp", &[]),
            (&[0], "xwiki.corp", &[]),
            (&[], "wiki.corp", &[]),
        ] {
            assert_eq!(access.covering(own, name), expected, "{own:?} {name}");
        }
    }

    #[test]
    fn ancestors_of_a_granted_name_exist() {
        let access = access();
        for (own, name, expected) in [
            (&[0][..], "corp", true),
            (&[0], "", true),
            (&[3], "eng.corp", true),
            (&[3], "other.corp", false),
            (&[0], "orp", false),
            (&[], "corp", false),
        ] {
            assert_eq!(access.has_below(own, name), expected, "{own:?} {name}");
        }
    }

    #[test]
    fn an_application_covers_by_any_of_its_patterns() {
        let access = access();
        assert!(access.all_cover(&[1], "wiki.corp") && access.all_cover(&[0, 2], "wiki.corp"));
        assert!(!access.all_cover(&[0, 3], "wiki.corp") && !access.all_cover(&[9], "wiki.corp"));
    }

    #[test]
    fn a_listed_address_counts_for_its_own_ports_only() {
        let access = access();
        let listing = |own: &[u32], address: &str, service| {
            access.listing(own, address.parse().unwrap(), Some(service)).map(|range| range.to_string())
        };
        assert_eq!(listing(&[2, 3], "10.1.2.3", Service::Tcp(80)).as_deref(), Some("10.1.0.0/16"));
        assert_eq!(listing(&[2, 3], "10.1.2.3", Service::Udp(53)).as_deref(), Some("10.1.2.3/32"));
        assert_eq!(listing(&[2], "127.0.0.1", Service::Tcp(80)).as_deref(), Some("127.0.0.1/32"));
        assert_eq!(listing(&[2], "127.0.0.1", Service::Tcp(81)), None);
        assert_eq!(listing(&[3], "127.0.0.1", Service::Tcp(80)), None);
        assert_eq!(listing(&[2], "10.1.2.3", Service::Echo), None);
    }
}
