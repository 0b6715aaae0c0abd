//! dig's answers, parsed so far that two resolvers can be compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::process::run;
use crate::world::World;
use crate::world::namespace::Namespace;

/// How long one batch of questions may take on a busy machine.
const BATCH_LIMIT: Duration = Duration::from_secs(120);

/// One resource record as dig prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// The owner name.
    pub(crate) name: String,
    /// Such as `A`.
    pub(crate) kind: String,
    /// Everything after the type.
    pub(crate) data: String,
    /// In seconds.
    pub(crate) ttl: u32,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Such as `NXDOMAIN`; empty if no answer came.
    pub(crate) status: String,
    /// Such as `qr aa rd`.
    pub(crate) flags: String,
    /// As asked.
    pub(crate) question: String,
    /// In the order of the answer.
    pub(crate) answer: Vec<Record>,
    /// In the order of the answer.
    pub(crate) authority: Vec<Record>,
    /// In the order of the answer.
    pub(crate) additional: Vec<Record>,
    /// The whole text.
    pub(crate) text: String,
}

impl Answer {
    /// The data of the answer's records of one type.
    pub(crate) fn data(&self, kind: &str) -> Vec<&str> {
        self.answer.iter().filter(|record| record.kind == kind).map(|record| record.data.as_str()).collect()
    }

    /// Whether the answer says that it was cut.
    pub(crate) fn is_truncated(&self) -> bool {
        self.flags.split(' ').any(|flag| flag == "tc")
    }

    /// Whether a record has a real address of the company.
    pub(crate) fn shows_real_address(&self) -> bool {
        let sections = self.answer.iter().chain(&self.authority).chain(&self.additional);
        let mut addresses = sections.filter(|record| record.kind == "A" || record.kind == "AAAA");
        addresses.any(|record| record.data.starts_with("10.77.") || record.data.starts_with("fd77:"))
    }

    /// All that must be the same in two answers to the same question: addresses only by their number per owner.
    pub(crate) fn comparable(&self) -> (String, bool, BTreeSet<String>, BTreeSet<String>) {
        let lines = |records: &[Record]| records.iter().map(Record::without_address).collect();
        (self.status.clone(), self.is_truncated(), lines(&self.answer), lines(&self.authority))
    }
}

impl Record {
    fn without_address(&self) -> String {
        match self.kind.as_str() {
            "A" | "AAAA" => format!("{} {} <address>", self.name, self.kind),
            _ => format!("{} {} {}", self.name, self.kind, self.data),
        }
    }
}

/// Asks many questions in one run of dig, on a host; `options` such as `@10.77.0.53` hold for all of them.
#[track_caller]
pub(crate) fn ask_all(
    world: &World,
    host: &Namespace,
    options: &[&str],
    questions: &[(String, &str)],
) -> Vec<Answer> {
    let mut batch = String::new();
    for (name, kind) in questions {
        let _ = writeln!(batch, "{name} {kind}");
    }
    let file = world.folder().join(format!("questions-{}", host.id()));
    fs::write(&file, batch).expect("a file of questions");
    let mut command = host.command("dig");
    // dig would read options of the person who runs the tests.
    command.args(["-r", "+tries=2", "+time=5", "+qid=7"]).args(options).arg("-f").arg(&file);
    let output = run(&mut command, BATCH_LIMIT);
    let answers = split(&output.stdout);
    assert_eq!(answers.len(), questions.len(), "answers of dig\n{}{}", output.stdout, output.stderr);
    answers
}

/// Asks one question.
#[track_caller]
pub(crate) fn ask(host: &Namespace, options: &[&str], name: &str, kind: &str) -> Answer {
    let mut command = host.command("dig");
    command.args(["-r", "+tries=2", "+time=5"]).args(options).args([name, kind]);
    parse(&run(&mut command, BATCH_LIMIT).stdout)
}

/// Each answer begins with a line that repeats the question.
fn split(text: &str) -> Vec<Answer> {
    let mut parts: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("; <<>> DiG") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            let _ = writeln!(part, "{line}");
        }
    }
    parts.iter().map(|part| parse(part)).collect()
}

fn parse(text: &str) -> Answer {
    let mut answer = Answer { text: text.to_owned(), ..Answer::default() };
    let mut section = "";
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("status: ") {
            answer.status = rest.split(',').next().unwrap_or_default().to_owned();
            // What was cut and asked again over TCP is a second header.
            (answer.answer, answer.authority, answer.additional) = Default::default();
        } else if let Some(rest) = line.strip_prefix(";; flags: ") {
            answer.flags = rest.split(';').next().unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix(";; ").and_then(|rest| rest.strip_suffix(" SECTION:")) {
            section = rest;
        } else if section == "QUESTION" && line.starts_with(';') && !line.starts_with(";;") {
            answer.question = line.trim_start_matches(';').split_whitespace().collect::<Vec<_>>().join(" ");
        } else if let Some(record) = record(line) {
            match section {
                "ANSWER" => answer.answer.push(record),
                "AUTHORITY" => answer.authority.push(record),
                _ => answer.additional.push(record),
            }
        }
    }
    answer
}

fn record(line: &str) -> Option<Record> {
    if line.starts_with(';') {
        return None;
    }
    let mut words = line.split_whitespace();
    let (name, ttl, _class, kind) =
        (words.next()?, words.next()?.parse().ok()?, words.next()?, words.next()?);
    let data = words.collect::<Vec<_>>().join(" ");
    Some(Record { name: name.to_owned(), kind: kind.to_owned(), data, ttl })
}
