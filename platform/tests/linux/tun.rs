//! The TUN device against the kernel's own stack.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use platform::{
    Family,
    netlink::{Mark, Netlink, Route, Rule, RuleAction, UidRange},
    socket_protect::{FWMARK, FWMARK_MASK},
    tun::{Tun, TunConfig, VNET_HEADER_LEN},
    udp::{RecvMeta, UdpConfig, UdpEndpoint},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::namespace::{in_namespace, ip};

const NEEDS_CHECKSUM: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const LIMIT: Duration = Duration::from_secs(10);

fn config(force_plain: bool) -> TunConfig {
    TunConfig { name_prefix: "ztna".into(), mtu: 1420, force_plain }
}

fn up(tun: &Tun) {
    let mut netlink = Netlink::open().unwrap();
    netlink.bring_up(tun.index()).unwrap();
    netlink.add_address(tun.index(), IpAddr::from([100, 100, 1, 1])).unwrap();
    let route = Route::into_link("100.100.0.0/16".parse().unwrap(), 254, tun.index(), None);
    netlink.replace_route(&route).unwrap();
}

fn wait_readable(descriptor: &impl std::os::fd::AsFd) {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
    let limit = Timespec::try_from(LIMIT).unwrap();
    assert_eq!(poll(&mut descriptors, Some(&limit)).unwrap(), 1, "nothing came");
}

fn receive<'a>(tun: &Tun, buffer: &'a mut [u8]) -> (&'a [u8], &'a [u8]) {
    wait_readable(tun);
    let length = tun.recv(buffer).unwrap();
    buffer[..length].split_at(VNET_HEADER_LEN)
}

fn peer() -> SocketAddr {
    "100.100.1.2:4000".parse().unwrap()
}

#[test]
fn first_free_name_is_taken_and_the_link_goes_with_the_descriptor() {
    in_namespace(|| {
        let first = Tun::open(&config(false)).unwrap();
        let second = Tun::open(&config(false)).unwrap();
        assert_eq!((first.name(), second.name()), ("ztna0", "ztna1"));
        let shown = ip(&["-d", "link", "show", "ztna0"]);
        assert!(shown.contains("mtu 1420") && shown.contains("qlen 1000"), "{shown}");
        assert!(shown.contains("tun type tun") && shown.contains("persist off"), "{shown}");
        assert!(shown.starts_with(&format!("{}: ztna0", first.index())), "{shown}");
        drop(first);
        assert!(!ip(&["link"]).contains("ztna0"));
        assert_eq!(Tun::open(&config(false)).unwrap().name(), "ztna0");
    });
}

