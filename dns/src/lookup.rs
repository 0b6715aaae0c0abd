//! Looking names up for ourselves: a query for addresses, and what an answer says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::name::Name;
use crate::wire::{CLASS_IN, MAX_UDP_SIZE, Message, Section, flag, rcode, rtype};

/// Why an answer gives no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// There is no such name (NXDOMAIN, RFC 1035 §4.1.1).
    #[error("there is no such name")]
    NoSuchName,
    /// The servers could not say.
    #[error("the name's servers failed: code {0}")]
    Failed(u16),
    /// The answer was cut: it is to be asked for over TCP (RFC 7766 §5).
    #[error("the answer was cut")]
    Truncated,
    /// It is no answer.
    #[error("the answer is malformed")]
    Malformed,
}

/// A query for the addresses of one family of `name`, with id 0: whoever sends it on chooses another.
pub fn address_query(name: &Name, is_ipv6: bool) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]; // recursion desired; one question, one OPT record
    message.extend_from_slice(name.as_wire());
    let kind = if is_ipv6 { rtype::AAAA } else { rtype::A };
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&MAX_UDP_SIZE.to_be_bytes());
    message.extend_from_slice(&[0; 6]);
    message
}

/// The addresses in an answer to [`address_query`], in its order; none: the name has no address of that family.
///
/// # Errors
/// When it says that there is no such name, that it cannot be told, or nothing that can be read.
pub fn read_addresses(answer: &[u8]) -> Result<Vec<IpAddr>, LookupError> {
    let message = Message::parse(answer).map_err(|_| LookupError::Malformed)?;
    if message.flags() & flag::TRUNCATED != 0 {
        return Err(LookupError::Truncated);
    }
    match message.rcode() {
        rcode::NO_ERROR => {}
        rcode::NAME_ERROR => return Err(LookupError::NoSuchName),
        code => return Err(LookupError::Failed(code)),
    }
    let records = message.section(Section::Answer).filter(|record| record.class == CLASS_IN);
    Ok(records.filter_map(|record| address(record.rtype, &answer[record.data.clone()])).collect())
}

fn address(kind: u16, data: &[u8]) -> Option<IpAddr> {
    match kind {
        rtype::A => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        rtype::AAAA => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Query;

    fn answer(flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = address_query(&"wiki.example.com".parse().unwrap(), false);
        message.truncate(message.len() - 11);
        message[2..4].copy_from_slice(&(flags | 0x8000).to_be_bytes());
        message[7] = records.len() as u8;
        message[11] = 0;
        for (kind, data) in records {
            message.extend_from_slice(&[0xc0, 12]);
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    #[test]
    fn the_query_is_one_that_the_resolver_reads() {
        for (is_ipv6, kind) in [(false, rtype::A), (true, rtype::AAAA)] {
            let message = address_query(&"Wiki.example.com".parse().unwrap(), is_ipv6);
            let query = Query::parse(&message).ok().unwrap();
            assert_eq!((query.qtype, query.udp_limit()), (kind, usize::from(MAX_UDP_SIZE)));
            assert_eq!(query.name(), b"\x04wiki\x07example\x03com\0");
        }
    }

    #[test]
    fn addresses_are_read_in_order_and_other_records_are_passed_over() {
        let message =
            answer(0, &[(rtype::A, &[10, 0, 0, 1]), (rtype::CNAME, &[0]), (rtype::A, &[10, 0, 0, 2])]);
        let addresses: Vec<String> =
            read_addresses(&message).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(read_addresses(&answer(0, &[])), Ok(Vec::new()));
        assert_eq!(read_addresses(&answer(0, &[(rtype::A, &[10, 0, 0])])), Ok(Vec::new()));
    }

    #[test]
    fn what_an_answer_does_not_say_is_an_error_of_its_kind() {
        assert_eq!(read_addresses(&answer(3, &[])), Err(LookupError::NoSuchName));
        assert_eq!(read_addresses(&answer(2, &[])), Err(LookupError::Failed(2)));
        assert_eq!(read_addresses(&answer(flag::TRUNCATED, &[])), Err(LookupError::Truncated));
        assert_eq!(read_addresses(&[0; 5]), Err(LookupError::Malformed));
    }
}
