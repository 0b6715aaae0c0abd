//! The events of this device on its disk, chained, until the SIEM has them and as long as there is room after that.
//!
//! Segments of lines are only added to. A line is written before anybody is told that its event is kept, and is on the
//! disk itself a second later at most: the end of the process loses nothing, that of the machine a second. What cannot be
//! written waits in memory, as much as has room there.

mod line;
mod reader;
mod segment;
mod trim;
mod verify;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) use line::{Hash, from_hex, hex};
pub(super) use reader::Cursor;
pub(super) use verify::verify;

use crate::event::Event;
use line::{GENESIS, Line};
use segment::Segment;

/// Where it is in the state folder.
pub(super) const FOLDER: &str = "events";
/// The file that says what the SIEM has.
const POSITION: &str = "confirmed";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Octets of all segments; the oldest goes when there are more.
    pub(super) disk: u64,
    /// Octets of a segment; another one begins when there are more.
    pub(super) segment: u64,
    /// Octets in memory while the disk takes nothing; the oldest goes when there are more.
    pub(super) memory: usize,
}

impl Default for Limits {
    /// About 150,000 events, which a busy device makes in some hours, and as many in memory as come in some minutes.
    fn default() -> Self {
        Self { disk: 128 << 20, segment: 2 << 20, memory: 8 << 20 }
    }
}

#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    limits: Limits,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The newest segment, open to be added to.
    file: Option<File>,
    /// The number of the next event.
    next: u64,
    /// The hash of the latest event.
    hash: Hash,
    /// What comes after this is not on the disk.
    on_disk: u64,
    /// Not on the disk.
    waiting: VecDeque<Line>,
    waiting_octets: usize,
    /// The SIEM has everything before this.
    confirmed: u64,
    saved: u64,
    is_dirty: bool,
    lost: u64,
    damage: Option<Damage>,
    /// Damage before this was told.
    looked_at: u64,
    fault: Option<String>,
}

/// What was found changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// The number of the first event that is not as it was.
    pub(super) first: u64,
    /// Places that were found.
    pub(super) places: u64,
}

impl Spool {
    /// Goes on where an earlier run has ended. A disk that cannot be used is a fault, not a failure.
    pub(super) fn open(folder: PathBuf, limits: Limits) -> Self {
        let mut spool = Self {
            folder,
            limits,
            segments: VecDeque::new(),
            file: None,
            next: 1,
            hash: GENESIS,
            on_disk: 1,
            waiting: VecDeque::new(),
            waiting_octets: 0,
            confirmed: 1,
            saved: 1,
            is_dirty: false,
            lost: 0,
            damage: None,
            looked_at: 0,
            fault: None,
        };
        let loaded = spool.load();
        spool.note(loaded);
        spool
    }

    /// Keeps an event; answers its number and hash. It is on the disk after the next [`Self::flush`].
    pub(super) fn append(&mut self, event: &Event) -> (u64, Hash) {
        let line = Line::new(self.next, self.hash, &trim::trimmed(event));
        self.hash = line.hash;
        self.next += 1;
        self.waiting_octets += line.text.len();
        self.waiting.push_back(line);
        (self.next - 1, self.hash)
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        let mut written = self.write_waiting();
        while written.as_ref().is_err_and(is_full) && self.remove_sent() {
            written = self.write_waiting();
        }
        self.note(written);
        while self.waiting_octets > self.limits.memory {
            let Some(line) = self.waiting.pop_front() else { break };
            self.waiting_octets -= line.text.len();
            self.lost += u64::from(line.sequence >= self.confirmed);
        }
    }

    /// Whether there is anything for [`Self::tick`].
    pub(super) fn needs_tick(&self) -> bool {
        self.is_dirty || !self.waiting.is_empty() || self.confirmed != self.saved
    }

    /// Once a second: what was written goes onto the disk itself, and what the SIEM has is noted.
    pub(super) fn tick(&mut self) {
        if !self.waiting.is_empty() {
            self.flush();
        }
        if std::mem::take(&mut self.is_dirty)
            && let Some(file) = &self.file
        {
            let synced = file.sync_data();
            self.complain(synced);
        }
        if self.confirmed != self.saved {
            let saved = segment::replace(&self.folder.join(POSITION), &format!("{}\n", self.confirmed));
            self.saved = self.confirmed; // it is tried again with the next that is confirmed
            self.complain(saved);
        }
    }

    /// The SIEM has everything before this number.
    pub(super) fn confirm(&mut self, until: u64) {
        self.confirmed = self.confirmed.max(until.min(self.next));
    }

    /// The first number that the SIEM may not have.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// How many the SIEM may not have.
    pub(super) fn backlog(&self) -> u64 {
        let oldest = self.segments.front().map(|segment| segment.first);
        let oldest = oldest.or(self.waiting.front().map(|line| line.sequence)).unwrap_or(self.next);
        self.next - self.confirmed.max(oldest).min(self.next)
    }

    /// How many were given up since this was last asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// What was found changed since this was last asked.
    pub(super) fn take_damage(&mut self) -> Option<Damage> {
        self.damage.take()
    }

