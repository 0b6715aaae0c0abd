//! IP packets read and written as plainly as can be, apart from the code that is tested; whatever is not right is said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA protocol numbers.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// The IPv6 fragment header (RFC 8200, section 4.5).
pub const FRAGMENT: u8 = 44;
/// ICMPv6.
pub const ICMPV6: u8 = 58;

/// TCP flags.
pub const FIN: u8 = 1;
/// Synchronise.
pub const SYN: u8 = 2;
/// Reset.
pub const RST: u8 = 4;
/// Push.
pub const PSH: u8 = 8;
/// Acknowledge.
pub const ACK: u8 = 16;

/// One IP packet without options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// Which part of a datagram it is.
    pub part: Option<Part>,
    /// Transport header and payload.
    pub body: Vec<u8>,
}

/// A fragment's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Identification.
    pub id: u32,
    /// Bytes before this part.
    pub offset: usize,
    /// Others come behind it.
    pub more: bool,
}

/// What a transport header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp(Segment),
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        /// Identifier.
        id: u16,
        /// A request, or else a reply.
        is_request: bool,
    },
    /// Any other ICMP message: type and code.
    Icmp(u8, u8),
    /// Another protocol.
    Other,
}

/// A TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segment {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags.
    pub flags: u8,
}

/// The Internet checksum (RFC 1071), two bytes at a time.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The pseudo-header of TCP, UDP and ICMPv6.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    for address in [source, destination] {
        match address {
            IpAddr::V4(v4) => bytes.extend(v4.octets()),
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
    }
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

