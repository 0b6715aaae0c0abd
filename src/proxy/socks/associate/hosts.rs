//! The hosts that an association speaks with, and the sockets toward them.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use tokio::net::UdpSocket;

use crate::dialer::{Datagrams, Dialer};

/// Hosts that one association knows at a time; the one that was found first is forgotten for another.
const MOST_HOSTS: usize = 256;
/// Datagrams to one host that wait for its name to be looked up: enough for a handshake's first flight.
const MOST_WAITING: usize = 8;
/// Their octets together.
const MOST_WAITING_OCTETS: usize = 16 << 10;

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the dialer.
    Protected,
    /// By the system.
    Direct,
}

/// The hosts by the address that the client wrote, and the sockets, made when they are first of use.
#[derive(Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<Vec<u8>, Host>,
    /// Which address of the client an address of the network is.
    written: BTreeMap<SocketAddr, Vec<u8>>,
    /// In the order in which they came.
    order: VecDeque<Vec<u8>>,
    protected: [Option<Datagrams>; 2],
    direct: [Option<Datagrams>; 2],
}

enum Host {
    /// Its name is being looked up.
    Sought(Vec<Vec<u8>>),
    Known(SocketAddr, Way),
    /// It may not be reached: its datagrams are dropped.
    Refused,
}

impl Hosts {
    /// Sends to a host that is known, keeps for one that is sought, drops for one that is refused; false: it is new.
    pub(super) async fn send(&mut self, address: &[u8], payload: &[u8]) -> bool {
        match self.hosts.get_mut(address) {
            None => return false,
            Some(Host::Refused) => {}
            Some(Host::Sought(waiting)) => keep(waiting, payload),
            Some(Host::Known(to, way)) => {
                let (to, way) = (*to, *way);
                self.transmit(to, way, payload).await;
            }
        }
        true
    }

    /// Notes that a host is sought, with the first datagram for it; false: it is already.
    pub(super) fn wait(&mut self, address: &[u8], payload: &[u8]) -> bool {
        if self.hosts.contains_key(address) {
            return false;
        }
        while self.order.len() >= MOST_HOSTS {
            self.forget_first();
        }
        self.order.push_back(address.to_vec());
        self.hosts.insert(address.to_vec(), Host::Sought(vec![payload.to_vec()]));
        true
    }

    /// A host was found: what waits is sent.
    pub(super) async fn open(&mut self, dialer: &Dialer, address: Vec<u8>, to: SocketAddr, way: Way) {
        if self.make_socket(dialer, to, way).await.is_none() {
            self.refuse(address);
            return;
        }
        let Some(host) = self.hosts.get_mut(&address) else { return };
        let Host::Sought(waiting) = std::mem::replace(host, Host::Known(to, way)) else { return };
        self.written.insert(to, address);
        for payload in waiting {
            self.transmit(to, way, &payload).await;
        }
    }

    /// A host may not be reached, or not be found.
    pub(super) fn refuse(&mut self, address: Vec<u8>) {
        if let Some(host) = self.hosts.get_mut(&address) {
            *host = Host::Refused;
        }
    }

    /// Forgets what is reached directly, refused or still sought: with its next datagram each is judged anew.
    pub(super) fn forget_direct(&mut self) {
        self.hosts.retain(|_, host| match host {
            Host::Known(_, Way::Protected) => true,
            Host::Known(_, Way::Direct) | Host::Sought(_) | Host::Refused => false,
        });
        self.order.retain(|address| self.hosts.contains_key(address));
        self.written.retain(|_, address| self.hosts.contains_key(address));
        self.direct = [None, None];
    }

    /// How the client wrote an address that it has sent to.
    pub(super) fn address_of(&self, from: SocketAddr) -> Option<&[u8]> {
        self.written.get(&from).map(Vec::as_slice)
    }

    /// Waits for a datagram of any host.
    ///
    /// # Errors
    /// The system's, which may be about an earlier datagram.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(SocketAddr, usize)> {
        let (length, from) = poll_fn(|context| self.poll_sockets(context, buffer)).await?;
        Ok((SocketAddr::new(from.ip().to_canonical(), from.port()), length))
    }

    fn poll_sockets(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        for socket in self.protected.iter().chain(&self.direct).flatten() {
            if let Poll::Ready(received) = socket.poll_recv_from(context, buffer) {
                return Poll::Ready(received);
            }
        }
        Poll::Pending
    }

    async fn transmit(&self, to: SocketAddr, way: Way, payload: &[u8]) {
        let sockets = match way {
            Way::Protected => &self.protected,
            Way::Direct => &self.direct,
        };
        if let Some(socket) = &sockets[usize::from(to.is_ipv6())] {
            // What an earlier datagram met, such as a port that nobody listens on, or a full queue: datagrams get lost.
            let _ = socket.send_to(payload, to).await;
        }
    }

    async fn make_socket(&mut self, dialer: &Dialer, to: SocketAddr, way: Way) -> Option<()> {
        let (family, is_ipv6) = (usize::from(to.is_ipv6()), to.is_ipv6());
        match way {
            Way::Protected if self.protected[family].is_none() => {
                self.protected[family] = Some(dialer.bind_udp(is_ipv6).await.ok()?);
            }
            Way::Direct if self.direct[family].is_none() => {
                let any: IpAddr =
                    if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
                self.direct[family] = Some(Datagrams::Udp(UdpSocket::bind((any, 0)).await.ok()?));
            }
            Way::Protected | Way::Direct => {}
        }
        Some(())
    }

    fn forget_first(&mut self) {
        let Some(address) = self.order.pop_front() else { return };
        if let Some(Host::Known(to, _)) = self.hosts.remove(&address)
            && self.written.get(&to) == Some(&address)
        {
            self.written.remove(&to);
        }
    }
}

fn keep(waiting: &mut Vec<Vec<u8>>, payload: &[u8]) {
    let octets: usize = waiting.iter().map(Vec::len).sum();
    if waiting.len() < MOST_WAITING && octets + payload.len() <= MOST_WAITING_OCTETS {
        waiting.push(payload.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dialer::Catalogue;

    #[tokio::test]
    async fn what_is_reached_directly_is_judged_anew_once_it_is_forgotten() {
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (to, (dialer, _switch)) =
            (far.local_addr().unwrap(), Dialer::new(Arc::new(Catalogue::default())));
        let mut hosts = Hosts::default();
        assert!(!hosts.send(b"far", b"first").await && hosts.wait(b"far", b"first"));
        hosts.open(&dialer, b"far".to_vec(), to, Way::Direct).await;
        let mut buffer = [0; 16];
        assert_eq!(far.recv(&mut buffer).await.unwrap(), 5);
        assert!(hosts.send(b"far", b"second").await && hosts.address_of(to).is_some());
        hosts.forget_direct();
        assert!(!hosts.send(b"far", b"third").await, "it is a new host");
        assert!(hosts.address_of(to).is_none(), "its replies are no longer delivered");
    }
}