    /// Why the disk takes nothing.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn load(&mut self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.segments = segment::list(&self.folder)?.into();
        self.saved = segment::read_number(&self.folder.join(POSITION)).unwrap_or(1);
        self.confirmed = self.saved;
        while let Some(newest) = self.segments.back() {
            let Some(scan) = segment::scan(&newest.path)? else {
                fs::remove_file(&newest.path)?; // not even its first line is whole
                self.segments.pop_back();
                continue;
            };
            (self.next, self.hash) = (scan.next, scan.hash);
            self.continue_segment(scan.octets)?;
            break;
        }
        self.on_disk = self.next;
        if self.next < self.confirmed {
            // more was sent than is there: somebody has cut it
            self.report(self.next);
            (self.next, self.on_disk, self.file) = (self.confirmed, self.confirmed, None);
        }
        Ok(())
    }

    /// Opens the newest segment to be added to, without what was not written to its end.
    fn continue_segment(&mut self, octets: u64) -> io::Result<()> {
        let Some(newest) = self.segments.back_mut() else { return Ok(()) };
        let file = OpenOptions::new().append(true).open(&newest.path)?;
        file.set_len(octets)?;
        newest.octets = octets;
        self.file = Some(file);
        Ok(())
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        while let Some(first) = self.waiting.front() {
            let is_gap = first.sequence != self.on_disk;
            let is_long = self.segments.back().is_none_or(|newest| newest.octets >= self.limits.segment);
            if is_gap || is_long || self.file.is_none() {
                self.begin_segment()?;
            }
            self.write_some()?;
            self.remove_oldest();
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let Some(Line { sequence, before, .. }) = self.waiting.front() else { return Ok(()) };
        if let Some(file) = self.file.take() {
            file.sync_data()?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join(segment::name(*sequence));
        let header = segment::header(*sequence, before);
        // a file of this name holds nothing: its first event is only now written
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.set_len(0)?;
        if let Err(error) = file.write_all(header.as_bytes()) {
            let _ = fs::remove_file(&path); // it would be an empty segment
            return Err(error);
        }
        if self.segments.back().is_some_and(|newest| newest.path == path) {
            self.segments.pop_back();
        }
        self.segments.push_back(Segment { first: *sequence, path, octets: header.len() as u64 });
        self.on_disk = *sequence;
        self.file = Some(file);
        Ok(())
    }

    /// Writes what waits without a gap, as much as has room in the segment.
    fn write_some(&mut self) -> io::Result<()> {
        let (Some(newest), Some(file)) = (self.segments.back_mut(), &mut self.file) else { return Ok(()) };
        let room = self.limits.segment.saturating_sub(newest.octets);
        let (mut text, mut count) = (String::new(), 0);
        for (line, expected) in self.waiting.iter().zip(self.on_disk..) {
            if line.sequence != expected || count > 0 && (text.len() + line.text.len()) as u64 > room {
                break;
            }
            text.push_str(&line.text);
            count += 1;
        }
        if let Err(error) = file.write_all(text.as_bytes()) {
            if file.set_len(newest.octets).is_err() {
                self.file = None; // what is torn stays, and another segment begins
            }
            return Err(error);
        }
        newest.octets += text.len() as u64;
        self.on_disk += count as u64;
        self.waiting.drain(..count);
        self.waiting_octets -= text.len();
        self.is_dirty = true;
        Ok(())
    }

    fn remove_oldest(&mut self) {
        while self.segments.len() > 1
            && self.segments.iter().map(|segment| segment.octets).sum::<u64>() > self.limits.disk
        {
            let Some(oldest) = self.segments.pop_front() else { return };
            let end = self.segments.front().map_or(self.on_disk, |segment| segment.first);
            self.lost += end.saturating_sub(oldest.first.max(self.confirmed));
            let removed = fs::remove_file(&oldest.path);
            self.complain(removed);
        }
    }

    /// Gives up the oldest segment if the SIEM has all of it.
    fn remove_sent(&mut self) -> bool {
        let is_sent = self.segments.get(1).is_some_and(|second| second.first <= self.confirmed);
        let oldest = if is_sent { self.segments.pop_front() } else { None };
        oldest.is_some_and(|oldest| fs::remove_file(&oldest.path).is_ok())
    }

    /// Notes what was found changed, once a place.
    fn report(&mut self, sequence: u64) {
        if sequence < self.looked_at {
            return;
        }
        self.looked_at = sequence + 1;
        let damage = self.damage.get_or_insert(Damage { first: sequence, places: 0 });
        damage.places += 1;
    }

    /// Notes a failure of something else than writing events, which a success there ends.
    fn complain(&mut self, result: io::Result<()>) {
        self.fault = result.err().map(|error| error.to_string()).or(self.fault.take());
    }

    fn note(&mut self, result: io::Result<()>) {
        self.fault = result.err().map(|error| error.to_string());
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Where the spool of a state folder is.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

#[cfg(test)]
mod tests;