impl Packet {
    /// A whole packet.
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8, body: Vec<u8>) -> Self {
        Self { source, destination, protocol, part: None, body }
    }

    /// A TCP segment; a SYN has an MSS option of 1,460 bytes.
    pub fn tcp(source: IpAddr, destination: IpAddr, segment: Segment, payload: &[u8]) -> Self {
        let options: &[u8] = if segment.flags & SYN != 0 { &[2, 4, 5, 180] } else { &[] };
        let mut body = Vec::with_capacity(24 + payload.len());
        body.extend(segment.source.to_be_bytes());
        body.extend(segment.destination.to_be_bytes());
        body.extend(segment.sequence.to_be_bytes());
        body.extend(segment.acknowledgement.to_be_bytes());
        body.extend([((20 + options.len()) as u8 / 4) << 4, segment.flags, 0xf0, 0, 0, 0, 0, 0]);
        body.extend(options);
        body.extend(payload);
        Self::new(source, destination, TCP, body).finished(16)
    }

    /// A UDP datagram.
    pub fn udp(source: (IpAddr, u16), destination: (IpAddr, u16), payload: &[u8]) -> Self {
        let mut body = Vec::with_capacity(8 + payload.len());
        body.extend(source.1.to_be_bytes());
        body.extend(destination.1.to_be_bytes());
        body.extend((8 + payload.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(payload);
        Self::new(source.0, destination.0, UDP, body).finished(6)
    }

    /// An echo request or reply.
    pub fn echo(source: IpAddr, destination: IpAddr, id: u16, is_request: bool, payload: &[u8]) -> Self {
        let kind = match (source, is_request) {
            (IpAddr::V4(_), true) => 8,
            (IpAddr::V4(_), false) => 0,
            (IpAddr::V6(_), true) => 128,
            (IpAddr::V6(_), false) => 129,
        };
        let mut body = vec![kind, 0, 0, 0];
        body.extend(id.to_be_bytes());
        body.extend([0, 1]);
        body.extend(payload);
        Self::icmp(source, destination, body)
    }

    /// An ICMP error that quotes a packet: "host unreachable" or its like.
    pub fn unreachable(source: IpAddr, destination: IpAddr, quoted: &[u8]) -> Self {
        let mut body = if source.is_ipv4() { vec![3, 1, 0, 0] } else { vec![1, 3, 0, 0] };
        body.extend([0; 4]);
        body.extend(quoted);
        Self::icmp(source, destination, body)
    }

    fn icmp(source: IpAddr, destination: IpAddr, body: Vec<u8>) -> Self {
        let protocol = if source.is_ipv4() { ICMP } else { ICMPV6 };
        Self::new(source, destination, protocol, body).finished(2)
    }

    fn finished(mut self, field: usize) -> Self {
        self.body[field..field + 2].fill(0);
        let mut sum = self.sum();
        if sum == 0 && self.protocol == UDP {
            sum = 0xffff;
        }
        self.body[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        self
    }

    /// The checksum over transport and pseudo-header: zero when what stands in it is right.
    fn sum(&self) -> u16 {
        match self.protocol {
            ICMP => checksum(&[&self.body]),
            _ => checksum(&[
                &pseudo_header(self.source, self.destination, self.protocol, self.body.len()),
                &self.body,
            ]),
        }
    }

    /// The packet as it travels.
    pub fn bytes(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            _ => panic!("two families: {} and {}", self.source, self.destination),
        }
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let length = (20 + self.body.len()) as u16;
        let part = self.part.unwrap_or(Part { id: self.id(), offset: 0, more: false });
        let place = (part.offset / 8) as u16 | u16::from(part.more) << 13;
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend((part.id as u16).to_be_bytes());
        bytes.extend(place.to_be_bytes());
        bytes.extend([64, self.protocol, 0, 0]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        let sum = checksum(&[&bytes]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// What may be cut on its way has an identification of its own (RFC 6864, section 4.2): that of its tag.
    fn id(&self) -> u32 {
        let is_tagged = matches!(self.protocol, UDP | ICMP);
        let tag = self.body.get(8..).filter(|_| is_tagged).and_then(crate::payload::tag_of);
        tag.map_or(0, |(_, tag)| tag as u32 + 1)
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let extra = if self.part.is_some() { 8 } else { 0 };
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((self.body.len() + extra) as u16).to_be_bytes());
        bytes.extend([if self.part.is_some() { FRAGMENT } else { self.protocol }, 64]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        if let Some(part) = self.part {
            bytes.extend([self.protocol, 0]);
            bytes.extend((part.offset as u16 | u16::from(part.more)).to_be_bytes());
            bytes.extend(part.id.to_be_bytes());
        }
        bytes.extend(&self.body);
        bytes
    }

    /// Cuts it into parts whose bodies have at most `size` bytes.
    pub fn parts(&self, size: usize, id: u32) -> Vec<Self> {
        let size = (size / 8).max(1) * 8;
        let count = self.body.len().div_ceil(size);
        let cut = |(index, body): (usize, &[u8])| {
            let part = Part { id, offset: index * size, more: index + 1 < count };
            Self { part: Some(part), body: body.to_vec(), ..self.clone() }
        };
        self.body.chunks(size).enumerate().map(cut).collect()
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// What is wrong with it: this reader knows no options and accepts nothing that is not exact, checksums included.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let packet = match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_ipv4(bytes)?,
            Some(6) => Self::parse_ipv6(bytes)?,
            _ => return Err("no IP version".into()),
        };
        if packet.part.is_none() {
            packet.check_transport()?;
        }
        Ok(packet)
    }

    fn parse_ipv4(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.get(..20).ok_or("an IPv4 header is cut short")?;
        if header[0] != 0x45 {
            return Err(format!("IPv4 with options: {:#x}", header[0]));
        }
        if checksum(&[header]) != 0 {
            return Err("the IPv4 header checksum is wrong".into());
        }
        if usize::from(word(header, 2)) != bytes.len() {
            return Err(format!("IPv4 says {} bytes of {}", word(header, 2), bytes.len()));
        }
        let (place, address) = (word(header, 6), |at: usize| -> IpAddr {
            Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
        });
        let (offset, more) = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
        let part = Part { id: word(header, 4).into(), offset, more };
        Ok(Self {
            source: address(12),
            destination: address(16),
            protocol: header[9],
            part: (offset > 0 || more).then_some(part),
            body: bytes[20..].to_vec(),
        })
    }

    fn parse_ipv6(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.get(..40).ok_or("an IPv6 header is cut short")?;
        if usize::from(word(header, 4)) + 40 != bytes.len() {
            return Err(format!("IPv6 says {} bytes behind its header of {}", word(header, 4), bytes.len()));
        }
        let address = |at: usize| -> IpAddr {
            let octets: [u8; 16] = header[at..at + 16].try_into().expect("16 bytes");
            octets.into()
        };
        let mut packet = Self::new(address(8), address(24), header[6], bytes[40..].to_vec());
        if packet.protocol == FRAGMENT {
            let header = bytes.get(40..48).ok_or("an IPv6 fragment header is cut short")?;
            let place = word(header, 2);
            let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            let part = Part { id, offset: usize::from(place & !7), more: place & 1 != 0 };
            (packet.protocol, packet.part) = (header[0], Some(part));
            packet.body.drain(..8);
        }
        Ok(packet)
    }

    /// Whether lengths and checksum of the transport are right.
    pub fn check_transport(&self) -> Result<(), String> {
        let least = match self.protocol {
            TCP => 20,
            UDP | ICMP | ICMPV6 => 8,
            _ => return Ok(()),
        };
        if self.body.len() < least {
            return Err(format!("protocol {} with {} bytes", self.protocol, self.body.len()));
        }
        if self.protocol == UDP && usize::from(word(&self.body, 4)) != self.body.len() {
            return Err(format!("UDP says {} bytes of {}", word(&self.body, 4), self.body.len()));
        }
        match self.sum() {
            0 => Ok(()),
            _ if self.protocol == UDP && self.source.is_ipv4() && word(&self.body, 6) == 0 => Ok(()),
            _ => Err(format!("the checksum of protocol {} is wrong", self.protocol)),
        }
    }

    /// Its transport header; of a part, only the first may be asked.
    pub fn transport(&self) -> Transport {
        let (body, long) = (&self.body, |at: usize| {
            u32::from_be_bytes([self.body[at], self.body[at + 1], self.body[at + 2], self.body[at + 3]])
        });
        match self.protocol {
            TCP => Transport::Tcp(Segment {
                source: word(body, 0),
                destination: word(body, 2),
                sequence: long(4),
                acknowledgement: long(8),
                flags: body[13],
            }),
            UDP => Transport::Udp { source: word(body, 0), destination: word(body, 2) },
            ICMP | ICMPV6 => match body[0] {
                8 | 128 => Transport::Echo { id: word(body, 4), is_request: true },
                0 | 129 => Transport::Echo { id: word(body, 4), is_request: false },
                kind => Transport::Icmp(kind, body[1]),
            },
            _ => Transport::Other,
        }
    }

    /// What stands behind the transport header.
    pub fn payload(&self) -> &[u8] {
        match self.protocol {
            TCP => &self.body[usize::from(self.body[12] >> 4) * 4..],
            _ => &self.body[8..],
        }
    }
}

/// Two bytes, the higher first.
pub fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_a_changed_byte_is_noticed() {
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let (c, d): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let syn = Segment { source: 1, destination: 2, sequence: 3, acknowledgement: 4, flags: SYN };
        let packets = [
            Packet::tcp(a, b, syn, b""),
            Packet::udp((a, 5), (b, 6), b"abc"),
            Packet::udp((c, 5), (d, 6), b"abc"),
            Packet::echo(c, d, 7, true, b"abcd"),
            Packet::unreachable(a, b, b"quoted packet"),
        ];
        for packet in packets {
            let mut bytes = packet.bytes();
            assert_eq!(Packet::parse(&bytes), Ok(packet));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert!(Packet::parse(&bytes).is_err());
        }
    }

    #[test]
    fn parts_carry_everything_once() {
        let (a, b): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let whole = Packet::udp((a, 5), (b, 6), &[9; 3_000]);
        let parts: Vec<Packet> =
            whole.parts(1_000, 7).iter().map(|part| Packet::parse(&part.bytes()).unwrap()).collect();
        assert_eq!(parts.iter().flat_map(|part| part.body.clone()).collect::<Vec<u8>>(), whole.body);
    }
}
