//! How long an answer may be kept.

use crate::wire::{Message, Section, be32, flag, rcode, rtype};

/// The longest that a positive answer is kept, in seconds: a day, so that a virtual address is noted as used long
/// before its 7 days are over.
const MAX_POSITIVE_TTL: u32 = 86_400;

/// The longest that a negative answer is kept, in seconds (RFC 2308 §5 finds one to three hours sensible).
const MAX_NEGATIVE_TTL: u32 = 3_600;

/// The length of the numbers at the end of an SOA record, of which the last is the minimum (RFC 1035 §3.3.13).
const SOA_NUMBERS: usize = 20;

/// How long an answer is kept, and how its TTLs are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// How long it is kept, in seconds.
    pub(crate) seconds: u32,
    /// No TTL in it may say more than this: a negative answer ends for everybody with its SOA's minimum.
    pub(crate) max_ttl: u32,
}

/// The lifetime of a server's answer to a question of this type; `None` if it must not be kept.
///
/// Kept are answers with records of the type asked for, and NXDOMAIN and NODATA with an SOA record (RFC 2308 §3, §5).
/// An error, a truncated answer and a referral are not.
pub(crate) fn lifetime(message: &Message<'_>, qtype: u16) -> Option<Lifetime> {
    let usable = matches!(message.rcode(), rcode::NO_ERROR | rcode::NAME_ERROR);
    if !usable || message.flags() & flag::TRUNCATED != 0 || message.question.is_empty() {
        return None;
    }
    let shortest = message.records.iter().filter(|record| !record.is_opt()).map(|record| record.ttl).min()?;
    let answered = |rtype: u16| rtype == qtype || qtype == rtype::ANY;
    let positive = message.rcode() == rcode::NO_ERROR
        && message.section(Section::Answer).any(|record| answered(record.rtype));
    let lifetime = if positive {
        Lifetime { seconds: shortest.min(MAX_POSITIVE_TTL), max_ttl: u32::MAX }
    } else {
        let seconds = shortest.min(soa_minimum(message)?).min(MAX_NEGATIVE_TTL);
        Lifetime { seconds, max_ttl: seconds }
    };
    Some(lifetime).filter(|lifetime| lifetime.seconds > 0)
}

fn soa_minimum(message: &Message<'_>) -> Option<u32> {
    let soa = message.section(Section::Authority).find(|record| record.rtype == rtype::SOA)?;
    if soa.data.len() < SOA_NUMBERS + 2 {
        return None;
    }
    be32(message.bytes, soa.data.end - 4)
}
