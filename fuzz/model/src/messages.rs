//! DNS messages of the simulated world, written and read as plainly as can be.

use std::net::IpAddr;

/// Lifetime of every record, in seconds.
pub const TTL: u32 = 60;
/// A records.
pub const A: u16 = 1;
/// AAAA records.
pub const AAAA: u16 = 28;

/// A question, or an answer as far as the model looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id.
    pub id: u16,
    /// The code of an answer.
    pub code: u8,
    /// The name asked for, in lower case.
    pub name: String,
    /// The type asked for.
    pub qtype: u16,
    /// The addresses of an answer, in order.
    pub addresses: Vec<IpAddr>,
}

/// A query as a stub resolver writes it.
pub fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_be_bytes());
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// A server's answer to a query, which it repeats up to the end of the question.
pub fn answer(query: &[u8], code: u8, addresses: &[IpAddr]) -> Vec<u8> {
    let end = crate::names::question_end(query);
    let mut bytes = query[..end].to_vec();
    bytes[2] = 0x81;
    bytes[3] = 0x80 | code;
    bytes[4..12].copy_from_slice(&[0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    for address in addresses {
        let (rtype, octets) = match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        bytes.extend([0xc0, 12]);
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(TTL.to_be_bytes());
        bytes.extend((octets.len() as u16).to_be_bytes());
        bytes.extend(octets);
    }
    bytes
}

/// Reads a message; `None` when it is none.
pub fn parse(bytes: &[u8]) -> Option<Message> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (name, mut at) = read_name(bytes, 12)?;
    let qtype = word(at)?;
    at += 4;
    let mut addresses = Vec::new();
    for _ in 0..word(6)? {
        at = skip_name(bytes, at)?;
        let (rtype, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        match rtype {
            A => addresses.push(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
            AAAA => addresses.push(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
            _ => {}
        }
        at += 10 + length;
    }
    Some(Message { id: word(0)?, code: *bytes.get(3)? & 15, name, qtype, addresses })
}

fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(bytes.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back() {
        let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let message = parse(&answer(&query(7, "Wiki.corp.test", A), 0, &addresses)).unwrap();
        assert_eq!(message, Message { id: 7, code: 0, name: "wiki.corp.test".into(), qtype: A, addresses });
        assert_eq!(parse(&answer(&query(7, "x", A), 3, &[])).unwrap().code, 3);
        assert_eq!(parse(b"short"), None);
    }
}
