//! HTTPS and SVCB records without the addresses that they hint at (RFC 9460 §7.3).

use super::Edit;
use crate::wire::{Malformed, Message, Record, be16, skip_name};

/// Keys of parameters (RFC 9460 §14.3.2).
mod key {
    pub(super) const MANDATORY: u16 = 0;
    pub(super) const IPV4HINT: u16 = 4;
    pub(super) const IPV6HINT: u16 = 6;
}

/// The record's data without `ipv4hint` and `ipv6hint`, which `mandatory` then does not list either.
pub(super) fn without_address_hints(message: &Message<'_>, record: &Record) -> Edit {
    match strip(message, record) {
        Ok(None) => Edit::Keep,
        Ok(Some(data)) => Edit::Data(data),
        Err(Malformed) => Edit::Remove,
    }
}

fn strip(message: &Message<'_>, record: &Record) -> Result<Option<Vec<u8>>, Malformed> {
    let bytes = message.bytes.get(..record.data.end).ok_or(Malformed)?;
    let parameters_at = skip_name(bytes, record.data.start + 2)?;
    let mut data = bytes.get(record.data.start..parameters_at).ok_or(Malformed)?.to_vec();
    let mut found = false;
    let mut at = parameters_at;
    while at < bytes.len() {
        let key = be16(bytes, at).ok_or(Malformed)?;
        let end = at + 4 + usize::from(be16(bytes, at + 2).ok_or(Malformed)?);
        let value = bytes.get(at + 4..end).ok_or(Malformed)?;
        match key {
            key::IPV4HINT | key::IPV6HINT => found = true,
            key::MANDATORY => push_parameter(key, &without_hint_keys(value), &mut data),
            _ => data.extend_from_slice(&bytes[at..end]),
        }
        at = end;
    }
    Ok(Some(data).filter(|_| found))
}

fn without_hint_keys(mandatory: &[u8]) -> Vec<u8> {
    let is_hint = |key: &[u8]| key == key::IPV4HINT.to_be_bytes() || key == key::IPV6HINT.to_be_bytes();
    mandatory.chunks(2).filter(|key| !is_hint(key)).flatten().copied().collect()
}

/// Writes a parameter; an empty list of mandatory keys must not be written (RFC 9460 §8).
fn push_parameter(key: u16, value: &[u8], data: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    data.extend_from_slice(&key.to_be_bytes());
    data.extend_from_slice(&(value.len() as u16).to_be_bytes());
    data.extend_from_slice(value);
}
