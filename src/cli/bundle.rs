//! `bundle`: an archive for support, without secrets, and with pseudonyms for names, addresses and persons.

mod facts;
mod pseudonyms;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use axum::http::Method;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::{control, output};
use crate::api::client;
use crate::error::{Exit, Failure};
use pseudonyms::Pseudonyms;

/// What is asked of the connector: file, resource.
const RESOURCES: [(&str, &str); 5] = [
    ("status.json", "/api/v1/status"),
    ("configuration.json", "/api/v1/config"),
    ("settings.json", "/api/v1/settings"),
    ("device.json", "/api/v1/device"),
    ("log.json", "/api/v1/logs?limit=2000"),
];
/// The folder within the archive.
const FOLDER: &str = "openztna-bundle";

const ABOUT: &str = "A support archive of OpenZTNA Client Connector.\n\
    Tokens, passwords and keys are not in it. Names of hosts, applications, gateways and users, and addresses, are \
    replaced: the same one by the same word everywhere.\n\nFiles:\n";

/// One file of the archive.
struct Entry {
    name: &'static str,
    text: String,
}

/// Writes the archive and lists what is in it. A connector that does not run is said in it.
pub(super) fn bundle(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let answers = RESOURCES.map(|(name, path)| (name, ask(path)));
    let status =
        answers.iter().find_map(|(name, answer)| answer.as_ref().ok().filter(|_| *name == "status.json"));
    let mut pseudonyms = Pseudonyms::new(status, &facts::users(), &facts::host_name());
    let mut entries: Vec<Entry> = answers
        .into_iter()
        .map(|(name, answer)| Entry { name, text: shown(answer, &mut pseudonyms) })
        .collect();
    entries.push(Entry { name: "system.txt", text: pseudonyms.replace(&facts::system()) });
    let list: String =
        entries.iter().map(|entry| format!("{} ({} octets)\n", entry.name, entry.text.len())).collect();
    entries.insert(0, Entry { name: "README.txt", text: format!("{ABOUT}{list}") });

    let path = file.map_or_else(default_path, Path::to_owned);
    write(&path, &entries).with_context(|| format!("failed to write archive: `{}`", path.display()))?;
    output::line(&format!("{} has:\n{}", path.display(), list.trim_end()));
    output::line("Look into it before you pass it on: texts that nobody foresaw may still tell something");
    Ok(Exit::Success.into())
}

fn ask(path: &str) -> anyhow::Result<Value> {
    control::ask(async |socket| client::request(socket, Method::GET, path).await)
}

fn shown(answer: anyhow::Result<Value>, pseudonyms: &mut Pseudonyms) -> String {
    match answer {
        Ok(mut value) => {
            pseudonyms.replace_in(&mut value);
            format!("{value:#}\n")
        }
        Err(error) => {
            let hint = error.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
            pseudonyms.replace(&format!("{error:#}\n{}\n", hint.unwrap_or_default()))
        }
    }
}

fn default_path() -> PathBuf {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
    PathBuf::from(format!("{FOLDER}-{time}.tar.gz"))
}

/// A new file of mode 0600; one that is there already stays.
fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    pack(file, entries)?.sync_all()
}

fn pack(file: File, entries: &[Entry]) -> io::Result<File> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("{FOLDER}/{}", entry.name), entry.text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_holds_its_files_and_replaces_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        let entries =
            [Entry { name: "a.txt", text: "one".into() }, Entry { name: "b.txt", text: "two".into() }];
        write(&path, &entries).unwrap();
        assert!(write(&path, &entries).is_err(), "a file that is there stays");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((entry.path().unwrap().display().to_string(), text));
        }
        let expected = [("openztna-bundle/a.txt", "one"), ("openztna-bundle/b.txt", "two")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