#[test]
fn waiting_for_nothing_would_block() {
    in_namespace(|| {
        let tun = Tun::open(&config(false)).unwrap();
        up(&tun);
        let mut buffer = [0; 2048];
        assert_eq!(tun.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn datagrams_of_one_send_come_as_one_super_packet_with_their_facts() {
    in_namespace(|| {
        let tun = Tun::open(&config(false)).unwrap();
        assert!(tun.offloads().vnet_header && tun.offloads().tcp_segmentation);
        if !tun.offloads().udp_segmentation {
            eprintln!("skipped: needs Linux 6.2");
            return;
        }
        up(&tun);
        let socket = UdpEndpoint::bind(&UdpConfig::new(Family::V4, None)).unwrap();
        socket.send(peer(), &[7; 4500], Some(1000), None).unwrap();
        let mut buffer = vec![0; 65_536 + VNET_HEADER_LEN];
        let (header, packet) = receive(&tun, &mut buffer);
        assert_eq!((header[0], header[1]), (NEEDS_CHECKSUM, GSO_UDP_L4));
        assert_eq!(u16::from_ne_bytes([header[4], header[5]]), 1000, "segment size");
        assert_eq!(u16::from_ne_bytes([header[6], header[7]]), 20, "where the checksum starts");
        assert_eq!(u16::from_ne_bytes([header[8], header[9]]), 6, "where it stands");
        assert_eq!(packet.len(), 20 + 8 + 4500);
    });
}

#[test]
fn without_offload_packets_are_whole_behind_an_empty_header() {
    in_namespace(|| {
        let tun = Tun::open(&config(true)).unwrap();
        let offloads = tun.offloads();
        assert!(!offloads.vnet_header && !offloads.tcp_segmentation && !offloads.udp_segmentation);
        up(&tun);
        let socket = UdpEndpoint::bind(&UdpConfig::new(Family::V4, None)).unwrap();
        socket.send(peer(), &[7; 2500], Some(1000), None).unwrap();
        let mut buffer = vec![0xff; 65_536 + VNET_HEADER_LEN];
        for payload in [1000, 1000, 500] {
            let (header, packet) = receive(&tun, &mut buffer);
            assert_eq!(header, [0; VNET_HEADER_LEN]);
            assert_eq!(packet.len(), 20 + 8 + payload);
            assert!(packet[28..].iter().all(|byte| *byte == 7));
        }
    });
}

#[test]
fn packets_that_are_sent_reach_a_socket_with_and_without_offload() {
    for force_plain in [false, true] {
        in_namespace(move || {
            let tun = Tun::open(&config(force_plain)).unwrap();
            up(&tun);
            let socket = UdpEndpoint::bind(&UdpConfig::new(Family::V4, None)).unwrap();
            let port = socket.local_address().unwrap().port();
            let mut frame = vec![0; VNET_HEADER_LEN];
            frame.extend(udp_packet(port, b"hello"));
            tun.send(&frame).unwrap();
            wait_readable(&socket);
            let mut bytes = [0; 2048];
            let mut metas = [RecvMeta::default()];
            assert_eq!(socket.recv(&mut [IoSliceMut::new(&mut bytes)], &mut metas).unwrap(), 1);
            assert_eq!(&bytes[..metas[0].len], b"hello");
            assert_eq!(metas[0].addr, peer());
        });
    }
}

#[test]
fn marked_sockets_never_enter_the_tunnel_that_takes_everything_else() {
    in_namespace(|| {
        const TABLE: u32 = 52_000;
        let tun = Tun::open(&config(false)).unwrap();
        up(&tun);
        let mut netlink = Netlink::open().unwrap();
        let everything = Route::into_link("0.0.0.0/0".parse().unwrap(), TABLE, tun.index(), None);
        netlink.replace_route(&everything).unwrap();
        let mut rule = Rule::new(Family::V4, 5200, RuleAction::Lookup(TABLE));
        rule.mark = Some(Mark { value: FWMARK, mask: FWMARK_MASK });
        rule.invert = true;
        netlink.add_rule(&rule).unwrap();

        let gateway: SocketAddr = "192.0.2.1:51820".parse().unwrap();
        let marked = UdpEndpoint::bind(&UdpConfig::new(Family::V4, Some(FWMARK))).unwrap();
        let error = marked.send(gateway, b"outer", None, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "there is no other way out here");
        let plain = UdpEndpoint::bind(&UdpConfig::new(Family::V4, None)).unwrap();
        plain.send(gateway, b"inner", None, None).unwrap();
        let mut buffer = [0; 2048];
        assert!(receive(&tun, &mut buffer).1.ends_with(b"inner"));
        assert_eq!(tun.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn prohibited_users_are_refused_at_once_and_others_pass() {
    in_namespace(|| {
        let tun = Tun::open(&config(false)).unwrap();
        up(&tun);
        let mut netlink = Netlink::open().unwrap();
        let mut rule = Rule::new(Family::V4, 5200, RuleAction::Prohibit);
        rule.destination = Some("100.100.0.0/16".parse().unwrap());
        rule.uids = Some(UidRange { first: 1, last: u32::MAX - 1 });
        netlink.add_rule(&rule).unwrap();
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(peer()).unwrap();
        rule.uids = Some(UidRange { first: 0, last: 0 });
        netlink.add_rule(&rule).unwrap();
        assert_eq!(socket.connect(peer()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn malformed_lengths_are_errors_and_no_panic() {
    in_namespace(|| {
        for force_plain in [false, true] {
            let tun = Tun::open(&config(force_plain)).unwrap();
            up(&tun);
            assert!(tun.send(&[0; 3]).is_err());
            assert!(tun.send(&[0; VNET_HEADER_LEN]).is_err());
            assert!(tun.recv(&mut [0; 3]).is_err());
        }
    });
}

#[test]
fn unusable_name_is_refused_with_a_hint() {
    for prefix in ["", "a/b", "much-too-long", "100%"] {
        let error = Tun::open(&TunConfig { name_prefix: prefix.into(), mtu: 1420, force_plain: false });
        assert!(error.unwrap_err().hint().unwrap().contains("letters"));
    }
}

/// An IPv4 packet with a UDP datagram from [`peer`] to this device; checksum 0 means "none" (RFC 768).
fn udp_packet(port: u16, payload: &[u8]) -> Vec<u8> {
    let total = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 100, 100, 1, 2, 100, 100, 1, 1];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&folded.to_be_bytes());
    packet.extend(4000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend((total - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
