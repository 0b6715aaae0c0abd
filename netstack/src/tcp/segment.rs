//! The facts of a packet that decide which flow it belongs to.
use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{
    IPV6_HEADER_LEN, IpAddress, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket,
    TcpSeqNumber,
};

use super::table::FlowKey;

/// A TCP segment in a complete IP packet, seen from our side: its destination is local.
pub(super) struct Segment<'a> {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    tcp: TcpPacket<&'a [u8]>,
    transport_at: usize,
    header_checksum_ok: bool,
}

/// What a peer's segment says to our sender.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    pub(super) number: Option<u32>,
    /// The field; how far it is shifted stood in the SYN.
    pub(super) window: u16,
    pub(super) has_payload: bool,
    /// What the peer has beyond the number: begin and end.
    pub(super) blocks: [Option<(u32, u32)>; 3],
    /// Of a SYN only.
    pub(super) options: Option<SynOptions>,
}

/// What a peer says of itself when a flow begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SynOptions {
    pub(super) max_segment_size: Option<u16>,
    pub(super) window_scale: Option<u8>,
    pub(super) sack_permitted: bool,
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

    pub(super) fn has_payload(&self) -> bool {
        !self.tcp.payload().is_empty()
    }

    pub(super) fn window(&self) -> u16 {
        self.tcp.window_len()
    }

    /// Where in the packet the TCP header stands.
    pub(super) fn transport_at(&self) -> usize {
        self.transport_at
    }

    pub(super) fn is_reset(&self) -> bool {
        self.tcp.rst()
    }

    /// What it says to our sender.
    pub(super) fn acknowledgement(&self) -> Acknowledgement {
        let has_options = usize::from(self.tcp.header_len()) > TCP_HEADER_LEN;
        let summary = has_options.then(|| self.tcp.options_summary().ok()).flatten().unwrap_or_default();
        Acknowledgement {
            number: self.tcp.ack().then(|| self.tcp.ack_number().0.cast_unsigned()),
            window: self.window(),
            has_payload: self.has_payload(),
            blocks: summary.sack_ranges,
            options: self.tcp.syn().then_some(SynOptions {
                max_segment_size: summary.max_segment_size,
                window_scale: summary.window_scale,
                sack_permitted: summary.sack_permitted,
            }),
        }
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
        let at = usize::from(ip.header_len());
        Self::new(ip.src_addr().into(), ip.dst_addr().into(), ip.payload(), at, ok)
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Tcp {
            return None;
        }
        Self::new(ip.src_addr().into(), ip.dst_addr().into(), ip.payload(), IPV6_HEADER_LEN, true)
    }

    fn new(
        source: IpAddr,
        destination: IpAddr,
        payload: &'a [u8],
        transport_at: usize,
        header_checksum_ok: bool,
    ) -> Option<Self> {
        let tcp = TcpPacket::new_checked(payload).ok()?;
        let remote = SocketAddr::new(source, tcp.src_port());
        let local = SocketAddr::new(destination, tcp.dst_port());
        if !is_endpoint(&remote) || !is_endpoint(&local) {
            return None;
        }
        Some(Self { local, remote, tcp, transport_at, header_checksum_ok })
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
