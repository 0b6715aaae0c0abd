//! UDP ASSOCIATE: datagrams of one client to any number of hosts, as long as its connection stays.

mod hosts;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::datagram;
use super::handshake::Version;
use super::reply::{Code, encode};
use crate::dialer::{DialError, Protocol};
use crate::proxy::outbound::{Outbound, Route};
use crate::proxy::owner::{self, Owner};
use crate::proxy::refusal::Refused;
use crate::proxy::shared::Client;
use crate::proxy::target::Target;
use hosts::{Hosts, Way};

/// Longest datagram, with the longest header before it.
const ROOM: usize = 65_535 + datagram::LONGEST_HEADER;
/// The socket that sends to us is looked up again after so long: its port may have changed hands.
const OWNER_HOLDS: Duration = Duration::from_secs(1);
/// Names that are looked up at a time; what is sent to others meanwhile is lost, as datagrams may be.
const MOST_LOOK_UPS: usize = 64;
/// Errors without a datagram between them after which a socket toward the hosts is taken for broken.
const MOST_FAILURES: usize = 16;

/// Serves an association until its connection ends. `port` is where the client will send from; 0: it does not say.
///
/// # Errors
/// The system's, for the connection or the client's socket.
pub(super) async fn serve(mut stream: TcpStream, client: &Client, port: u16) -> io::Result<()> {
    let near = UdpSocket::bind((stream.local_addr()?.ip(), 0)).await?;
    stream.write_all(&encode(Version::Five, Code::Succeeded, near.local_addr()?)).await?;
    let mut association = Association {
        near,
        peer: Peer {
            address: stream.peer_addr()?.ip(),
            port: (port != 0).then_some(port),
            owner: client.owner,
            checked: None,
        },
        outbound: client.shared.outbound.clone(),
        client,
        hosts: Hosts::default(),
        look_ups: JoinSet::new(),
    };
    tokio::select! {
        ended = association.work() => ended,
        ended = until_end(&mut stream) => ended,
    }
}

struct Association<'a> {
    near: UdpSocket,
    peer: Peer,
    outbound: Outbound,
    client: &'a Client,
    hosts: Hosts,
    look_ups: JoinSet<Found>,
}

/// A look-up that has ended.
struct Found {
    /// As the client wrote the address.
    address: Vec<u8>,
    route: Result<(SocketAddr, Way), Refused>,
}

/// Who sends to us.
struct Peer {
    address: IpAddr,
    /// Known from the first datagram on.
    port: Option<u16>,
    owner: Owner,
    checked: Option<Instant>,
}

impl Association<'_> {
    async fn work(&mut self) -> io::Result<()> {
        let mut near_buffer = vec![0; ROOM];
        let mut far_buffer = vec![0; ROOM];
        let mut failures = 0;
        let mut settings = self.outbound.settings.clone();
        settings.mark_unchanged();
        loop {
            tokio::select! {
                received = self.near.recv_from(&mut near_buffer) => match received {
                    Ok((length, from)) if self.peer.is(from) => self.send(&near_buffer[..length]).await,
                    Ok(_) => {}
                    // an earlier reply found nobody: the client may still come back
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                },
                received = self.hosts.receive(&mut far_buffer[datagram::LONGEST_HEADER..]) => match received {
                    Ok((from, length)) => {
                        failures = 0;
                        self.deliver(from, length, &mut far_buffer).await;
                    }
                    Err(error) if failures >= MOST_FAILURES => return Err(error),
                    Err(_) => failures += 1,
                },
                Some(found) = self.look_ups.join_next() => self.note(found).await,
                Ok(()) = settings.changed() => {
                    self.look_ups.abort_all();
                    self.hosts.forget_direct();
                }
            }
        }
    }

    /// A datagram of the client.
    async fn send(&mut self, octets: &[u8]) {
        let Some(datagram) = datagram::parse(octets) else { return };
        if self.hosts.send(datagram.address, datagram.payload).await || self.look_ups.len() >= MOST_LOOK_UPS {
            return;
        }
        let address = datagram.address.to_vec();
        if self.hosts.wait(&address, datagram.payload) {
            self.look_ups.spawn(find(self.outbound.clone(), datagram.target, address));
        }
    }

    /// A datagram of a host, behind room for the header.
    async fn deliver(&mut self, from: SocketAddr, length: usize, buffer: &mut [u8]) {
        let Some(port) = self.peer.port else { return };
        let Some(address) = self.hosts.address_of(from) else { return };
        let header = datagram::header(address);
        let start = datagram::LONGEST_HEADER - header.len();
        buffer[start..datagram::LONGEST_HEADER].copy_from_slice(&header);
        let datagram = &buffer[start..datagram::LONGEST_HEADER + length];
        // A client that is gone, or a datagram that is too long with its header, is lost.
        let _ = self.near.send_to(datagram, (self.peer.address, port)).await;
    }

    async fn note(&mut self, found: Result<Found, tokio::task::JoinError>) {
        let Ok(Found { address, route }) = found else { return };
        match route {
            Ok((to, way)) => self.hosts.open(&self.outbound.dialer, address, to, way).await,
            Err(refused) => {
                self.client.count(&refused);
                self.hosts.refuse(address);
            }
        }
    }
}

impl Peer {
    /// Whether a datagram comes from the client: from its address, its port once known, and a socket of its user.
    fn is(&mut self, from: SocketAddr) -> bool {
        if from.ip() != self.address || self.port.is_some_and(|port| port != from.port()) {
            return false;
        }
        let now = Instant::now();
        if self.checked.is_none_or(|checked| now.duration_since(checked) > OWNER_HOLDS) {
            if self.owner.caller().is_none() || owner::of_udp(from) != self.owner {
                return false;
            }
            self.checked = Some(now);
        }
        self.port = Some(from.port());
        true
    }
}

/// Where datagrams to `target` go, if policy lets them.
async fn find(outbound: Outbound, target: Target, address: Vec<u8>) -> Found {
    let route = async {
        match outbound.route(&target.host, target.port).await? {
            Route::Protected(addresses) => {
                let address = *addresses.first().ok_or(DialError::NotFound)?;
                outbound.dialer.judge(address, target.port, Protocol::Udp).await?;
                Ok((SocketAddr::new(address, target.port), Way::Protected))
            }
            Route::Direct(addresses) => {
                let address = *addresses.first().ok_or(DialError::NotFound)?;
                Ok((SocketAddr::new(address, target.port), Way::Direct))
            }
        }
    };
    Found { route: route.await, address }
}

/// The connection carries nothing more: what is read is dropped until its end.
async fn until_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut nothing = [0; 64];
    while stream.read(&mut nothing).await? > 0 {}
    Ok(())
}
