//! A socket for echoes: the kernel's own kind for everybody, or a raw one where that is only for root.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::message;
use crate::watch::readable;

/// Largest message, in bytes.
const LARGEST: usize = 65_535;

/// Connected to one host.
pub(super) struct EchoSocket {
    socket: AsyncFd<Socket>,
    is_ipv6: bool,
    /// Of a raw socket, which sees the replies to others too. The kernel numbers the others itself.
    identifier: Option<u16>,
}

impl EchoSocket {
    /// Opens one; must be called inside a runtime.
    ///
    /// # Errors
    /// When neither kind is permitted: `net.ipv4.ping_group_range` is closed, and there is no CAP_NET_RAW.
    pub(super) fn open(address: IpAddr) -> io::Result<Self> {
        let is_ipv6 = address.is_ipv6();
        let (domain, protocol) =
            if is_ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let (socket, identifier) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (socket, None),
            Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, Some(random()?)),
        };
        socket.set_nonblocking(true)?;
        socket.connect(&SocketAddr::new(address, 0).into())?;
        Ok(Self { socket: readable(socket)?, is_ipv6, identifier })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn send(&self, sequence: u16, payload: &[u8]) -> io::Result<()> {
        let message = message::request(self.is_ipv6, self.identifier.unwrap_or(0), sequence, payload);
        self.socket.get_ref().send(&message).map(drop)
    }

    /// The next reply: sequence number and payload.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub(super) async fn receive(&self) -> io::Result<(u16, Vec<u8>)> {
        loop {
            let mut guard = self.socket.readable().await?;
            let mut bytes = vec![0; LARGEST];
            match guard.try_io(|socket| socket.get_ref().read(&mut bytes)) {
                Ok(Ok(length)) => {
                    if let Some(reply) = bytes.get(..length).and_then(|bytes| self.read(bytes)) {
                        return Ok(reply);
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {} // nothing was there after all
            }
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
        let has_header = self.identifier.is_some() && !self.is_ipv6;
        let bytes = if has_header { message::behind_ipv4(bytes)? } else { bytes };
        let (identifier, sequence, payload) = message::reply(self.is_ipv6, bytes)?;
        let is_ours = self.identifier.is_none_or(|own| own == identifier);
        is_ours.then(|| (sequence, payload.to_vec()))
    }
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(bytes))
}
