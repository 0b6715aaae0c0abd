//! A netlink socket: one request, its acknowledgement or its dump, synchronously.

use std::{io, time::Duration};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols};
use rustix::net::sockopt;

use crate::Error;

/// How long the kernel may take for one answer; it answers in microseconds, so this only ends a defect.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Times that a dump is asked anew when the tables changed meanwhile.
const DUMP_ATTEMPTS: usize = 5;

/// Bytes of a netlink header (RFC 3549, 2.3.2).
const HEADER_LEN: usize = 16;

/// A connection to the kernel's routing tables.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What a dump brought.
#[derive(Debug)]
pub(crate) struct Dump<T> {
    /// The messages that could be read.
    pub(crate) items: Vec<T>,
    /// Messages that could not.
    pub(crate) undecoded: usize,
}

impl Netlink {
    /// Connects to the routing tables of this network namespace.
    ///
    /// # Errors
    /// The kernel has no netlink, or no descriptor is left.
    pub fn open() -> Result<Self, Error> {
        Self::open_protocol(protocols::NETLINK_ROUTE)
            .map_err(|source| Error::system("open", "netlink socket", "route", source))
    }

    pub(crate) fn open_protocol(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a change and waits for its acknowledgement.
    pub(super) fn change(&mut self, message: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let body = body_of(message);
        self.exchange(message.message_type(), NLM_F_ACK | flags, &body, &mut |_, _| {}).map(drop)
    }

    /// Asks for one thing; answers with its message.
    pub(super) fn ask(&mut self, message: &RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
        let (mut answer, body) = (None, body_of(message));
        self.exchange(message.message_type(), NLM_F_ACK, &body, &mut |kind, payload| {
            answer = decode(kind, payload);
        })?;
        Ok(answer)
    }

    /// Asks for a whole table; messages that `read` leaves out are not counted as undecoded.
    pub(super) fn dump<T>(
        &mut self,
        message: &RouteNetlinkMessage,
        mut read: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> io::Result<Dump<T>> {
        let body = body_of(message);
        let mut dump = Dump { items: Vec::new(), undecoded: 0 };
        for _ in 0..DUMP_ATTEMPTS {
            dump = Dump { items: Vec::new(), undecoded: 0 };
            let whole =
                self.exchange(message.message_type(), NLM_F_DUMP, &body, &mut |kind, payload| match decode(
                    kind, payload,
                ) {
                    Some(message) => dump.items.extend(read(message)),
                    None => dump.undecoded += 1,
                })?;
            if whole {
                break;
            }
        }
        Ok(dump)
    }

    /// Sends one request and visits each answer up to the acknowledgement or the end of the dump.
    ///
    /// Answers whether the dump is consistent: false when the tables changed while they were read.
    pub(crate) fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        visit: &mut dyn FnMut(u16, &[u8]),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = frame(kind, NLM_F_REQUEST | flags, self.sequence, body);
        self.socket.send(&request, 0)?;
        let mut whole = true;
        loop {
            let (datagram, sender) = self.socket.recv_from_full()?;
            if sender.port_number() != 0 {
                continue;
            }
            if read_datagram(&datagram, self.sequence, &mut whole, visit)? {
                return Ok(whole);
            }
        }
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Netlink").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// Visits the messages of one datagram; answers whether the exchange is over.
fn read_datagram(
    datagram: &[u8],
    sequence: u32,
    whole: &mut bool,
    visit: &mut dyn FnMut(u16, &[u8]),
) -> io::Result<bool> {
    for message in messages(datagram).filter(|message| message.sequence_number() == sequence) {
        *whole &= message.flags() & NLM_F_DUMP_INTR == 0;
        match message.message_type() {
            NLMSG_NOOP => {}
            NLMSG_ERROR | NLMSG_DONE => return outcome(message.payload()).map(|()| true),
            kind => visit(kind, message.payload()),
        }
    }
    Ok(false)
}

/// Visits the messages of a datagram that nobody asked for.
pub(crate) fn visit(datagram: &[u8], visit: &mut dyn FnMut(u16, &[u8])) {
    for message in messages(datagram) {
        visit(message.message_type(), message.payload());
    }
}

fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = message.length() as usize;
        rest = rest.get(length.next_multiple_of(4).max(HEADER_LEN)..).unwrap_or_default();
        Some(message)
    })
}

/// Both endings begin with a negative error number, or zero (RFC 3549, 2.3.2.2).
fn outcome(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}

fn frame(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.length = (HEADER_LEN + body.len()) as u32;
    header.message_type = kind;
    header.flags = flags;
    header.sequence_number = sequence;
    let mut bytes = vec![0; HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn body_of(message: &RouteNetlinkMessage) -> Vec<u8> {
    let mut body = vec![0; NetlinkSerializable::buffer_len(message)];
    message.serialize(&mut body);
    body
}

/// Reads one message; `None` if it is of a kind or form that is not known.
pub(crate) fn decode(kind: u16, payload: &[u8]) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, payload).ok()
}
