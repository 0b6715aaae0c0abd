//! Links, addresses, routes and rules are read back with `ip`.

use std::net::IpAddr;

use platform::{
    Family,
    netlink::{Mark, Netlink, Route, RouteKind, Rule, RuleAction, UidRange, facts},
    socket_protect::{FWMARK, FWMARK_MASK},
};

use crate::namespace::{in_namespace, ip, run};

const TABLE: u32 = 52_000;

/// A link with a carrier: one end of a pair whose other end is up.
fn pair(netlink: &mut Netlink, name: &str) -> u32 {
    ip(&["link", "add", name, "type", "veth", "peer", "name", "other"]);
    ip(&["link", "set", "other", "addrgenmode", "none", "up"]);
    let links = netlink.links().unwrap();
    links.iter().find(|link| link.name == name).unwrap().index
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn link_comes_up_silently_with_its_mtu_and_goes_by_name() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = pair(&mut netlink, "d0");
        netlink.set_mtu(index, 1380).unwrap();
        netlink.bring_up(index).unwrap();
        let shown = ip(&["addr", "show", "d0"]);
        assert!(shown.contains("mtu 1380") && shown.contains("UP"), "{shown}");
        assert!(!shown.contains("inet6 fe80"), "{shown}");
        let link = netlink.links().unwrap().into_iter().find(|link| link.name == "d0").unwrap();
        assert_eq!((link.kind.as_str(), link.mtu, link.up, link.loopback), ("veth", 1380, true, false));
        assert!(netlink.delete_link("d0").unwrap());
        assert!(!ip(&["link"]).contains("d0"));
        assert!(!netlink.delete_link("d0").unwrap());
    });
}

#[test]
fn host_address_brings_no_prefix_route_and_twice_is_once() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = pair(&mut netlink, "d0");
        netlink.bring_up(index).unwrap();
        for text in ["100.100.1.1", "100.100.1.1", "fd00:5a::1"] {
            netlink.add_address(index, address(text)).unwrap();
        }
        let shown = ip(&["addr", "show", "dev", "d0"]);
        assert!(shown.contains("100.100.1.1/32") && shown.contains("fd00:5a::1/128"), "{shown}");
        assert!(!shown.contains("tentative"), "{shown}");
        assert_eq!(ip(&["route", "show", "table", "main"]), "");
        assert!(!ip(&["-6", "route", "show", "table", "main"]).contains("fd00"));
        let addresses = netlink.addresses().unwrap();
        for is_there in [true, false] {
            assert_eq!(netlink.delete_address(index, address("fd00:5a::1")).unwrap(), is_there);
        }
        assert!(!ip(&["addr", "show", "dev", "d0"]).contains("fd00:5a::1"));
        let own: Vec<_> = addresses.iter().filter(|entry| entry.link == index).collect();
        assert_eq!(own.len(), 2);
        assert_eq!(own[0].address, address("100.100.1.1"));
        assert_eq!(own[0].network.to_string(), "100.100.1.1/32");
    });
}

#[test]
fn routes_go_into_a_table_of_their_own_and_come_out_again() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = pair(&mut netlink, "d0");
        netlink.bring_up(index).unwrap();
        netlink.add_address(index, address("100.100.1.1")).unwrap();
        netlink.add_address(index, address("fd00:5a::1")).unwrap();
        let v4 =
            Route::into_link("10.77.0.0/16".parse().unwrap(), TABLE, index, Some(address("100.100.1.1")));
        let v6 = Route::into_link("fd77::/16".parse().unwrap(), TABLE, index, Some(address("fd00:5a::1")));
        for route in [&v4, &v4, &v6, &v6] {
            netlink.replace_route(route).unwrap();
        }
        let shown = ip(&["route", "show", "table", "52000"]);
        assert_eq!(shown.trim(), "10.77.0.0/16 dev d0 proto 90 scope link src 100.100.1.1");
        let shown = ip(&["-6", "route", "show", "table", "52000"]);
        assert!(shown.starts_with("fd77::/16 dev d0 proto 90 src fd00:5a::1"), "{shown}");
        let ours: Vec<_> =
            netlink.routes().unwrap().into_iter().filter(|route| route.table == TABLE).collect();
        assert_eq!(ours, [v4.clone(), v6.clone()]);
        assert!(netlink.delete_route(&v4).unwrap() && netlink.delete_route(&v6).unwrap());
        assert_eq!(ip(&["route", "show", "table", "all", "proto", "90"]), "");
        assert!(!netlink.delete_route(&v4).unwrap());
    });
}

