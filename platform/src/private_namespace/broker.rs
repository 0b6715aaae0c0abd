//! The broker: the process inside, which makes the network and then sockets in it until its parent is gone.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, move_into_link_name_space, set_capabilities,
        set_no_new_privs, unshare_unsafe,
    },
};
use socket2::{SockAddr, SockRef};

use super::{
    Config, Kind,
    network::Network,
    wire::{self, Answer, Failure, MOST_DESCRIPTORS, Place, Request, Step},
};
use crate::{Family, process};

/// Where TUNs come from.
const DEVICE: &str = "/dev/net/tun";

/// Connections that a listener holds until they are accepted; the kernel's own limit is set to the same.
const BACKLOG: i32 = 4096;

/// The broker's own `main`: serves the process that started it, and ends with it.
///
/// To be called first thing in the program, before a runtime or a thread is started: a process with threads may not
/// move into a user namespace. There is no signal to be sent when the parent dies, since that one comes when the
/// *thread* ends that started us; the closing of the channel cannot be missed.
pub fn broker_main() -> ExitCode {
    let served = process::detach().and_then(|()| serve(io::stdin().as_fd()));
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Answers requests until the channel closes.
fn serve(channel: BorrowedFd<'_>) -> io::Result<()> {
    let mut network = None;
    while let Some(received) = wire::receive(channel)? {
        let (answer, descriptors) = match (received.message, &mut network) {
            (Request::Prepare(config), None) => prepare(&config).map(|(made, answer, descriptors)| {
                network = Some(made);
                (answer, descriptors)
            }),
            (Request::Resume(place), None) => resume(place, &received.descriptors).map(|adopted| {
                network = Some(adopted);
                (Answer::Done, Vec::new())
            }),
            (Request::Prepare(_) | Request::Resume(_), Some(_)) => {
                Err(refused("prepared already", libc::EALREADY))
            }
            (_, None) => Err(refused("nothing is prepared", libc::EINVAL)),
            (request, Some(network)) => fulfil(request, network),
        }
        .unwrap_or_else(|failure| (Answer::Failed(failure), Vec::new()));
        wire::send(channel, &answer, &descriptors)?;
    }
    Ok(())
}

/// The TUN comes first of the descriptors, then the namespaces for [`resume`].
fn prepare(config: &Config) -> Result<(Network, Answer, Vec<OwnedFd>), Failure> {
    // Looked at from outside: inside, each refusal would look the same.
    OpenOptions::new().read(true).write(true).open(DEVICE).map_err(|error| Failure {
        step: Step::Device,
        errno: error.raw_os_error().unwrap_or(0),
        text: format!("failed to open device: `{DEVICE}`"),
    })?;
    let namespaces = move_inside().map_err(|error| Failure {
        step: Step::Namespace,
        errno: error.raw_os_error().unwrap_or(0),
        text: "failed to make namespace: `user, network`".to_owned(),
    })?;
    let (network, tun) = Network::make(config).map_err(|error| Failure {
        step: Step::Network,
        errno: error.errno().unwrap_or(0),
        text: error.to_string(),
    })?;
    give_up_rights().map_err(|error| failed(Step::Network, "failed to give up rights: `broker`", &error))?;
    let answer = Answer::Prepared {
        name: tun.name().to_owned(),
        index: tun.index(),
        offloads: tun.offloads(),
        has_ipv6: network.has_ipv6,
    };
    Ok((network, answer, std::iter::once(tun.into_descriptor()).chain(namespaces).collect()))
}

/// Goes on where another broker has ended: in its namespaces, with the TUN that our parent has kept.
fn resume(place: Place, namespaces: &[OwnedFd]) -> Result<Network, Failure> {
    let entered = namespaces.iter().try_for_each(|one| move_into_link_name_space(one.as_fd(), None));
    entered.map_err(|error| {
        failed(Step::Namespace, "failed to enter namespace: `user, network`", &error.into())
    })?;
    let network = Network::adopt(place)?;
    give_up_rights().map_err(|error| failed(Step::Network, "failed to give up rights: `broker`", &error))?;
    Ok(network)
}

/// Answers with the namespaces, in the order in which they can be entered. Users are not mapped: nothing inside is a
/// file, and the right to change the network comes without it.
fn move_inside() -> io::Result<Vec<OwnedFd>> {
    // SAFETY: descriptors stay shared with nobody: this process has one thread, and FILES is not among the flags.
    match unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) } {
        Ok(()) => own_namespaces(&["user", "net"]),
        Err(error) => {
            // Root may do without the user namespace, where those are switched off.
            // SAFETY: as above.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|_| error)?;
            own_namespaces(&["net"])
        }
    }
}

/// Those that this process is in (namespaces(7)).
fn own_namespaces(kinds: &[&str]) -> io::Result<Vec<OwnedFd>> {
    kinds.iter().map(|kind| Ok(File::open(format!("/proc/self/ns/{kind}"))?.into())).collect()
}

/// What is left is needed for listeners: foreign addresses and low ports.
fn give_up_rights() -> io::Result<()> {
    let kept = CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE;
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?)
}

fn fulfil(request: Request, network: &mut Network) -> Result<(Answer, Vec<OwnedFd>), Failure> {
    let descriptors = match request {
        Request::Sockets { kind, family, count } => sockets(kind, family, count)?,
        Request::Listen { family, port } => vec![listen(family, port)?],
        Request::SetAddresses(addresses) => network.set_addresses(addresses).map(|()| Vec::new())?,
        Request::SetMtu(mtu) => network.set_mtu(mtu).map(|()| Vec::new())?,
        Request::Prepare(_) | Request::Resume(_) => {
            return Err(refused("prepared already", libc::EALREADY));
        }
    };
    Ok((Answer::Done, descriptors))
}

/// As many as there are descriptors for, and one at least.
fn sockets(kind: Kind, family: Family, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut made = Vec::new();
    for _ in 0..count.min(MOST_DESCRIPTORS) {
        match socket(kind, family) {
            Ok(socket) => made.push(socket),
            Err(error) if made.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(made)
}

fn socket(kind: Kind, family: Family) -> io::Result<OwnedFd> {
    let domain = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let kind = match kind {
        Kind::Tcp => SocketType::STREAM,
        Kind::Udp => SocketType::DGRAM,
    };
    Ok(socket_with(domain, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// A listener for every destination, which is why it is transparent: it answers with addresses that no link has.
fn listen(family: Family, port: u16) -> io::Result<OwnedFd> {
    let socket = socket(Kind::Tcp, family)?;
    let options = SockRef::from(&socket);
    options.set_reuse_address(true)?;
    // The same flag of the socket for both families.
    options.set_ip_transparent_v4(true)?;
    let address = match family {
        Family::V4 => SockAddr::from(std::net::SocketAddr::from(([0; 4], port))),
        Family::V6 => SockAddr::from(std::net::SocketAddr::from(([0; 16], port))),
    };
    if family == Family::V6 {
        options.set_only_v6(true)?;
    }
    options.bind(&address)?;
    options.listen(BACKLOG)?;
    Ok(socket)
}

fn failed(step: Step, text: &str, error: &io::Error) -> Failure {
    Failure { step, errno: error.raw_os_error().unwrap_or(0), text: text.to_owned() }
}

fn refused(text: &str, errno: i32) -> Failure {
    failed(Step::Request, text, &io::Error::from_raw_os_error(errno))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        failed(Step::Request, "failed to make socket: `private network`", &error)
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self { step: Step::Request, errno: error.errno().unwrap_or(0), text: error.to_string() }
    }
}
