//! The kernel's sockets over netlink (`sock_diag(7)`, Linux `inet_diag.h`).

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::OnceLock,
};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_sys::protocols;

use super::{Listed, Protocol, address};
use crate::netlink::Netlink;

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;

/// Every state.
const ALL_STATES: u32 = u32::MAX;

/// `INET_DIAG_NOCOOKIE`, twice: whichever socket it is.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Bytes of `struct inet_diag_msg`: four of a byte each, the socket's name, five words.
const ANSWER_LEN: usize = 4 + 48 + 5 * 4;

/// The socket with this local and this remote address, or whatever else the kernel finds on that port.
pub(super) fn connection(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Listed>> {
    let mut netlink = Netlink::open_protocol(protocols::NETLINK_SOCK_DIAG)?;
    let request = request(family(local.ip()), Protocol::Tcp, local, remote);
    let mut found = None;
    let asked = netlink.exchange(BY_FAMILY, NLM_F_ACK, &request, &mut |_, answer| found = read(answer));
    match asked {
        Ok(_) => Ok(found),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All UDP sockets on a port, of both families.
pub(super) fn sockets_on_port(port: u16) -> io::Result<Vec<Listed>> {
    let mut netlink = Netlink::open_protocol(protocols::NETLINK_SOCK_DIAG)?;
    let mut found = Vec::new();
    for unspecified in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
        let local = SocketAddr::new(unspecified, port);
        let request = request(family(unspecified), Protocol::Udp, local, SocketAddr::new(unspecified, 0));
        let asked =
            netlink.exchange(BY_FAMILY, NLM_F_DUMP, &request, &mut |_, answer| found.extend(read(answer)));
        match asked {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(found.into_iter().filter(|listed: &Listed| listed.local.port() == port).collect())
}

/// Whether the kernel knows this way at all: without it, it answers as if the socket did not exist.
pub(super) fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let own = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
            let unspecified = SocketAddr::from(([0; 4], 0));
            connection(listener.local_addr()?, unspecified)
        });
        matches!(own, Ok(Some(_)))
    })
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, then the name of the socket.
fn request(family: u8, protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let protocol = match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    };
    let mut bytes = vec![family, protocol as u8, 0, 0];
    bytes.extend(ALL_STATES.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    bytes.extend(sixteen(local.ip()));
    bytes.extend(sixteen(remote.ip()));
    bytes.extend(0_u32.to_ne_bytes()); // any link
    bytes.extend(NO_COOKIE);
    bytes
}

/// IPv4 stands in the first four of sixteen bytes.
fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

fn read(answer: &[u8]) -> Option<Listed> {
    let answer = answer.first_chunk::<ANSWER_LEN>()?;
    let is_ipv4 = i32::from(answer[0]) == libc::AF_INET;
    let half = |at: usize| [answer[at], answer[at + 1]];
    let word = |at: usize| [answer[at], answer[at + 1], answer[at + 2], answer[at + 3]];
    let words = |at: usize| [word(at), word(at + 4), word(at + 8), word(at + 12)];
    Some(Listed {
        state: answer[1],
        local: address(words(8), is_ipv4, u16::from_be_bytes(half(4))),
        remote: address(words(24), is_ipv4, u16::from_be_bytes(half(6))),
        uid: u32::from_ne_bytes(word(64)),
        inode: u32::from_ne_bytes(word(68)).into(),
    })
}
