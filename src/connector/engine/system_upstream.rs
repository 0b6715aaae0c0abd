//! Queries that are not ours to answer: passed unchanged to the physical links' servers, on sockets outside the tunnel.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns::Transport;
use platform::socket_protect::protect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A query is given up after this long; the resolver has asked the next server before.
const PATIENCE: Duration = Duration::from_secs(6);
/// Sockets at one time. Below the usual limit of 1,024 files a process.
const MOST_SOCKETS: usize = 512;
/// Largest answer over UDP in bytes.
const LARGEST_DATAGRAM: usize = 65_535;

/// What came of a query.
pub(super) struct Reply {
    pub(super) query: u64,
    pub(super) server: SocketAddr,
    pub(super) result: io::Result<Vec<u8>>,
}

/// The queries under way.
pub(super) struct SystemUpstream {
    mark: u32,
    sender: mpsc::Sender<Reply>,
    receiver: mpsc::Receiver<Reply>,
    under_way: usize,
}

impl SystemUpstream {
    pub(super) fn new(mark: u32) -> Self {
        // room for all: a task never waits for the loop
        let (sender, receiver) = mpsc::channel(MOST_SOCKETS + 1);
        Self { mark, sender, receiver, under_way: 0 }
    }

    /// Sends a query on a socket of its own, so that its port is as unpredictable as its id.
    pub(super) fn send(&mut self, query: u64, server: SocketAddr, transport: Transport, payload: Vec<u8>) {
        if self.under_way >= MOST_SOCKETS {
            return; // the resolver's own timer fails it
        }
        self.under_way += 1;
        let (sender, mark) = (self.sender.clone(), self.mark);
        tokio::spawn(async move {
            let answer = async {
                match transport {
                    Transport::Udp => ask_udp(server, mark, &payload).await,
                    Transport::Tcp => ask_tcp(server, mark, &payload).await,
                }
            };
            let result =
                timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let _ = sender.send(Reply { query, server, result }).await; // the engine is gone: so is the question
        });
    }

    /// The next reply.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        let reply = self.receiver.recv().await;
        self.under_way = self.under_way.saturating_sub(1);
        reply
    }
}

async fn ask_udp(server: SocketAddr, mark: u32, payload: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(any_port(server)).await?;
    protect(&socket, mark)?;
    socket.connect(server).await?;
    socket.send(payload).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // another id is a forgery or an answer to nobody
        if length >= 2 && buffer[..2] == payload[..2] {
            buffer.truncate(length);
            buffer.shrink_to_fit();
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, mark: u32, payload: &[u8]) -> io::Result<Vec<u8>> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    protect(&socket, mark)?;
    let mut stream = socket.connect(server).await?;
    let length = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), payload].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn any_port(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
