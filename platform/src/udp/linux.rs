//! UDP sockets of Linux, through quinn-udp: many datagrams for one system call.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::{UdpConfig, UdpFacts};
use crate::{
    error::{Error, HINT_NET_ADMIN},
    family::Family,
    socket_protect,
};

/// A UDP socket of one family, non-blocking, closed on exec.
///
/// Datagrams are never fragmented: what is longer than the path is lost, so that the path can be measured with what
/// arrives (RFC 8899, section 3); many networks lose fragments anyway. Path MTU messages, which anybody can forge, are
/// ignored (`IP_PMTUDISC_PROBE`, which quinn-udp sets).
#[derive(Debug)]
pub struct UdpEndpoint {
    socket: Socket,
    state: UdpSocketState,
    has_offload: bool,
    had_segmentation: bool,
    is_halt_logged: AtomicBool,
    dropped: AtomicU64,
    too_long: AtomicU64,
}

impl UdpEndpoint {
    /// Binds the wildcard address of one family; the mark is set before.
    ///
    /// # Errors
    /// A port in use, a family that the system does not have, a mark without CAP_NET_ADMIN.
    pub fn bind(config: &UdpConfig) -> Result<Self, Error> {
        let address = wildcard(config);
        Self::open(config, address).map_err(|source| bind_error(address, source))
    }

    /// The same at one address of the configured family instead of all.
    ///
    /// # Errors
    /// As [`Self::bind`], and an address that this system does not have.
    pub fn bind_at(address: IpAddr, config: &UdpConfig) -> Result<Self, Error> {
        let address = SocketAddr::new(address, config.port);
        Self::open(config, address).map_err(|source| bind_error(address, source))
    }

