//! One UDP flow: a connected socket, by which the engine sends and this task receives.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use netstack::gateway::{Close, FlowFacts, FlowId};
use tokio::net::UdpSocket;

use super::{Shared, tcp};
use crate::gateway::access::Service;
use crate::gateway::job::{Dialed, Order};
use crate::gateway::roster::PeerFacts;

/// Largest datagram, in bytes.
const LARGEST: usize = 65_535;

thread_local! {
    /// Datagrams are received here, so that an idle flow holds no buffer.
    static BUFFER: std::cell::RefCell<Box<[u8]>> = std::cell::RefCell::new(vec![0; LARGEST].into_boxed_slice());
}

/// Carries what comes back until the engine says that the flow is over.
pub(super) async fn carry(shared: Shared, flow: FlowId, facts: FlowFacts, peer: Arc<PeerFacts>) {
    let service = Service::Udp(facts.destination.port());
    let names = &shared.names;
    let target =
        names.lookout.target(&names.addresses, &shared.roster, &peer, facts.destination.ip(), service).await;
    let target = match target {
        Ok(target) => target,
        Err(why) => return shared.close(flow, Close::Prohibited, why.code(), None).await,
    };
    let Some(share) = shared.reserve(&peer) else {
        return shared.close(flow, Close::Refused, "buffers_full", target.name).await;
    };
    match open(&target.addresses, facts.destination.port()).await {
        Ok((socket, sender, address)) => {
            share.limit(&socket);
            let dialed = Dialed { name: target.name.clone(), address };
            shared.order(Order::Socket(flow, Arc::new(sender), dialed)).await;
            let error = receive(&shared, flow, &socket).await;
            let (how, code) = tcp::explain(&error);
            shared.close(flow, how, code, target.name).await;
        }
        Err(error) => {
            let (how, code) = tcp::explain(&error);
            shared.close(flow, how, code, target.name).await;
        }
    }
}

/// A socket connected to the first address that there is a way to, for here and for the engine.
async fn open(addresses: &[IpAddr], port: u16) -> io::Result<(UdpSocket, std::net::UdpSocket, IpAddr)> {
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    for address in addresses {
        match connect(SocketAddr::new(*address, port)).await {
            Ok((socket, sender)) => return Ok((socket, sender, *address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect(remote: SocketAddr) -> io::Result<(UdpSocket, std::net::UdpSocket)> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(remote).await?;
    let socket = socket.into_std()?;
    let sender = socket.try_clone()?;
    Ok((UdpSocket::from_std(socket)?, sender))
}

/// Ends with the error that says that the other side is gone.
async fn receive(shared: &Shared, flow: FlowId, socket: &UdpSocket) -> io::Error {
    loop {
        if let Err(error) = socket.readable().await {
            return error;
        }
        let received = BUFFER.with_borrow_mut(|buffer| {
            let length = socket.try_recv(buffer)?;
            Ok::<_, io::Error>(buffer.get(..length).unwrap_or_default().to_vec())
        });
        match received {
            Ok(datagram) => shared.order(Order::Datagram(flow, datagram)).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return error,
        }
    }
}
