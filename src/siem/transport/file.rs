//! A file of lines that is rotated, for a forwarder on this device.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::siem::format::{Context, Numbered};
use crate::siem::problem::Problem;

/// Octets after which another file begins: forwarders read it in seconds, and people open it in an editor.
const MOST: u64 = 16 << 20;
/// Files that are kept beside the one that is written: `.1` is the latest.
const KEPT: u32 = 4;

pub(in crate::siem) struct RotatingFile {
    path: PathBuf,
    file: File,
    octets: u64,
    most: u64,
    context: Context,
    written: Option<u64>,
}

impl RotatingFile {
    pub(super) fn open(path: &Path, context: Context) -> Result<Self, Problem> {
        let file = open(path).map_err(|error| failed("open", path, &error))?;
        let octets = file.metadata().map_err(|error| failed("open", path, &error))?.len();
        Ok(Self { path: path.to_owned(), file, octets, most: MOST, context, written: None })
    }

    pub(super) fn send(&mut self, events: &[Numbered]) -> Result<(), Problem> {
        let mut text = String::new();
        for numbered in events {
            self.context.write(numbered, &mut text);
            text.push('\n');
        }
        let written = self.write(&text).map_err(|error| failed("write", &self.path, &error));
        self.written = events.last().map(|last| last.sequence + 1);
        written
    }

    pub(super) fn confirmed(&self) -> Option<u64> {
        self.written
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // somebody else may have moved it away, or removed it
        let is_gone = fs::metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_gone || (self.octets > 0 && self.octets + text.len() as u64 > self.most) {
            if !is_gone {
                self.rotate()?;
            }
            self.file = open(&self.path)?;
            self.octets = 0;
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            let _ = self.file.set_len(self.octets); // no half line, if that can be helped
            return Err(error);
        }
        self.octets += text.len() as u64;
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        let name = |number: u32| self.path.with_added_extension(number.to_string());
        for number in (1..KEPT).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, name(1))
    }
}

/// Forwarders run as another user, so the file's group may read it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("failed to {verb} file: `{}`: {error}", path.display()))
        .hint("its folder must be there, and the service must be able to write there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SiemFormat;
    use crate::event::{Event, Kind};

    fn events(from: u64, count: u64) -> Vec<Numbered> {
        let event = || Event::new(Kind::AccessAllowed, "x\ny");
        (from..from + count).map(|sequence| Numbered { sequence, event: event() }).collect()
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_whole_and_files_bounded_in_size_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        let context = Context {
            format: SiemFormat::Json,
            hostname: "h".to_owned(),
            additional: Vec::new(),
            device_id: String::new(),
        };
        let mut file = RotatingFile::open(&path, context.clone()).unwrap();
        file.most = 4 << 10;
        for from in 0..100 {
            file.send(&events(from * 2 + 1, 2)).unwrap();
        }
        assert_eq!(file.confirmed(), Some(201));
        let mut found =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        found.sort();
        assert_eq!(found.len(), 5, "{found:?}");
        let numbers = |path: &Path| {
            lines(path).iter().map(|line| line["event"]["sequence"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        let all: Vec<u64> = found.iter().rev().flat_map(|path| numbers(path)).collect();
        let newest = numbers(&path);
        assert!(all.contains(&200) && newest.last() == Some(&200), "{all:?}");
        assert!(found.iter().all(|path| fs::metadata(path).unwrap().len() <= 4 << 10));
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.send(&events(201, 1)).unwrap();
        assert_eq!(numbers(&path), [201], "another program's rotation is followed");
        let error = RotatingFile::open(&folder.path().join("no/events.json"), context).err().unwrap();
        assert!(error.message.starts_with("failed to open file") && error.hint.is_some(), "{error}");
    }
}
