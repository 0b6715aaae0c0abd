//! A message with records taken out or changed in length: the others keep their bytes, only names move.
//!
//! A message cannot simply be cut, since compression pointers may point into what is gone or has moved. So each name
//! is read and written again, where its record type allows it with compression.

use std::collections::HashMap;

use super::{Edit, RewriteError};
use crate::name::labels;
use crate::seeded_hash::SeededHash;
use crate::wire::{HEADER, Malformed, Message, Record, Section, put16, read_name, skip_name};

/// The highest offset that a pointer can name, exclusive (RFC 1035 §4.1.4).
const POINTER_LIMIT: usize = 0x4000;

/// Writes a message with its edits carried out.
pub(super) fn splice(message: &Message<'_>, edits: &[Edit]) -> Result<Vec<u8>, RewriteError> {
    let mut writer = Writer::new(&message.bytes[..message.question.end]);
    let mut counts = [0u16; 3];
    for (record, edit) in message.records.iter().zip(edits) {
        match edit {
            Edit::Remove => continue,
            Edit::Keep => writer.record(message.bytes, record, None)?,
            Edit::Data(data) => writer.record(message.bytes, record, Some(data))?,
        }
        counts[match record.section {
            Section::Answer => 0,
            Section::Authority => 1,
            Section::Additional => 2,
        }] += 1;
    }
    let mut bytes = writer.bytes;
    for (index, count) in counts.into_iter().enumerate() {
        put16(&mut bytes, 6 + 2 * index, count);
    }
    if bytes.len() > usize::from(u16::MAX) {
        return Err(RewriteError::Malformed);
    }
    Ok(bytes)
}

struct Writer {
    bytes: Vec<u8>,
    /// Where each name was written that others can point to. Only looked up, never listed.
    places: HashMap<Vec<u8>, u16, SeededHash>,
}

impl Writer {
    /// Starts with header and question, which stay where they are.
    fn new(head: &[u8]) -> Self {
        let mut writer = Self { bytes: head.to_vec(), places: HashMap::default() };
        if let Ok(name) = read_name(head, HEADER) {
            writer.remember(name.as_bytes(), HEADER);
        }
        writer
    }

    fn record(&mut self, message: &[u8], record: &Record, data: Option<&[u8]>) -> Result<(), Malformed> {
        let owner = read_name(message, record.owner)?;
        self.name(owner.as_bytes(), true);
        self.bytes.extend_from_slice(&message[record.fixed..record.fixed + 8]);
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        match data {
            Some(data) => self.bytes.extend_from_slice(data),
            None => self.data(message, record)?,
        }
        let length = u16::try_from(self.bytes.len() - length_at - 2).map_err(|_| Malformed)?;
        put16(&mut self.bytes, length_at, length);
        Ok(())
    }

    /// Writes the data of a record. Names within it are those that RFC 3597 §4 lets a server compress; of all other
    /// types the bytes stand for themselves.
    fn data(&mut self, message: &[u8], record: &Record) -> Result<(), Malformed> {
        let within = message.get(..record.data.end).ok_or(Malformed)?;
        let layout = layout(record.rtype);
        let mut at = record.data.start + layout.before;
        self.bytes.extend_from_slice(within.get(record.data.start..at).ok_or(Malformed)?);
        for _ in 0..layout.names {
            let name = read_name(within, at)?;
            self.name(name.as_bytes(), layout.compress);
            at = skip_name(within, at)?;
        }
        self.bytes.extend_from_slice(within.get(at..).ok_or(Malformed)?);
        Ok(())
    }

    fn name(&mut self, name: &[u8], compress: bool) {
        let begin = self.bytes.len();
        let mut rest = name;
        for label in labels(name) {
            if let Some(place) = self.places.get(rest).copied().filter(|_| compress) {
                self.bytes.extend_from_slice(&(0xc000 | place).to_be_bytes());
                self.remember(name, begin);
                return;
            }
            self.bytes.extend_from_slice(&rest[..=label.len()]);
            rest = &rest[label.len() + 1..];
        }
        self.bytes.push(0);
        self.remember(name, begin);
    }

    /// Notes where a name and what is left after each of its labels was written, unless that stands elsewhere too.
    fn remember(&mut self, name: &[u8], begin: usize) {
        let mut at = begin;
        let mut rest = name;
        for label in labels(name) {
            if at >= POINTER_LIMIT || self.places.contains_key(rest) {
                return;
            }
            self.places.insert(rest.to_vec(), at as u16);
            at += label.len() + 1;
            rest = &rest[label.len() + 1..];
        }
    }
}

/// Where names stand in the data of a record type.
struct Layout {
    /// Bytes before the first name.
    before: usize,
    names: usize,
    /// Whether they may be compressed when written: only the types of RFC 1035 (RFC 3597 §4).
    compress: bool,
}

fn layout(rtype: u16) -> Layout {
    let (before, names, compress) = match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => (0, 1, true),
        // SOA, MINFO
        6 | 14 => (0, 2, true),
        // MX
        15 => (2, 1, true),
        // RP
        17 => (0, 2, false),
        // AFSDB, RT, KX
        18 | 21 | 36 => (2, 1, false),
        // PX
        26 => (2, 2, false),
        // NXT, DNAME
        30 | 39 => (0, 1, false),
        // SRV
        33 => (6, 1, false),
        _ => (0, 0, false),
    };
    Layout { before, names, compress }
}
