//! A response taken apart into its records, by offsets, so that its bytes can be passed on as they are.

use std::ops::Range;

use super::{HEADER, be16, be32, flag, rtype, skip_name};

/// The message cannot be read (RFC 1035 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The part of a message that a record stands in (RFC 1035 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// One record: where it stands, and its fixed part.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) section: Section,
    /// Offset of the owner's name.
    pub(crate) owner: usize,
    /// Offset of the type; the class follows at 2, the TTL at 4, the data's length at 8.
    pub(crate) fixed: usize,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    /// Seconds; a value with the top bit set counts as 0 (RFC 2181 §8).
    pub(crate) ttl: u32,
    pub(crate) data: Range<usize>,
}

impl Record {
    /// Whether it is about the message itself (RFC 6891 §6.1).
    pub(crate) fn is_opt(&self) -> bool {
        self.rtype == rtype::OPT
    }

    /// Offset of the TTL.
    pub(crate) fn ttl_at(&self) -> usize {
        self.fixed + 4
    }
}

/// A message of at most one question, and its records in their order.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// The question with its type and class; empty when the message has none.
    pub(crate) question: Range<usize>,
    pub(crate) records: Vec<Record>,
}

impl<'a> Message<'a> {
    /// Takes a message apart. Its size bounds the work: a count that the bytes do not bear out is an error.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let question = question_range(bytes)?;
        let mut records = Vec::new();
        let mut at = question.end;
        for (section, count_at) in [(Section::Answer, 6), (Section::Authority, 8), (Section::Additional, 10)]
        {
            for _ in 0..be16(bytes, count_at).ok_or(Malformed)? {
                let record = read_record(bytes, at, section)?;
                at = record.data.end;
                records.push(record);
            }
        }
        Ok(Self { bytes, question, records })
    }

    pub(crate) fn flags(&self) -> u16 {
        be16(self.bytes, 2).unwrap_or_default()
    }

    /// The low four bits of the response code.
    pub(crate) fn rcode(&self) -> u16 {
        self.flags() & flag::RCODE
    }

    /// The records of one section.
    pub(crate) fn section(&self, section: Section) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.section == section)
    }
}

/// Reads one record; its owner's pointer is checked when somebody reads the name.
pub(super) fn read_record(bytes: &[u8], at: usize, section: Section) -> Result<Record, Malformed> {
    let fixed = skip_name(bytes, at)?;
    let length = usize::from(be16(bytes, fixed + 8).ok_or(Malformed)?);
    let start = fixed + 10;
    if start + length > bytes.len() {
        return Err(Malformed);
    }
    let ttl = be32(bytes, fixed + 4).filter(|ttl| *ttl <= i32::MAX as u32).unwrap_or(0);
    let (rtype, class) = (be16(bytes, fixed).ok_or(Malformed)?, be16(bytes, fixed + 2).ok_or(Malformed)?);
    Ok(Record { section, owner: at, fixed, rtype, class, ttl, data: start..start + length })
}

/// Whether a response is one to this query: the same id, the same question in any spelling, and a response at all.
/// A response with an error may leave the question out (RFC 5625 §6.1: servers that cannot read the query do).
pub(crate) fn matches_question(response: &[u8], query: &[u8], question_end: usize) -> bool {
    let Some(flags) = be16(response, 2) else { return false };
    if flags & flag::RESPONSE == 0 || flags & flag::OPCODE != 0 || response.get(..2) != query.get(..2) {
        return false;
    }
    if be16(response, 4) == Some(0) {
        return response.len() >= HEADER && flags & flag::RCODE != 0;
    }
    let same = |range: Range<usize>| match (response.get(range.clone()), query.get(range)) {
        (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours),
        (_, _) => false,
    };
    // Length bytes are below 64, so a comparison without regard to case tells them apart; the type and class,
    // which are numbers, are compared exactly.
    let name_end = question_end.saturating_sub(4);
    be16(response, 4) == Some(1)
        && same(HEADER..name_end)
        && response.get(name_end..question_end) == query.get(name_end..question_end)
}

fn question_range(bytes: &[u8]) -> Result<Range<usize>, Malformed> {
    match be16(bytes, 4).ok_or(Malformed)? {
        0 => Ok(HEADER..HEADER),
        1 => {
            let end = skip_name(bytes, HEADER)? + 4;
            if end > bytes.len() { Err(Malformed) } else { Ok(HEADER..end) }
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";

    #[test]
    fn a_response_matches_in_any_spelling_but_not_with_another_id_name_or_type() {
        let mut response = QUERY.to_vec();
        response[2] = 0x81;
        response[13] = b'A';
        assert!(matches_question(&response, QUERY, 19));
        for (at, value) in [(0, 0x13), (2, 0x01), (2, 0x89), (13, b'b'), (16, 28), (18, 3), (5, 2)] {
            let mut other = response.clone();
            other[at] = value;
            assert!(!matches_question(&other, QUERY, 19), "a change of byte {at} went unnoticed");
        }
    }

    #[test]
    fn only_an_error_may_leave_the_question_out() {
        let mut response = QUERY[..12].to_vec();
        response[2..6].copy_from_slice(&[0x81, 0x81, 0, 0]);
        assert!(matches_question(&response, QUERY, 19));
        response[3] = 0x80;
        assert!(!matches_question(&response, QUERY, 19));
    }

    #[test]
    fn counts_that_the_bytes_do_not_bear_out_are_malformed() {
        let mut message = QUERY.to_vec();
        assert!(Message::parse(&message).is_ok());
        message[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(Message::parse(&message).err(), Some(Malformed));
    }
}
