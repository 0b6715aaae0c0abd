//! The kernel forwards for peers, hides them, and stops when it is undone.

use std::{fs, io, net::IpAddr, time::Duration};

use platform::{
    firewall::{FirewallTable, Masquerade},
    forwarding,
    netlink::{Netlink, Route},
    setting::SettingChange,
    tun::{Tun, TunConfig, VNET_HEADER_LEN},
    undo::{Outcome, Undo},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::namespace::{in_namespace, run};

const LIMIT: Duration = Duration::from_secs(10);
const PEER: [u8; 4] = [10, 7, 0, 2];
const HOST: [u8; 4] = [10, 9, 0, 1];
const DEVICE: [u8; 4] = [10, 9, 0, 254];

fn tun(prefix: &str, address: [u8; 4], behind: &str) -> Tun {
    let tun = Tun::open(&TunConfig { name_prefix: prefix.into(), mtu: 1420, force_plain: true }).unwrap();
    let mut netlink = Netlink::open().unwrap();
    netlink.bring_up(tun.index()).unwrap();
    netlink.add_address(tun.index(), IpAddr::from(address)).unwrap();
    netlink.replace_route(&Route::into_link(behind.parse().unwrap(), 254, tun.index(), None)).unwrap();
    tun
}

/// A UDP datagram without checksum of its own (RFC 768), behind an empty header.
fn datagram(source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(ports.map(u16::to_be_bytes).as_flattened());
    packet.extend([0, 12, 0, 0]);
    packet.extend(b"ping");
    [vec![0; VNET_HEADER_LEN], packet].concat()
}

/// Source, destination and ports of the next packet.
fn next(tun: &Tun) -> ([u8; 4], [u8; 4], [u16; 2]) {
    let mut descriptors = [PollFd::new(tun, PollFlags::IN)];
    let limit = Timespec::try_from(LIMIT).unwrap();
    assert_eq!(poll(&mut descriptors, Some(&limit)).unwrap(), 1, "nothing came");
    let mut frame = [0; 2048];
    let length = tun.recv(&mut frame).unwrap();
    let packet = &frame[VNET_HEADER_LEN..length];
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (packet[12..16].try_into().unwrap(), packet[16..20].try_into().unwrap(), [port(20), port(22)])
}

fn is_silent(tun: &Tun) -> bool {
    matches!(tun.recv(&mut [0; 2048]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
}

fn table() -> FirewallTable {
    FirewallTable { name: "openztna_test".to_owned() }
}

#[test]
fn peers_are_hidden_and_only_answers_come_back() {
    in_namespace(|| {
        set("ipv4/ip_forward", "0");
        let peers = tun("gw", [10, 7, 0, 1], "10.7.0.0/24");
        let inside = tun("in", DEVICE, "10.9.0.0/24");
        for change in forwarding::plan(false).unwrap() {
            change.apply().unwrap();
        }
        let sources = vec!["10.7.0.0/24".parse().unwrap()];
        let masquerade = Masquerade { link: peers.name().to_owned(), sources, nothing_else: true };
        table().write(&masquerade).unwrap();
        table().write(&masquerade).unwrap(); // again is no more

        peers.send(&datagram(PEER, HOST, [4000, 53])).unwrap();
        let (source, destination, [port, _]) = next(&inside);
        assert_eq!((source, destination), (DEVICE, HOST));
        // A stranger's datagram to a peer comes before the answer, and does not arrive.
        inside.send(&datagram(HOST, PEER, [53, 4001])).unwrap();
        inside.send(&datagram(HOST, DEVICE, [53, port])).unwrap();
        assert_eq!(next(&peers), (HOST, PEER, [53, 4000]));
        assert!(is_silent(&peers) && is_silent(&inside));
    });
}

#[test]
fn without_the_table_what_passes_is_only_what_passed_before() {
    in_namespace(|| {
        set("ipv4/ip_forward", "0");
        let changes = forwarding::plan(true).unwrap();
        assert!(changes.iter().any(|change| change.name == "ipv6/conf/all/forwarding"));
        table()
            .write(&Masquerade { link: "gw0".to_owned(), sources: Vec::new(), nothing_else: false })
            .unwrap();
        for change in &changes {
            change.apply().unwrap();
        }
        assert!(forwarding::plan(true).unwrap().is_empty());
        assert!(run("nft", &["list", "tables"]).contains("openztna_test"));
        let undo = Undo::FirewallTable(table());
        assert_eq!(undo.apply().unwrap(), Outcome::Undone);
        assert_eq!(undo.apply().unwrap(), Outcome::AlreadyGone);
        for change in changes.iter().rev() {
            assert_eq!(Undo::Setting(change.clone()).apply().unwrap(), Outcome::Undone, "{change:?}");
        }
        assert_eq!(forwarding::plan(true).unwrap(), changes);
        assert!(!run("nft", &["list", "tables"]).contains("openztna_test"));
    });
}

#[test]
fn links_that_hear_router_advertisements_go_on_hearing_them() {
    in_namespace(|| {
        let link = tun("gw", [10, 7, 0, 1], "10.7.0.0/24");
        let name = format!("ipv6/conf/{}/accept_ra", link.name());
        set(&name, "1");
        let changes = forwarding::plan(true).unwrap();
        let change = changes.iter().find(|change| change.name == name).unwrap();
        assert_eq!(change.ours, "2");
        drop(link);
        assert_eq!(Undo::Setting(change.clone()).apply().unwrap(), Outcome::AlreadyGone);
    });
}

#[test]
fn a_setting_that_somebody_else_changed_stays() {
    in_namespace(|| {
        set("ipv4/ip_default_ttl", "64");
        assert_eq!(SettingChange::plan("ipv4/ip_default_ttl", "64").unwrap(), None);
        let change = SettingChange::plan("ipv4/ip_default_ttl", "99").unwrap().unwrap();
        change.apply().unwrap();
        set("ipv4/ip_default_ttl", "77");
        assert_eq!(Undo::Setting(change).apply().unwrap(), Outcome::LeftAlone);
        assert!(SettingChange::plan("ipv4/no_such_setting", "1").is_err());
    });
}
