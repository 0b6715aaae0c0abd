//! Whose the other end of a connection on loopback is, by the kernel's table of sockets.

mod diag;
mod table;

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// A socket as the kernel lists it; addresses that are IPv4 in IPv6 clothes are IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listed {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    uid: u32,
    /// 0 when no process has it any more; the owner is then told as 0, too, and is nobody.
    inode: u64,
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// Number of the user that has the other end of a TCP connection of this device, `None` when nobody has it any more.
///
/// `peer` is where the connection came from, `server` where it was accepted. Microseconds.
///
/// # Errors
/// The kernel tells neither over netlink (`sock_diag(7)`) nor in `/proc/net`: treat it as a stranger.
pub fn tcp_owner(peer: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let (peer, server) = (canonical(peer), canonical(server));
    let found = match diag::connection(peer, server) {
        Ok(Some(listed)) => Some(listed),
        Ok(None) if diag::works() => None,
        Ok(None) | Err(_) => table::listed(Protocol::Tcp)?
            .into_iter()
            .find(|listed| listed.local == peer && listed.remote == server),
    };
    // A listener of that port, which the kernel finds when the connection is gone, is somebody else.
    Ok(found
        .filter(|listed| listed.local == peer && listed.remote == server && listed.is_owned())
        .map(|listed| listed.uid))
}

/// Number of the user that has the UDP socket from which a datagram of this device came, `None` when nobody has it any
/// more or several do.
///
/// Two users may have sockets on one port (SO_REUSEADDR): nobody can tell then whose a datagram is. Looks through all
/// UDP sockets: ask once a source, not once a datagram.
///
/// # Errors
/// As for [`tcp_owner`].
pub fn udp_owner(source: SocketAddr) -> io::Result<Option<u32>> {
    let source = canonical(source);
    let listed = match diag::sockets_on_port(source.port()) {
        Ok(listed) if !listed.is_empty() || diag::works() => listed,
        Ok(_) | Err(_) => table::listed(Protocol::Udp)?,
    };
    let mut owners = listed
        .iter()
        .filter(|listed| listed.is_owned() && could_send_from(listed.local, source))
        .map(|listed| listed.uid);
    let first = owners.next();
    Ok(first.filter(|first| owners.all(|owner| owner == *first)))
}

impl Listed {
    /// Whether a process still has it: the rest of a closed connection (TIME_WAIT and the like) has no owner.
    fn is_owned(&self) -> bool {
        /// `TCP_TIME_WAIT`, `TCP_LISTEN`, `TCP_NEW_SYN_RECV` (Linux `tcp_states.h`).
        const NOT_ANYBODYS: [u8; 3] = [6, 10, 12];
        self.inode != 0 && !NOT_ANYBODYS.contains(&self.state)
    }
}

/// A socket that is bound to no address may send from any.
fn could_send_from(local: SocketAddr, source: SocketAddr) -> bool {
    let any = local.ip().is_unspecified() && (local.is_ipv6() || source.is_ipv4());
    local.port() == source.port() && (any || local.ip() == source.ip())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn address(words: [[u8; 4]; 4], is_ipv4: bool, port: u16) -> SocketAddr {
    if is_ipv4 {
        return SocketAddr::new(IpAddr::from(words[0]), port);
    }
    let mut bytes = [0; 16];
    for (slot, word) in bytes.iter_mut().zip(words.as_flattened()) {
        *slot = *word;
    }
    canonical(SocketAddr::new(IpAddr::from(bytes), port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn me() -> Option<u32> {
        Some(rustix::process::getuid().as_raw())
    }

    fn connection(listen: &str, connect: &str) -> (TcpStream, SocketAddr, SocketAddr) {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((connect, port)).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let server = accepted.local_addr().unwrap();
        drop(accepted);
        (client, peer, server)
    }

    #[test]
    fn both_ways_to_ask_name_the_owner_of_a_connection() {
        for (listen, connect) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")]
        {
            let listener = TcpListener::bind(listen).unwrap();
            let port = listener.local_addr().unwrap().port();
            let _client = TcpStream::connect((connect, port)).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let server = accepted.local_addr().unwrap();
            assert_eq!(tcp_owner(peer, server).unwrap(), me(), "{listen}");
            let (peer, server) = (canonical(peer), canonical(server));
            let asked = diag::connection(peer, server).unwrap().unwrap();
            let tables = table::listed(Protocol::Tcp).unwrap();
            assert!(tables.contains(&asked), "{asked:?}");
        }
    }

    #[test]
    fn what_is_closed_is_nobodys_and_never_roots() {
        let (client, peer, server) = connection("127.0.0.1:0", "127.0.0.1");
        // The accepted end closed first: this end is closed last and leaves nothing, or waits for nobody.
        drop(client);
        assert_eq!(tcp_owner(peer, server).unwrap(), None);
        assert_eq!(tcp_owner(server, peer).unwrap(), None, "the end that is in TIME_WAIT");
        assert_eq!(tcp_owner("127.0.0.1:1".parse().unwrap(), server).unwrap(), None);
    }

    #[test]
    fn a_listener_on_the_port_is_not_taken_for_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap();
        assert_eq!(tcp_owner(peer, "127.0.0.1:9".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn datagrams_have_the_owner_of_their_socket() {
        for bound in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let socket = UdpSocket::bind(bound).unwrap();
            let port = socket.local_addr().unwrap().port();
            let home = if bound.contains("::1") { "::1" } else { "127.0.0.1" };
            let source = SocketAddr::new(home.parse().unwrap(), port);
            assert_eq!(udp_owner(source).unwrap(), me(), "{bound}");
            let listed = diag::sockets_on_port(port).unwrap();
            let tables = table::listed(Protocol::Udp).unwrap();
            assert!(listed.iter().all(|listed| tables.contains(listed)), "{listed:?}");
            socket.connect((home, 9)).unwrap();
            assert_eq!(udp_owner(source).unwrap(), me(), "{bound}, connected");
            drop(socket);
            assert_eq!(udp_owner(source).unwrap(), None, "{bound}, closed");
        }
    }

    #[test]
    fn another_address_on_the_same_port_is_another_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(udp_owner(SocketAddr::from(([127, 0, 0, 2], port))).unwrap(), None);
        assert_eq!(udp_owner(SocketAddr::new("::1".parse().unwrap(), port)).unwrap(), None);
    }
}
