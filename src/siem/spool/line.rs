//! A line of the spool: the hash of the chain up to here, a blank, the event as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::{Event, Field, Kind, Severity};
use crate::siem::format::Numbered;

/// SHA-256 over the hash before and the JSON of the line.
pub(in crate::siem) type Hash = [u8; 32];

/// Before the first event.
pub(super) const GENESIS: Hash = [0; 32];

/// A line with its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sequence: u64,
    pub(super) before: Hash,
    pub(super) hash: Hash,
    pub(super) text: String,
}

/// What was read from a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
    /// Whether its hash is that of what came before and of itself.
    pub(super) is_chained: bool,
    /// None when a later version wrote it.
    pub(super) event: Option<Event>,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    n: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    /// Microseconds since 1970.
    at: u64,
    kind: u16,
    severity: Severity,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    fields: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Line {
    pub(super) fn new(sequence: u64, before: Hash, event: &Event) -> Self {
        let at = event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let stored = Stored {
            n: sequence,
            id: event.id.to_string().into(),
            at: u64::try_from(at).unwrap_or(u64::MAX),
            kind: event.kind.id(),
            severity: event.severity,
            message: event.message.as_str().into(),
            fields: event.fields.iter().map(|(field, value)| (field.name().into(), value.into())).collect(),
        };
        // numbers and texts can always be written
        let json = serde_json::to_string(&stored).unwrap_or_default();
        let hash = hash(&before, &json);
        Self { sequence, before, hash, text: format!("{} {json}\n", hex(&hash)) }
    }

    pub(super) fn numbered(&self) -> Option<Numbered> {
        let event = decode(self.text.trim_end().as_bytes(), &self.before)?.event?;
        Some(Numbered { sequence: self.sequence, event })
    }
}

/// Reads a line without its line break; `None` for what is none.
pub(super) fn decode(line: &[u8], before: &Hash) -> Option<Decoded> {
    let (digits, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let stored: Stored<'_> = serde_json::from_str(json).ok()?;
    let found = from_hex(digits)?;
    let is_chained = hash(before, json) == found;
    Some(Decoded { sequence: stored.n, hash: found, is_chained, event: event(&stored) })
}

fn event(stored: &Stored<'_>) -> Option<Event> {
    let known = |name: &str| Field::ALL.iter().copied().find(|field| field.name() == name);
    let event = Event {
        id: stored.id.parse().ok()?,
        at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(stored.at))?,
        kind: Kind::ALL.iter().copied().find(|kind| kind.id() == stored.kind)?,
        severity: stored.severity,
        message: stored.message.clone().into_owned(),
        fields: Vec::with_capacity(stored.fields.len()),
    };
    let facts = stored.fields.iter().filter_map(|(name, value)| Some((known(name)?, value)));
    Some(facts.fold(event, |event, (field, value)| event.with(field, value)))
}

fn hash(before: &Hash, json: &str) -> Hash {
    Sha256::new().chain_update(before).chain_update(json.as_bytes()).finalize().into()
}

/// 64 hexadecimal digits.
pub(in crate::siem) fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = hash.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Reads 64 hexadecimal digits in lower case.
pub(in crate::siem) fn from_hex(text: &str) -> Option<Hash> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut hash = Hash::default();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (octet, [high, low]) in hash.iter_mut().zip(pairs) {
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}