    /// The local address and port.
    ///
    /// # Errors
    /// What the system answers, which it does not do for a bound socket.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Sends one datagram, or a batch of equal ones (the last may be shorter) where `segment_size` is given.
    ///
    /// A batch that the system refuses as a batch (a driver without GSO, a segment longer than the link's MTU) is sent
    /// datagram by datagram. `segment_size` must be at most 65,535 and the number of segments at most
    /// [`UdpEndpoint::max_gso_segments`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing was sent and the caller should wait. A datagram longer than the link's MTU is lost and
    /// counted, as it would be further on. Otherwise the system's answer, which concerns this
    /// datagram and not the socket (no route, refused by the firewall).
    pub fn send(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) -> io::Result<()> {
        let transmit = Transmit { destination, ecn, contents, segment_size, src_ip: None };
        if let Some(size) = segment_size.filter(|_| self.max_gso_segments() == 1) {
            return self.send_singly(&transmit, size);
        }
        let result = self.state.try_send((&self.socket).into(), &transmit);
        let Err(error) = result else { return Ok(()) };
        match (segment_size, error.raw_os_error()) {
            (Some(size), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
                if size > 0 && size < contents.len() =>
            {
                self.log_halt(&error);
                self.send_singly(&transmit, size)
            }
            _ => self.forgive_length(error),
        }
    }

    /// Receives up to [`super::BATCH_SIZE`] buffers; each may hold several datagrams of `stride` bytes (the last may be
    /// shorter). A buffer should hold 64 KiB where [`UdpEndpoint::gro_segments`] is above 1.
    ///
    /// # Errors
    /// `WouldBlock` when none waits.
    pub fn recv(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), buffers, metas)
    }

    /// Segments that one send may carry; falls to 1 when the system refuses segmentation.
    pub fn max_gso_segments(&self) -> usize {
        if self.has_offload { self.state.max_gso_segments() } else { 1 }
    }

    /// Datagrams that one received buffer may hold.
    pub fn gro_segments(&self) -> usize {
        if self.has_offload { self.state.gro_segments() } else { 1 }
    }

    /// What the socket got, and what it lost since.
    pub fn facts(&self) -> UdpFacts {
        UdpFacts {
            max_gso_segments: self.max_gso_segments(),
            gro_segments: self.gro_segments(),
            segmentation_halted: self.had_segmentation && self.max_gso_segments() == 1,
            receive_buffer: self.socket.recv_buffer_size().unwrap_or(0),
            send_buffer: self.socket.send_buffer_size().unwrap_or(0),
            dropped_datagrams: self.dropped.load(Ordering::Relaxed),
            too_long_datagrams: self.too_long.load(Ordering::Relaxed),
        }
    }

    fn open(config: &UdpConfig, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(mark) = config.mark {
            socket_protect::protect(&socket, mark)?;
        }
        if config.family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        enlarge_buffers(&socket, config);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        // quinn-udp 0.6.3 asks for timestamps, and its buffer of 96 bytes then has no room for IPv4's ECN bits behind
        // timestamp, segment size and packet info (MSG_CTRUNC); we need the bits, and nobody reads the timestamps.
        switch_off(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        if !config.offload && state.gro_segments() > 1 {
            switch_off(&socket, libc::SOL_UDP, libc::UDP_GRO)?;
        }
        Ok(Self {
            has_offload: config.offload,
            had_segmentation: config.offload && state.max_gso_segments() > 1,
            is_halt_logged: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
            socket,
            state,
        })
    }

    /// Says once that batches are given up, if that is what the refusal of one led to.
    fn log_halt(&self, refusal: &io::Error) {
        if self.facts().segmentation_halted && !self.is_halt_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!("the system refused a batch of datagrams, each is sent by itself now: {refusal}");
        }
    }

    fn send_singly(&self, batch: &Transmit<'_>, size: usize) -> io::Result<()> {
        let size = size.max(1);
        let datagrams = batch.contents.len().div_ceil(size);
        for (sent, contents) in batch.contents.chunks(size).enumerate() {
            let single = Transmit { contents, segment_size: None, ..batch.clone() };
            match self.state.try_send((&self.socket).into(), &single) {
                Ok(()) => {}
                // The caller would send the whole batch again: the rest is lost instead, as on a full link.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && sent > 0 => {
                    self.dropped.fetch_add((datagrams - sent) as u64, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => self.forgive_length(error)?,
            }
        }
        Ok(())
    }

    /// The length of a datagram is no fault of the socket.
    fn forgive_length(&self, error: io::Error) -> io::Result<()> {
        if error.raw_os_error() != Some(libc::EMSGSIZE) {
            return Err(error);
        }
        self.too_long.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl AsFd for UdpEndpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpEndpoint {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn wildcard(config: &UdpConfig) -> SocketAddr {
    match config.family {
        Family::V4 => (Ipv4Addr::UNSPECIFIED, config.port).into(),
        Family::V6 => (Ipv6Addr::UNSPECIFIED, config.port).into(),
    }
}

/// Beyond the system's limit where we are root, up to it otherwise; a smaller buffer is slower, not wrong.
fn enlarge_buffers(socket: &Socket, config: &UdpConfig) {
    if sockopt::set_socket_recv_buffer_size_force(socket, config.receive_buffer).is_err() {
        let _ = socket.set_recv_buffer_size(config.receive_buffer);
    }
    if sockopt::set_socket_send_buffer_size_force(socket, config.send_buffer).is_err() {
        let _ = socket.set_send_buffer_size(config.send_buffer);
    }
}

fn switch_off(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let off: libc::c_int = 0;
    let length = size_of_val(&off) as libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the pointer and length describe `off`, which outlives it.
    let code =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const off).cast(), length) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind_error(address: SocketAddr, source: io::Error) -> Error {
    let hint = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Some(HINT_NET_ADMIN),
        Some(libc::EADDRINUSE) => Some("another program uses this port: choose another, or 0 for any"),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => {
            Some("the system does not have this address family")
        }
        _ => None,
    };
    let error = Error::system("bind", "UDP socket", address, source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
