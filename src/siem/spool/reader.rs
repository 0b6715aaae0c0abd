//! Reads the spool in order, from any number on.

use std::fs::File;
use std::io::{self, BufReader};

use super::line::{Hash, decode};
use super::{Spool, segment};
use crate::siem::format::Numbered;

/// A place in the spool.
#[derive(Debug)]
pub(in crate::siem) struct Cursor {
    /// The number of the next event that is wanted.
    next: u64,
    open: Option<Open>,
}

/// A segment that is read.
#[derive(Debug)]
struct Open {
    first: u64,
    reader: BufReader<File>,
    /// The hash of the latest line.
    hash: Hash,
    /// The number that the next line must have.
    expected: u64,
}

/// What a step found.
enum Step {
    Event(Box<Numbered>),
    Nothing,
    End,
}

impl Cursor {
    pub(in crate::siem) fn at(next: u64) -> Self {
        Self { next, open: None }
    }
}

impl Spool {
    /// The next events, at most so many; none when all were read.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(in crate::siem) fn read(&mut self, cursor: &mut Cursor, most: usize) -> io::Result<Vec<Numbered>> {
        let mut found = Vec::new();
        if let Some(oldest) = self.segments.front()
            && oldest.first > cursor.next
        {
            *cursor = Cursor::at(oldest.first);
        }
        while found.len() < most && cursor.next < self.on_disk {
            match self.step(cursor)? {
                Step::Event(numbered) => found.push(*numbered),
                Step::Nothing => {}
                Step::End => *cursor = Cursor::at(self.on_disk),
            }
        }
        let next = cursor.next;
        let waiting = self.waiting.iter().filter(|line| line.sequence >= next);
        for line in waiting.take(most - found.len()) {
            cursor.next = line.sequence + 1;
            found.extend(line.numbered());
        }
        Ok(found)
    }

    fn step(&mut self, cursor: &mut Cursor) -> io::Result<Step> {
        let mut open = match cursor.open.take() {
            Some(open) => open,
            None => match self.enter(cursor.next)? {
                Ok(open) => open,
                Err(first) => return Ok(self.leave(cursor, first)),
            },
        };
        let Some(line) = segment::read_line(&mut open.reader)? else {
            return Ok(self.leave(cursor, open.first));
        };
        let decoded = decode(&line, &open.hash);
        // numbers only rise; one from beyond the end is forged
        let is_possible = |sequence: &u64| (open.expected..self.on_disk).contains(sequence);
        let Some(decoded) = decoded.filter(|decoded| is_possible(&decoded.sequence)) else {
            self.report(open.expected);
            cursor.open = Some(open);
            return Ok(Step::Nothing);
        };
        let sequence = decoded.sequence;
        if !decoded.is_chained || sequence != open.expected {
            self.report(open.expected);
        }
        (open.hash, open.expected) = (decoded.hash, sequence + 1);
        cursor.open = Some(open);
        if sequence < cursor.next {
            return Ok(Step::Nothing);
        }
        cursor.next = sequence + 1;
        let event = decoded.event.map(|event| Box::new(Numbered { sequence, event }));
        Ok(event.map_or(Step::Nothing, Step::Event))
    }

    /// Opens the segment that holds a number; where it cannot be read, the number of its first event.
    fn enter(&mut self, next: u64) -> io::Result<Result<Open, u64>> {
        let place = self.segments.iter().rposition(|segment| segment.first <= next).unwrap_or(0);
        let Some(found) = self.segments.get(place) else { return Ok(Err(next)) };
        let first = found.first;
        let file = match File::open(&found.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.report(next.max(first));
                return Ok(Err(first));
            }
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let Some((expected, hash)) = segment::read_header(&mut reader)? else {
            self.report(next.max(first));
            return Ok(Err(first));
        };
        Ok(Ok(Open { first, reader, hash, expected }))
    }

    /// Goes to the segment after the one that begins with `first`.
    fn leave(&mut self, cursor: &mut Cursor, first: u64) -> Step {
        let Some(later) = self.segments.iter().find(|segment| segment.first > first) else {
            self.report(cursor.next); // there should be more
            return Step::End;
        };
        *cursor = Cursor::at(cursor.next.max(later.first));
        Step::Nothing
    }
}
