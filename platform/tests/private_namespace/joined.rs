//! Two private networks whose TUNs are joined: what comes out of one goes into the other, offload facts and all.

use std::{
    ffi::OsStr,
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use platform::{
    Family,
    private_namespace::{Config, Kind, PrivateNamespace, SocketBroker},
    tun::{Tun, VNET_HEADER_LEN},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockAddr, SockRef, Socket};

use crate::BROKER;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A network with these addresses.
pub(crate) fn config(addresses: &[&str], accept_any: bool) -> Config {
    Config {
        name_prefix: "ztna".to_owned(),
        mtu: 1420,
        force_plain: false,
        most_segments: Some(45),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        accept_any,
    }
}

/// The broker's arguments of this program.
pub(crate) fn arguments() -> [&'static OsStr; 1] {
    [OsStr::new(BROKER)]
}

/// A network that dials and one that accepts everything, joined until the process ends.
pub(crate) struct Joined {
    pub(crate) near: SocketBroker,
    pub(crate) far: SocketBroker,
}

pub(crate) const NEAR: [&str; 2] = ["100.100.1.1", "fd00::1"];

impl Joined {
    pub(crate) fn make() -> Self {
        let near = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap();
        let far = PrivateNamespace::open(&arguments(), &config(&["192.0.2.1"], true)).unwrap();
        assert!(near.has_ipv6 && far.has_ipv6);
        let (one, other) = (Arc::new(near.tun), Arc::new(far.tun));
        carry(Arc::clone(&one), Arc::clone(&other));
        carry(other, one);
        Self { near: near.sockets, far: far.sockets }
    }

    /// A connection from the near network to an address that nobody has, and its other end.
    pub(crate) fn connect(&self, listener: &OwnedFd, to: SocketAddr) -> (TcpStream, TcpStream) {
        let socket = self.near.socket(Kind::Tcp, Family::of(to.ip())).unwrap();
        dial(&socket, to).unwrap();
        wait(listener, PollFlags::IN);
        let (accepted, _) = SockRef::from(listener).accept().unwrap();
        wait(&socket, PollFlags::OUT);
        let near = Socket::from(socket);
        assert!(near.take_error().unwrap().is_none());
        near.set_nonblocking(false).unwrap();
        accepted.set_nonblocking(false).unwrap();
        (near.into(), accepted.into())
    }
}

/// Begins to connect.
pub(crate) fn dial(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    match SockRef::from(socket).connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn wait(descriptor: &impl AsFd, what: PollFlags) {
    assert!(waits(descriptor, what), "nothing came");
}

pub(crate) fn waits(descriptor: &impl AsFd, what: PollFlags) -> bool {
    let limit = Timespec::try_from(LIMIT).unwrap();
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor.as_fd(), what)];
    poll(&mut descriptors, Some(&limit)).unwrap() == 1
}

/// The source of the packet behind the header.
pub(crate) fn source_of(frame: &[u8]) -> IpAddr {
    let packet = &frame[VNET_HEADER_LEN..];
    match packet[0] >> 4 {
        4 => IpAddr::from(<[u8; 4]>::try_from(&packet[12..16]).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(&packet[8..24]).unwrap()),
    }
}

fn carry(from: Arc<Tun>, to: Arc<Tun>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536 + VNET_HEADER_LEN];
        loop {
            match from.recv(&mut buffer) {
                // What the other side does not take is lost, as on any network.
                Ok(length) => drop(to.send(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waits(&*from, PollFlags::IN);
                }
                Err(_) => return,
            }
        }
    });
}
