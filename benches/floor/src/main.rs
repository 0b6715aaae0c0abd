//! The least that a tunnel can cost on this machine: one thread, every offload, one AEAD call a packet, nothing else.
//!
//! `floor LINK-PREFIX LOCAL-PORT PEER` makes a TUN, prints its name, and carries IPv4 packets between it and the peer,
//! which runs the same program. The key is fixed, and there is no handshake, no replay window, no routing table, no
//! translation and no policy: a bound for what is measured beside it, not a product.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the name of the link is this program's output")]

mod checksum;
mod inbound;
mod outbound;

use std::io::{ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, bail};
use platform::tun::{Tun, TunConfig};
use quinn_udp::{RecvMeta, UdpSocketState};
use ring::aead::{CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustix::event::{PollFd, PollFlags, poll};

use inbound::Inbound;
use outbound::Outbound;

/// Bytes before a sealed packet: type and receiver, counter; its tag takes as many behind it (WireGuard paper, 5.4.6).
const HEAD: usize = 16;
/// Bytes of the virtio header.
const VNET: usize = platform::tun::VNET_HEADER_LEN;
/// Reads of one side before the other has its turn.
const BUDGET: usize = 64;
/// Buffers of one receive call, of which each holds up to 64 datagrams.
const RECEIVE_BUFFERS: usize = 16;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [prefix, port, peer] = arguments.as_slice() else {
        bail!("usage: floor LINK-PREFIX LOCAL-PORT PEER")
    };
    let tun = Tun::open(&TunConfig { name_prefix: prefix.clone(), mtu: 1420, force_plain: false })?;
    let (socket, state) = socket(port.parse()?, peer.parse()?)?;
    println!("{}", tun.name());
    carry(&tun, &socket, &state, peer.parse()?)
}

/// A connected socket with the buffers that the connector has.
fn socket(port: u16, peer: SocketAddr) -> anyhow::Result<(UdpSocket, UdpSocketState)> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).with_context(|| format!("failed to bind port {port}"))?;
    socket.connect(peer)?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, platform::udp::BUFFER_SIZE)?;
    rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, platform::udp::BUFFER_SIZE)?;
    let state = UdpSocketState::new((&socket).into())?;
    Ok((socket, state))
}

fn carry(tun: &Tun, socket: &UdpSocket, state: &UdpSocketState, peer: SocketAddr) -> anyhow::Result<()> {
    let mut outbound = Outbound::new(key()?, peer);
    let mut inbound = Inbound::new(key()?);
    let mut frame = vec![0; 1 << 17];
    let mut buffers: Vec<Vec<u8>> = (0..RECEIVE_BUFFERS).map(|_| vec![0; 1 << 16]).collect();
    loop {
        poll(&mut [PollFd::new(tun, PollFlags::IN), PollFd::new(socket, PollFlags::IN)], None)?;
        for _ in 0..BUDGET {
            match tun.recv(&mut frame) {
                Ok(length) => outbound.take(&mut frame[..length], socket, state),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("failed to read from the TUN"),
            }
        }
        outbound.flush(socket, state);
        receive(&mut inbound, &mut buffers, socket, state, tun);
        inbound.flush(tun);
    }
}

fn receive(
    inbound: &mut Inbound,
    buffers: &mut [Vec<u8>],
    socket: &UdpSocket,
    state: &UdpSocketState,
    tun: &Tun,
) {
    let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
    let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
    let Ok(count) = state.recv(socket.into(), &mut slices, &mut metas) else { return };
    for (meta, buffer) in metas[..count].iter().zip(&mut slices) {
        for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
            inbound.take(datagram, tun);
        }
    }
}

fn key() -> anyhow::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).map_err(|_| anyhow::anyhow!("no key"))?;
    Ok(LessSafeKey::new(key))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}
