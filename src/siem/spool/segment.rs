//! Segments: files of lines behind a header that says which event is the first and which hash was before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::line::{Hash, decode, from_hex, hex};

/// What the first line of a segment begins with.
const MAGIC: &str = "openztna-events 1 ";
const SUFFIX: &str = ".log";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first event.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) octets: u64,
}

/// What is in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// The number after its last event.
    pub(super) next: u64,
    /// The hash of its last event.
    pub(super) hash: Hash,
    /// Octets up to the end of the last line that is whole.
    pub(super) octets: u64,
}

/// The file's name: it sorts as the numbers do.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

pub(super) fn header(first: u64, before: &Hash) -> String {
    format!("{MAGIC}{first} {}\n", hex(before))
}

/// Reads the header: the number of the first event, and the hash before it.
pub(super) fn read_header(reader: &mut impl BufRead) -> io::Result<Option<(u64, Hash)>> {
    let line = read_line(reader)?.unwrap_or_default();
    let text = std::str::from_utf8(&line).ok().and_then(|text| text.strip_prefix(MAGIC));
    Ok(text
        .and_then(|text| text.split_once(' '))
        .and_then(|(first, before)| Some((first.parse().ok()?, from_hex(before)?))))
}

/// The next whole line without its line break; `None` at the end, also where the end is torn.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    Ok(line.pop_if(|last| *last == b'\n').map(|_| line))
}

/// The segments of a folder, the oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let first =
            name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse().ok());
        if let Some(first) = first {
            segments.push(Segment { first, path: entry.path(), octets: entry.metadata()?.len() });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// Reads a segment to its end; `None` when not even its header is whole.
pub(super) fn scan(path: &Path) -> io::Result<Option<Scan>> {
    let mut reader = BufReader::new(File::open(path)?);
    let Some((first, before)) = read_header(&mut reader)? else { return Ok(None) };
    let mut scan = Scan { next: first, hash: before, octets: header(first, &before).len() as u64 };
    let mut octets = scan.octets;
    while let Some(line) = read_line(&mut reader)? {
        octets += line.len() as u64 + 1;
        // what is no line is a damage in the middle, and the torn end where nothing follows
        let decoded = decode(&line, &scan.hash);
        if let Some(decoded) = decoded.filter(|decoded| is_near(decoded.sequence, scan.next)) {
            scan = Scan { next: decoded.sequence + 1, hash: decoded.hash, octets };
        }
    }
    Ok(Some(scan))
}

/// Whether a number may follow in the same segment: one that is far off is forged.
pub(super) fn is_near(sequence: u64, expected: u64) -> bool {
    /// More lines than a segment has.
    const MOST: u64 = 1 << 20;
    sequence >= expected && sequence - expected < MOST
}

/// Puts a text in place of a file's; whole, or not at all.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}

/// The number that a file holds.
pub(super) fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|number| *number > 0)
}
