//! A client's query, read without allocation: this is on the path of every cached answer.

use super::message::{Section, read_record};
use super::{HEADER, MAX_UDP_SIZE, Malformed, PLAIN_UDP_SIZE, be16, flag, put16, rcode, rtype};
use crate::name::{MAX_LABEL, MAX_NAME};

/// The longest query that is read, in bytes. A name, an OPT record and its padding (RFC 8467) stay far below; the
/// memory of queries in flight is bounded by it.
const MAX_QUERY: usize = 4_096;

/// What a key has beyond the name: type, class and one byte of bits.
const KEY_TAIL: usize = 5;

/// An OPT record without options, in bytes (RFC 6891 §6.1.2).
const BARE_OPT: usize = 11;

/// Bits of the key's last byte: what else in a query changes the answer.
mod key_bit {
    pub(super) const RECURSION_DESIRED: u8 = 1;
    pub(super) const CHECKING_DISABLED: u8 = 2;
    pub(super) const AUTHENTIC: u8 = 4;
    pub(super) const EDNS: u8 = 8;
    pub(super) const DNSSEC_OK: u8 = 16;
}

/// The OPT record of a query (RFC 6891 §6.1), its options left aside: they concern one hop only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// The largest UDP answer that the client takes, in bytes.
    pub(crate) udp_size: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

/// A query of one question.
pub(crate) struct Query<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the question ends, its type and class included.
    pub(crate) question_end: usize,
    pub(crate) qtype: u16,
    pub(crate) edns: Option<Edns>,
    key: [u8; MAX_NAME + KEY_TAIL],
    name_length: usize,
}

/// Why a message is no query that can be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryFault {
    /// Not even a header.
    Short,
    /// A response; answering it could start a loop between two servers.
    Response,
    /// To be answered with this code.
    Refuse(u16),
}

impl<'a> Query<'a> {
    /// Reads a query: one question of opcode QUERY, without compression, and at most one OPT record.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, QueryFault> {
        if bytes.len() < HEADER {
            return Err(QueryFault::Short);
        }
        let flags = be16(bytes, 2).ok_or(QueryFault::Short)?;
        if flags & flag::RESPONSE != 0 {
            return Err(QueryFault::Response);
        }
        if bytes.len() > MAX_QUERY {
            return Err(QueryFault::Refuse(rcode::FORMAT_ERROR));
        }
        if flags & flag::OPCODE != 0 {
            return Err(QueryFault::Refuse(rcode::NOT_IMPLEMENTED));
        }
        Self::parse_body(bytes, flags).map_err(|Malformed| QueryFault::Refuse(rcode::FORMAT_ERROR))
    }

    /// What the cache and the queries in flight are found by: name in lower case, type, class, and the bits RD, CD,
    /// AD, EDNS and DO.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key[..self.name_length + KEY_TAIL]
    }

    /// The name asked for, in wire format and lower case.
    pub(crate) fn name(&self) -> &[u8] {
        &self.key[..self.name_length]
    }

    /// Header and question, as the client wrote them.
    pub(crate) fn head(&self) -> &'a [u8] {
        &self.bytes[..self.question_end]
    }

    /// Whether it speaks no EDNS, or the only version there is (RFC 6891 §6.1.3).
    pub(crate) fn is_plain(&self) -> bool {
        self.edns.is_none_or(|edns| edns.version == 0)
    }

    /// The largest UDP answer to send to this client, in bytes.
    pub(crate) fn udp_limit(&self) -> usize {
        udp_limit(self.edns)
    }

    fn parse_body(bytes: &'a [u8], flags: u16) -> Result<Self, Malformed> {
        if be16(bytes, 4) != Some(1) {
            return Err(Malformed);
        }
        let mut key = [0; MAX_NAME + KEY_TAIL];
        let name_length = read_question_name(bytes, &mut key)?;
        let question_end = HEADER + name_length + 4;
        let tail = bytes.get(question_end - 4..question_end).ok_or(Malformed)?;
        key[name_length..name_length + 4].copy_from_slice(tail);
        let qtype = u16::from_be_bytes([tail[0], tail[1]]);
        let edns = read_edns(bytes, question_end)?;
        key[name_length + 4] = key_bits(flags, edns);
        Ok(Self { bytes, question_end, qtype, edns, key, name_length })
    }
}

/// The largest UDP answer for a client with this OPT record, in bytes.
pub(crate) fn udp_limit(edns: Option<Edns>) -> usize {
    usize::from(edns.map_or(PLAIN_UDP_SIZE, |edns| edns.udp_size.clamp(PLAIN_UDP_SIZE, MAX_UDP_SIZE)))
}

