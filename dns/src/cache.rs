//! Answers kept for as long as they are true: positive, and negative by RFC 2308.

mod lifetime;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::seeded_hash::SeededHash;
use crate::wire::{HEADER, Message, Query, be32};

pub(crate) use lifetime::{Lifetime, lifetime};

/// Answers kept at most: more names than a person's programs use in the time that their TTLs allow.
const MAX_ENTRIES: usize = 8_192;

/// Bytes of answers and keys kept at most: 4 MiB, a small part of the 30 MiB that the program may hold when idle.
const MAX_BYTES: usize = 4 << 20;

/// What an entry costs beside its bytes: two copies of its key's header, the table's slot, the list of TTLs.
const ENTRY_OVERHEAD: usize = 160;

/// Answers by their questions, the oldest dropped first when there is no room.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Only looked up, never listed.
    entries: HashMap<Box<[u8]>, CachedAnswer, SeededHash>,
    /// The keys in the order in which they were first kept.
    order: VecDeque<Box<[u8]>>,
    bytes: usize,
}

/// One answer with the places of its TTLs.
#[derive(Debug)]
pub(crate) struct CachedAnswer {
    pub(crate) bytes: Box<[u8]>,
    ttl_offsets: Box<[u16]>,
    kept_at: Instant,
    expires_at: Instant,
}

impl Cache {
    pub(crate) fn new(hash: SeededHash) -> Self {
        Self { entries: HashMap::with_hasher(hash), order: VecDeque::new(), bytes: 0 }
    }

    /// The answer to a query, if one is kept and still true.
    pub(crate) fn get(&self, query: &Query<'_>, now: Instant) -> Option<&CachedAnswer> {
        self.entries.get(query.key()).filter(|answer| now < answer.expires_at)
    }

    /// Keeps an answer for its lifetime.
    pub(crate) fn insert(&mut self, key: &[u8], answer: &[u8], lifetime: Lifetime, now: Instant) {
        let Some(answer) = CachedAnswer::new(answer, lifetime, now) else { return };
        let size = answer.size(key);
        match self.entries.insert(key.into(), answer) {
            Some(replaced) => self.bytes -= replaced.size(key),
            None => self.order.push_back(key.into()),
        }
        self.bytes += size;
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            self.drop_oldest();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn drop_oldest(&mut self) {
        let Some(key) = self.order.pop_front() else { return };
        if let Some(dropped) = self.entries.remove(&key) {
            self.bytes -= dropped.size(&key);
        }
    }
}

impl CachedAnswer {
    fn new(answer: &[u8], lifetime: Lifetime, now: Instant) -> Option<Self> {
        let message = Message::parse(answer).ok()?;
        let mut bytes: Box<[u8]> = answer.into();
        let mut ttl_offsets = Vec::with_capacity(message.records.len());
        for record in message.records.iter().filter(|record| !record.is_opt()) {
            ttl_offsets.push(u16::try_from(record.ttl_at()).ok()?);
            let ttl = record.ttl.min(lifetime.max_ttl);
            bytes[record.ttl_at()..record.ttl_at() + 4].copy_from_slice(&ttl.to_be_bytes());
        }
        let expires_at = now + Duration::from_secs(u64::from(lifetime.seconds));
        Some(Self { bytes, ttl_offsets: ttl_offsets.into(), kept_at: now, expires_at })
    }

    /// Writes the answer to a query that has the same key: its id, its spelling, and TTLs that have grown older.
    pub(crate) fn write(&self, query: &Query<'_>, now: Instant, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        out[..2].copy_from_slice(&query.bytes[..2]);
        out[HEADER..query.question_end].copy_from_slice(&query.bytes[HEADER..query.question_end]);
        let age = now.saturating_duration_since(self.kept_at).as_secs() as u32;
        for offset in self.ttl_offsets.iter().map(|offset| usize::from(*offset)) {
            let ttl = be32(out, offset).unwrap_or_default().saturating_sub(age);
            out[offset..offset + 4].copy_from_slice(&ttl.to_be_bytes());
        }
    }

    fn size(&self, key: &[u8]) -> usize {
        self.bytes.len() + 2 * self.ttl_offsets.len() + 2 * key.len() + ENTRY_OVERHEAD
    }
}
