//! Answers that this resolver makes itself: errors with their reason, and answers cut to a TC bit.

use super::{CLASS_IN, Edns, HEADER, MAX_UDP_SIZE, be16, flag, put16, rtype};

/// The option code of an extended error (RFC 8914 §2).
const EXTENDED_ERROR_OPTION: u16 = 15;

/// A pointer to the name of the question, which follows the header (RFC 1035 §4.1.4).
const QUESTION_POINTER: [u8; 2] = [0xc0, HEADER as u8];

/// The bits of a query's flags that its answer repeats (RFC 1035 §4.1.1, RFC 4035 §3.2.2).
const REPEATED: u16 = flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;

/// Why an answer is an error, for a person to read: info code and text of RFC 8914.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    pub(crate) code: u16,
    pub(crate) text: &'static str,
}

/// Writes an answer without records. `head` is the query's header, and its question where that could be read. The
/// reason is told to a client that speaks EDNS.
pub(crate) fn error_answer(
    head: &[u8],
    edns: Option<Edns>,
    code: u16,
    reason: Option<ExtendedError>,
    out: &mut Vec<u8>,
) {
    let flags = be16(head, 2).unwrap_or_default() & REPEATED;
    let flags = flags | flag::RESPONSE | flag::RECURSION_AVAILABLE | (code & flag::RCODE);
    write_head(head, flags, edns.is_some(), out);
    if edns.is_some() {
        write_opt(edns, (code >> 4) as u8, reason, out);
    }
}

/// An answer from our own knowledge.
pub(crate) struct Reply<'a> {
    pub(crate) code: u16,
    /// A record of the name asked for: its type, TTL in seconds, and data.
    pub(crate) record: Option<(u16, u32, &'a [u8])>,
}

/// Writes an answer from our own knowledge.
pub(crate) fn reply(head: &[u8], edns: Option<Edns>, reply: Reply<'_>, out: &mut Vec<u8>) {
    let flags = be16(head, 2).unwrap_or_default() & REPEATED;
    let flags = flags | flag::RESPONSE | flag::AUTHORITATIVE | flag::RECURSION_AVAILABLE | reply.code;
    write_head(head, flags, edns.is_some(), out);
    if let Some((rtype, ttl, data)) = reply.record {
        put16(out, 6, 1);
        out.extend_from_slice(&QUESTION_POINTER);
        out.extend_from_slice(&rtype.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }
    if edns.is_some() {
        write_opt(edns, 0, None, out);
    }
}

/// Writes an answer that only says: ask again over TCP (RFC 2181 §9). `flags` are those of the answer that is cut.
pub(crate) fn truncated_answer(head: &[u8], edns: Option<Edns>, flags: u16, out: &mut Vec<u8>) {
    write_head(head, flags | flag::TRUNCATED, edns.is_some(), out);
    if edns.is_some() {
        write_opt(edns, 0, None, out);
    }
}

fn write_head(head: &[u8], flags: u16, has_edns: bool, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(head);
    put16(out, 2, flags);
    put16(out, 4, u16::from(head.len() > HEADER));
    out[6..HEADER].fill(0);
    put16(out, 10, u16::from(has_edns));
}

fn write_opt(edns: Option<Edns>, high_code: u8, reason: Option<ExtendedError>, out: &mut Vec<u8>) {
    let dnssec_ok = edns.is_some_and(|edns| edns.dnssec_ok);
    let text = reason.map_or("", |reason| reason.text);
    let length = if reason.is_some() { 6 + text.len() as u16 } else { 0 };
    out.push(0);
    out.extend_from_slice(&rtype::OPT.to_be_bytes());
    out.extend_from_slice(&MAX_UDP_SIZE.to_be_bytes());
    out.extend_from_slice(&[high_code, 0, if dnssec_ok { 0x80 } else { 0 }, 0]);
    out.extend_from_slice(&length.to_be_bytes());
    if let Some(reason) = reason {
        out.extend_from_slice(&EXTENDED_ERROR_OPTION.to_be_bytes());
        out.extend_from_slice(&(2 + text.len() as u16).to_be_bytes());
        out.extend_from_slice(&reason.code.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}