/// Lowers the size in bytes of the largest UDP answer that a query asks for, never below the least (RFC 6891 §6.2.3).
/// Only of a query as we write them: its OPT record is the last and has no options.
pub(crate) fn lower_udp_size(query: &mut [u8], most: u16) {
    let Some(at) = query.len().checked_sub(BARE_OPT).filter(|at| *at >= HEADER) else { return };
    let is_opt = be16(query, 10) == Some(1) && query[at] == 0 && be16(query, at + 1) == Some(rtype::OPT);
    if is_opt && be16(query, at + 3).is_some_and(|size| size > most) {
        put16(query, at + 3, most.max(PLAIN_UDP_SIZE));
    }
}

/// Copies the name of the question in lower case, and gives its length. A pointer makes no sense there.
fn read_question_name(bytes: &[u8], key: &mut [u8]) -> Result<usize, Malformed> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at).ok_or(Malformed)?);
        at += 1 + length;
        if length > MAX_LABEL || at - HEADER > MAX_NAME {
            return Err(Malformed);
        }
        if length == 0 {
            break;
        }
    }
    let name = bytes.get(HEADER..at).ok_or(Malformed)?;
    key[..name.len()].copy_from_slice(name);
    key[..name.len()].make_ascii_lowercase();
    Ok(name.len())
}

/// Walks over the records after the question, and gives the OPT record, of which there may be one (RFC 6891 §6.1.1).
fn read_edns(bytes: &[u8], question_end: usize) -> Result<Option<Edns>, Malformed> {
    let count = |at| be16(bytes, at).map(u32::from).ok_or(Malformed);
    let records = count(6)? + count(8)? + count(10)?;
    let mut at = question_end;
    let mut edns = None;
    for _ in 0..records {
        let record = read_record(bytes, at, Section::Additional)?;
        at = record.data.end;
        if !record.is_opt() {
            continue;
        }
        let fields = bytes.get(record.ttl_at()..record.ttl_at() + 4).ok_or(Malformed)?;
        let opt = Edns { udp_size: record.class, version: fields[1], dnssec_ok: fields[2] & 0x80 != 0 };
        if edns.replace(opt).is_some() {
            return Err(Malformed);
        }
    }
    Ok(edns)
}

fn key_bits(flags: u16, edns: Option<Edns>) -> u8 {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    bit(flags & flag::RECURSION_DESIRED != 0, key_bit::RECURSION_DESIRED)
        | bit(flags & flag::CHECKING_DISABLED != 0, key_bit::CHECKING_DISABLED)
        | bit(flags & flag::AUTHENTIC != 0, key_bit::AUTHENTIC)
        | bit(edns.is_some(), key_bit::EDNS)
        | bit(edns.is_some_and(|edns| edns.dnssec_ok), key_bit::DNSSEC_OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04WiKi\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00";

    fn fault(bytes: &[u8]) -> Option<QueryFault> {
        Query::parse(bytes).err()
    }

    #[test]
    fn a_query_is_read_with_its_edns() {
        let query = Query::parse(QUERY).unwrap_or_else(|_| panic!("the query is well formed"));
        assert_eq!(query.name(), b"\x04wiki\x00");
        assert_eq!(query.edns, Some(Edns { udp_size: 4096, version: 0, dnssec_ok: true }));
        assert_eq!(query.udp_limit(), 1232);
        assert_eq!(query.head(), &QUERY[..22]);
    }

    #[test]
    fn what_is_no_query_of_one_question_is_refused() {
        let with = |at: usize, value: u8| {
            let mut bytes = QUERY.to_vec();
            bytes[at] = value;
            bytes
        };
        assert_eq!(fault(&QUERY[..11]), Some(QueryFault::Short));
        assert_eq!(fault(&with(2, 0x81)), Some(QueryFault::Response));
        assert_eq!(fault(&with(2, 0x21)), Some(QueryFault::Refuse(rcode::NOT_IMPLEMENTED)));
        for broken in [with(5, 0), with(5, 2), with(11, 2), with(12, 0xc0), with(12, 60), with(6, 0xff)] {
            assert_eq!(fault(&broken), Some(QueryFault::Refuse(rcode::FORMAT_ERROR)), "{broken:?}");
        }
    }

    #[test]
    fn two_opt_records_are_a_format_error() {
        let mut bytes = QUERY.to_vec();
        bytes[11] = 2;
        bytes.extend_from_slice(&QUERY[22..]);
        assert_eq!(fault(&bytes), Some(QueryFault::Refuse(rcode::FORMAT_ERROR)));
    }

    #[test]
    fn whatever_changes_the_answer_changes_the_key() {
        let key = |bytes: &[u8]| Query::parse(bytes).unwrap_or_else(|_| panic!("well formed")).key().to_vec();
        let base = key(QUERY);
        for (at, value) in [(2, 0), (3, 0x10), (3, 0x20), (13, b'v'), (19, 28), (21, 3), (29, 0)] {
            let mut bytes = QUERY.to_vec();
            bytes[at] = value;
            assert_ne!(key(&bytes), base, "byte {at}");
        }
        let mut lower = QUERY.to_vec();
        lower[12..17].make_ascii_lowercase();
        assert_eq!(key(&lower), base);
    }
}
