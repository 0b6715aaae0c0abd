//! The facts of a packet that decide which flow it belongs to.
use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpAddress, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

use super::table::FlowKey;

/// A TCP segment in a complete IP packet, seen from our side: its destination is local.
pub(super) struct Segment<'a> {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    tcp: TcpPacket<&'a [u8]>,
    header_checksum_ok: bool,
}

impl<'a> Segment<'a> {
    /// Reads the packet; gives nothing unless it is unfragmented TCP between unicast addresses. IPv6 extension headers
    /// are not walked: no TCP of ours uses any.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        // smoltcp reads the version without looking whether there is any byte.
        if packet.is_empty() {
            return None;
        }
        match IpVersion::of_packet(packet).ok()? {
            IpVersion::Ipv4 => Self::parse_v4(packet),
            IpVersion::Ipv6 => Self::parse_v6(packet),
        }
    }

    /// Whether all its checksums are right. (RFC 9293 §3.1: TCP's is mandatory.)
    pub(super) fn checksums_ok(&self) -> bool {
        let (remote, local) = (IpAddress::from(self.remote.ip()), IpAddress::from(self.local.ip()));
        self.header_checksum_ok && self.tcp.verify_checksum(&remote, &local)
    }

    /// Whether it asks for a new connection.
    pub(super) fn opens(&self) -> bool {
        self.tcp.syn() && !self.tcp.ack() && !self.tcp.rst() && !self.tcp.fin()
    }

    /// The sequence number after its SYN, if it has one: where the peer's data begins.
    pub(super) fn data_begin(&self) -> Option<TcpSeqNumber> {
        self.tcp.syn().then(|| self.tcp.seq_number() + 1)
    }

    /// The sequence number after its last byte of data.
    pub(super) fn data_end(&self) -> TcpSeqNumber {
        self.tcp.seq_number() + self.tcp.payload().len()
    }

    pub(super) fn key(&self, link: u32) -> FlowKey {
        FlowKey { link, local: self.local, remote: self.remote }
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        // smoltcp would take a fragment for a whole packet.
        if ip.more_frags() || ip.frag_offset() != 0 || ip.next_header() != IpProtocol::Tcp {
            return None;
        }
        let ok = ip.verify_checksum();
        Self::new(ip.src_addr().into(), ip.dst_addr().into(), ip.payload(), ok)
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Tcp {
            return None;
        }
        Self::new(ip.src_addr().into(), ip.dst_addr().into(), ip.payload(), true)
    }

    fn new(source: IpAddr, destination: IpAddr, payload: &'a [u8], header_checksum_ok: bool) -> Option<Self> {
        let tcp = TcpPacket::new_checked(payload).ok()?;
        let remote = SocketAddr::new(source, tcp.src_port());
        let local = SocketAddr::new(destination, tcp.dst_port());
        if !is_endpoint(&remote) || !is_endpoint(&local) {
            return None;
        }
        Some(Self { local, remote, tcp, header_checksum_ok })
    }
}

/// Whether a flow can end here: a unicast address and a port.
pub(super) fn is_endpoint(address: &SocketAddr) -> bool {
    let unicast = match address.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    unicast && address.port() != 0
}

/// The address and port alone: IPv6 flow labels and scopes are no part of a flow's identity.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
