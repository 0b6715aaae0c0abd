//! Changes that another program makes with `ip` and `nft` are told, and those that do not matter are not.

use std::net::IpAddr;

use platform::IpPrefix;
use platform::net_monitor::{Changes, FirewallMonitor, Interests, NetMonitor};
use platform::netlink::{Netlink, Way};

use crate::namespace::{in_namespace, ip, run};

const TABLE: u32 = 52_000;

/// `d0` is the link of the device's traffic, `own` stands for the TUN.
fn links() -> (Netlink, Interests) {
    let mut netlink = Netlink::open().unwrap();
    for (name, other) in [("d0", "d1"), ("own", "own1")] {
        ip(&["link", "add", name, "type", "veth", "peer", "name", other]);
        // what comes up by itself a moment later is a link only, and neither an address nor a route
        ip(&["link", "set", name, "addrgenmode", "none", "up"]);
        ip(&["link", "set", other, "addrgenmode", "none", "up"]);
    }
    let links = netlink.links().unwrap();
    let index = |name: &str| links.iter().find(|link| link.name == name).unwrap().index;
    let prefixes = vec![prefix("100.70.0.0/16"), prefix("203.0.113.7/32")];
    let interests =
        Interests { own_link: index("own"), own_table: TABLE, links: vec![index("d0")], prefixes };
    (netlink, interests)
}

fn prefix(text: &str) -> IpPrefix {
    text.parse().unwrap()
}

#[test]
fn what_matters_is_told_and_the_rest_is_not() {
    in_namespace(|| {
        let (_, interests) = links();
        let monitor = NetMonitor::new().unwrap();
        let told = |command: &str| {
            ip(&command.split_whitespace().collect::<Vec<_>>());
            monitor.drain(&interests).unwrap()
        };
        assert!(told("addr add 192.0.2.2/24 dev d0").address);
        let change = told("route add default via 192.0.2.1");
        assert!(change.route && !change.interrupted, "{change:?}");
        assert!(!told("route add 10.1.0.0/16 via 192.0.2.1").route, "nobody's business");
        assert!(told("route add 100.64.0.0/10 via 192.0.2.1").route, "it touches the pool");
        assert!(told("route add 203.0.113.0/24 via 192.0.2.9").route, "an endpoint is behind it");
        assert!(told("rule add to 10.9.0.0/16 lookup 7").rule);
        let change = told("route del default via 192.0.2.1");
        assert!(change.route && change.interrupted, "{change:?}");
        assert!(told("addr del 192.0.2.2/24 dev d0").interrupted);
        let change = told("link set d0 down");
        assert!(change.link && change.interrupted, "{change:?}");
    });
}

#[test]
fn of_our_own_only_what_is_taken_away_is_told() {
    in_namespace(|| {
        let (_, interests) = links();
        let monitor = NetMonitor::new().unwrap();
        let told = |command: &str| {
            ip(&command.split_whitespace().collect::<Vec<_>>());
            monitor.drain(&interests).unwrap()
        };
        assert!(!told("addr add 100.70.0.1/32 dev own").address);
        assert!(!told("route add 100.70.0.0/16 dev own table 52000").route);
        assert!(!told("rule add pref 5150 lookup 52000").rule);
        assert!(told("rule del pref 5150").rule);
        assert!(told("route del 100.70.0.0/16 dev own table 52000").route);
        assert!(told("addr del 100.70.0.1/32 dev own").address);
        let change = told("link set own down");
        assert!(change.link && !change.interrupted, "{change:?}");
    });
}

#[test]
fn a_flood_that_overflows_means_that_everything_may_have_changed() {
    in_namespace(|| {
        let (_, interests) = links();
        let monitor = NetMonitor::new().unwrap();
        let routes: String = (0..30_000)
            .map(|n: u32| format!("route add 10.{}.{}.{}/32 dev d0\n", n >> 16, n >> 8 & 255, n & 255))
            .collect();
        let batch = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(batch.path(), routes).unwrap();
        ip(&["-batch", batch.path().to_str().unwrap()]);
        assert_eq!(monitor.drain(&interests).unwrap(), Changes::EVERYTHING);
        while monitor.drain(&interests).unwrap().any() {}
    });
}

#[test]
fn the_kernels_way_to_an_address_is_told() {
    in_namespace(|| {
        let (mut netlink, interests) = links();
        let endpoint: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!(netlink.way_to(endpoint, 0).unwrap(), None);
        assert_eq!(netlink.way_to("2001:db8::1".parse().unwrap(), 0).unwrap(), None);
        ip(&["addr", "add", "192.0.2.2/24", "dev", "d0"]);
        ip(&["route", "add", "default", "via", "192.0.2.1"]);
        ip(&["route", "add", "unreachable", "203.0.113.0/24", "table", "7"]);
        ip(&["rule", "add", "fwmark", "5", "lookup", "7"]);
        let link = interests.links[0];
        let gateway = "192.0.2.1".parse().ok();
        let expected = Way { link, gateway, source: "192.0.2.2".parse().ok() };
        assert_eq!(netlink.way_to(endpoint, 0).unwrap(), Some(expected));
        assert_eq!(netlink.way_to(endpoint, 5).unwrap(), None, "the mark leads elsewhere");
    });
}

#[test]
fn a_chain_of_the_given_name_is_told() {
    in_namespace(|| {
        let monitor = FirewallMonitor::new().unwrap();
        run("nft", &["add table ip filter; add chain ip filter other"]);
        assert!(!monitor.drain(&["ts-input"]).unwrap());
        run("nft", &["add chain ip filter ts-input"]);
        assert!(monitor.drain(&["ts-input"]).unwrap());
        assert!(!monitor.drain(&["ts-input"]).unwrap());
    });
}