#[test]
fn rules_of_every_kind_read_back_and_only_ours_is_removed() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut lookup = Rule::new(Family::V4, 5200, RuleAction::Lookup(TABLE));
        lookup.mark = Some(Mark { value: FWMARK, mask: FWMARK_MASK });
        lookup.invert = true;
        let mut users = Rule::new(Family::V6, 5201, RuleAction::Lookup(TABLE));
        users.uids = Some(UidRange { first: 1000, last: 1001 });
        users.destination = Some("fd77::/16".parse().unwrap());
        let mut prohibit = Rule::new(Family::V4, 5202, RuleAction::Prohibit);
        prohibit.destination = Some("100.100.0.0/16".parse().unwrap());
        let mut unmarked = Rule::new(Family::V6, 5203, RuleAction::Lookup(TABLE));
        unmarked.mark = Some(Mark { value: 0, mask: FWMARK });
        for rule in [&lookup, &lookup, &users, &prohibit, &unmarked] {
            netlink.add_rule(rule).unwrap();
        }
        let v4 = ip(&["rule"]);
        assert!(
            v4.contains("5200:\tnot from all fwmark 0x5a540000/0xffff0000 lookup 52000 proto 90"),
            "{v4}"
        );
        assert!(v4.contains("5202:\tfrom all to 100.100.0.0/16 prohibit proto 90"), "{v4}");
        assert_eq!(v4.matches("5200:").count(), 1, "{v4}");
        let v6 = ip(&["-6", "rule"]);
        assert!(v6.contains("5201:\tfrom all to fd77::/16 uidrange 1000-1001 lookup 52000 proto 90"), "{v6}");
        let read = netlink.rules().unwrap();
        for rule in [&lookup, &users, &prohibit, &unmarked] {
            assert!(read.contains(rule), "{rule:?}");
        }

        // A foreign rule that looks alike has another protocol: it stays.
        ip(&["rule", "add", "prio", "5202", "to", "100.100.0.0/16", "prohibit"]);
        for rule in [&lookup, &users, &prohibit, &unmarked] {
            assert!(netlink.delete_rule(rule).unwrap());
            assert!(!netlink.delete_rule(rule).unwrap());
        }
        let left = ip(&["rule"]);
        assert!(!left.contains("proto 90") && left.contains("5202:"), "{left}");
    });
}

#[test]
fn facts_show_what_others_own() {
    in_namespace(|| {
        ip(&["link", "add", "docker0", "type", "veth"]);
        ip(&["addr", "add", "172.17.0.1/16", "dev", "docker0"]);
        ip(&["link", "set", "docker0", "up"]);
        ip(&["route", "add", "100.64.0.0/10", "dev", "docker0", "table", "52"]);
        ip(&["route", "add", "prohibit", "192.0.2.0/24"]);
        run("nft", &["add", "table", "ip", "filter"]);
        run("nft", &["add", "chain", "ip", "filter", "ts-input"]);
        let facts = facts().unwrap();
        assert!(facts.links.iter().any(|link| link.name == "docker0" && link.up));
        assert!(facts.addresses.iter().any(|entry| entry.network.to_string() == "172.17.0.0/16"));
        let claimed = facts.routes.iter().find(|route| route.table == 52).unwrap();
        assert_eq!(claimed.prefix.to_string(), "100.64.0.0/10");
        assert!(facts.routes.iter().any(|route| route.kind == RouteKind::Refused));
        assert!(facts.rules.iter().any(|rule| rule.priority == 32766));
        assert_eq!(facts.firewall_chains, ["ts-input"]);
        assert!(facts.ipv6_available);
        assert_eq!(facts.undecoded, 0);
    });
}

#[test]
fn ipv6_switched_off_is_a_fact_and_a_clear_error() {
    in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        assert!(!facts().unwrap().ipv6_available);
        let mut netlink = Netlink::open().unwrap();
        let index = pair(&mut netlink, "d0");
        netlink.bring_up(index).unwrap();
        netlink.add_address(index, address("100.100.1.1")).unwrap();
        let error = netlink.add_address(index, address("fd00:5a::1")).unwrap_err();
        assert_eq!(error.to_string(), "failed to add address: `fd00:5a::1`");
        assert_eq!(error.errno(), Some(13));
    });
}
