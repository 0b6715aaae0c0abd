//! Looks through the whole spool for what was changed, with the heads that the SIEM has as witnesses.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::line::{Hash, decode};
use super::segment::{self, Segment, is_near};

/// Findings that are listed; the rest is counted.
const MOST: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::siem) struct Verdict {
    /// Numbers of the first and the last event.
    pub(in crate::siem) range: Option<(u64, u64)>,
    pub(in crate::siem) events: u64,
    /// The first of them.
    pub(in crate::siem) findings: Vec<Finding>,
    /// All of them.
    pub(in crate::siem) found: u64,
    /// Heads that agree.
    pub(in crate::siem) proven: u64,
    /// Heads of events that the spool has given up since.
    pub(in crate::siem) outside: u64,
}

/// A place that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::siem) enum Finding {
    /// Something is not what its hash says.
    Edited(u64),
    /// Not a line of events.
    NotALine(u64),
    /// These events are missing.
    Gap(u64, u64),
    /// The SIEM has another hash of this event.
    HeadDiffers(u64),
    /// The SIEM knows this event, but the spool ends before it.
    Cut(u64),
    /// A segment without a header.
    Header(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited(sequence) => write!(f, "event {sequence} or one before it was edited"),
            Self::NotALine(sequence) => write!(f, "where event {sequence} should be is something else"),
            Self::Gap(first, last) => write!(f, "events {first} to {last} are missing"),
            Self::HeadDiffers(sequence) => {
                write!(f, "the SIEM has another hash of event {sequence}: it or one before it was replaced")
            }
            Self::Cut(sequence) => {
                write!(f, "the SIEM has the hash of event {sequence}, but the spool ends before it")
            }
            Self::Header(name) => write!(f, "segment `{name}` does not begin as segments do"),
        }
    }
}

/// Where a walk through the segments is.
struct Walk<'a> {
    verdict: Verdict,
    heads: &'a BTreeMap<u64, Hash>,
    /// The number that is expected, and the hash before it.
    next: Option<(u64, Hash)>,
}

/// Reads every event of a spool.
///
/// # Errors
/// When it cannot be read.
pub(in crate::siem) fn verify(folder: &Path, heads: &BTreeMap<u64, Hash>) -> io::Result<Verdict> {
    let mut walk = Walk { verdict: Verdict::default(), heads, next: None };
    for segment in segment::list(folder)? {
        walk.segment(&segment)?;
    }
    let end = walk.next.map_or(1, |(next, _)| next);
    for sequence in heads.range(end..).map(|(sequence, _)| *sequence) {
        walk.find(Finding::Cut(sequence));
    }
    let begin = walk.verdict.range.map_or(end, |(first, _)| first);
    walk.verdict.outside = heads.range(..begin).count() as u64;
    Ok(walk.verdict)
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(&segment.path)?);
        let Some((first, before)) = segment::read_header(&mut reader)? else {
            let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
            self.find(Finding::Header(name.into_owned()));
            return Ok(());
        };
        match self.next {
            Some((next, _)) if first > next => self.find(Finding::Gap(next, first - 1)),
            Some((next, hash)) if first < next || hash != before => self.find(Finding::Edited(first)),
            Some(_) | None => {}
        }
        let mut next = (first, before);
        while let Some(line) = segment::read_line(&mut reader)? {
            next = self.line(&line, next);
        }
        self.next = Some(next);
        Ok(())
    }

    /// Looks at a line; what is expected after it.
    fn line(&mut self, line: &[u8], (expected, before): (u64, Hash)) -> (u64, Hash) {
        let decoded = decode(line, &before).filter(|decoded| is_near(decoded.sequence, expected));
        let Some(decoded) = decoded else {
            self.find(Finding::NotALine(expected));
            return (expected, before);
        };
        let sequence = decoded.sequence;
        if sequence > expected {
            self.find(Finding::Gap(expected, sequence - 1));
        } else if !decoded.is_chained {
            self.find(Finding::Edited(sequence));
        }
        match self.heads.get(&sequence) {
            Some(head) if *head == decoded.hash => self.verdict.proven += 1,
            Some(_) => self.find(Finding::HeadDiffers(sequence)),
            None => {}
        }
        self.verdict.events += 1;
        let first = self.verdict.range.map_or(sequence, |(first, _)| first);
        self.verdict.range = Some((first, sequence));
        (sequence + 1, decoded.hash)
    }

    fn find(&mut self, finding: Finding) {
        self.verdict.found += 1;
        if self.verdict.findings.len() < MOST {
            self.verdict.findings.push(finding);
        }
    }
}
