//! The guardian: a process of its own that undoes what the connector changed, however the connector ends.
//!
//! The connector executes itself again before its first change and holds a pipe to the guardian. Each change goes to the
//! journal and through the pipe, and is made only after the guardian said that it knows how to undo it. When the pipe
//! closes, by an orderly stop or by a kill, the guardian undoes everything, the last change first: there is one way to
//! undo. What kills both leaves the journal to `restore`.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use platform::{
    lock::FileLock,
    process::wait_readable,
    undo::{
        Undo,
        journal::{self, Journal, Record, Restored},
    },
};

/// The subcommand with which the program becomes a guardian.
pub const SUBCOMMAND: &str = "guardian";

/// How long the guardian may take for an acknowledgement; it needs microseconds.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a guardian and `restore` wait for another guardian that is still undoing; that one may take two seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an orderly stop waits for the guardian: the whole stop may take two seconds.
const FINISH_TIMEOUT: Duration = Duration::from_millis(1900);

/// What the guardian says for each line that it took in.
const ACKNOWLEDGEMENT: &str = "ok";

/// The connector's side: the running guardian, and the journal that both know.
#[derive(Debug)]
pub struct Guardian {
    child: Child,
    pipe: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    journal: Journal,
    journal_path: PathBuf,
    next_id: u64,
}

/// A change that was announced, to be withdrawn when it is undone early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an announced change is undone at the end unless it is withdrawn"]
pub struct Announced(u64);

impl Guardian {
    /// Starts the guardian and waits until it is ready.
    ///
    /// What an earlier run left in the journal becomes the guardian's too; undo it first with [`restore`].
    ///
    /// # Errors
    /// The program cannot be executed again, or the journal cannot be written.
    pub fn start(journal_path: &Path) -> anyhow::Result<Self> {
        let journal = Journal::open(journal_path)?;
        let next_id = journal::pending(journal_path)?.iter().map(|(id, _)| id + 1).max().unwrap_or(0);
        let mut child = execute(journal_path).context("failed to start the guardian")?;
        let (Some(pipe), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("failed to start the guardian: no pipe to it");
        };
        let mut guardian = Self {
            child,
            pipe: Some(pipe),
            answers: BufReader::new(answers),
            journal,
            journal_path: journal_path.to_owned(),
            next_id,
        };
        let ready = PATIENCE + ACKNOWLEDGEMENT_TIMEOUT;
        guardian.wait_for_acknowledgement(ready).context("failed to start the guardian")?;
        Ok(guardian)
    }

    /// Says what is about to be changed; change it only after this returned.
    ///
    /// # Errors
    /// The journal cannot be written (a full disk), or the guardian is gone: do not make the change then.
    pub fn announce(&mut self, undo: &Undo) -> anyhow::Result<Announced> {
        let id = self.next_id;
        self.next_id += 1;
        self.tell(&Record::Announce { id, undo: undo.clone() })?;
        Ok(Announced(id))
    }

    /// Says that a change was undone early and must not be undone again.
    ///
    /// # Errors
    /// The journal cannot be written, or the guardian is gone; undoing twice would be harmless.
    pub fn withdraw(&mut self, announced: Announced) -> anyhow::Result<()> {
        self.tell(&Record::Withdraw { id: announced.0 })
    }

    /// The folder of the journal, for other files of ours that undoing needs.
    pub fn folder(&self) -> &Path {
        self.journal_path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether the guardian still runs; if not, start another one: it takes over what the journal holds.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets the guardian undo everything and waits for it, for less than two seconds.
    ///
    /// Drop nothing that the guardian is to undo afterwards; the TUN device may be closed before or after.
    ///
    /// # Errors
    /// Something could not be undone; it is still in the journal, and the guardian has said what.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.pipe = None;
        // It says nothing more after the pipe closed, so that readable means ended.
        if wait_readable(self.answers.get_ref(), FINISH_TIMEOUT)? {
            self.child.wait()?;
        }
        // The journal tells more than the exit status: a guardian that was killed has undone nothing.
        for restored in restore(&self.journal_path)? {
            restored.result.with_context(|| format!("failed to undo {}", restored.undo))?;
        }
        Ok(())
    }

    fn tell(&mut self, record: &Record) -> anyhow::Result<()> {
        self.journal.append(record)?;
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        let Some(pipe) = self.pipe.as_mut() else { bail!("the guardian was told to finish") };
        pipe.write_all(line.as_bytes()).context("failed to reach the guardian")?;
        self.wait_for_acknowledgement(ACKNOWLEDGEMENT_TIMEOUT).context("failed to reach the guardian")
    }

    fn wait_for_acknowledgement(&mut self, timeout: Duration) -> io::Result<()> {
        if self.answers.buffer().is_empty() && !wait_readable(self.answers.get_ref(), timeout)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.trim_end() == ACKNOWLEDGEMENT {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::BrokenPipe, "the guardian ended"))
    }
}

/// The guardian's own `main`: takes in what is announced until the pipe closes, then undoes it.
///
/// To be called first thing in the program, before a runtime or a thread is started.
pub fn guardian_main(journal_path: &Path) -> ExitCode {
    if let Err(error) = platform::process::detach() {
        complain(&format!("guardian: failed to come loose from the connector: {error}"));
    }
    let lock = match hold(journal_path) {
        Ok(lock) => lock,
        Err(error) => {
            complain(&format!("guardian: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // A guardian that was started in the place of another takes over from the journal.
    let mut standing = journal::pending(journal_path).unwrap_or_default();
    if acknowledge().is_ok() {
        take_in(io::stdin().lock(), &mut standing);
    }
    let changes: Vec<Undo> = standing.into_iter().map(|(_, undo)| undo).collect();
    // Twice, to be sure: what the connector did in the moment of its death came after the first look.
    let first = journal::restore_all(changes.clone(), journal_path);
    let second = journal::restore_all(changes, journal_path);
    drop(lock);
    if report(first) & report(second) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Undoes what a journal holds, the last change first; for the command line and for the next start.
///
/// # Errors
/// A guardian holds the journal, which means that a connector runs; or the journal cannot be read or removed. What
/// single changes came to is in the answer.
pub fn restore(journal_path: &Path) -> anyhow::Result<Vec<Restored>> {
    if !journal_path.parent().is_some_and(Path::is_dir) {
        return Ok(Vec::new()); // no connector ever ran here
    }
    let _lock = hold(journal_path)?;
    Ok(journal::restore(journal_path)?)
}

/// One process at a time undoes or may undo: a guardian's last look must not take away what the next one made.
fn hold(journal_path: &Path) -> Result<FileLock, platform::Error> {
    FileLock::acquire(&journal_path.with_extension("lock"), PATIENCE)
}

fn execute(journal_path: &Path) -> io::Result<Child> {
    let journal_path = std::path::absolute(journal_path)?;
    // Not the file's name: it may have been replaced by an upgrade while we run.
    Command::new("/proc/self/exe")
        .arg0("openztna-client-connector")
        .args([SUBCOMMAND, "--journal"])
        .arg(journal_path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .spawn()
}

/// Reads lines until the pipe closes; what is no record (a line torn by a kill) was never acknowledged.
fn take_in(mut lines: impl BufRead, standing: &mut Vec<(u64, Undo)>) {
    let mut line = String::new();
    while matches!(lines.read_line(&mut line), Ok(length) if length > 0) {
        match serde_json::from_str(&line) {
            Ok(Record::Announce { id, undo }) => standing.push((id, undo)),
            Ok(Record::Withdraw { id }) => standing.retain(|(other, _)| *other != id),
            Err(_) => break,
        }
        if acknowledge().is_err() {
            break;
        }
        line.clear();
    }
}

fn acknowledge() -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{ACKNOWLEDGEMENT}")?;
    output.flush()
}

/// Whether all was undone; says what was not.
fn report(restored: Result<Vec<Restored>, platform::Error>) -> bool {
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            complain(&format!("guardian: {error}"));
            return false;
        }
    };
    let mut whole = true;
    for Restored { undo, result } in restored {
        if let Err(error) = result {
            whole = false;
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            complain(&format!("guardian: failed to undo {undo}: {error}: {cause}"));
        }
    }
    whole
}

/// Standard error may be a pipe whose reader died with the connector.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use platform::{
        Family,
        netlink::{Rule, RuleAction},
    };

    use super::*;

    #[test]
    fn torn_line_ends_the_taking_in_and_withdrawn_changes_do_not_stand() {
        let rule = |priority| Undo::Rule(Rule::new(Family::V4, priority, RuleAction::Prohibit));
        let records = [
            Record::Announce { id: 1, undo: rule(1) },
            Record::Announce { id: 2, undo: rule(2) },
            Record::Withdraw { id: 1 },
        ];
        let mut text: String =
            records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        text.push_str("{\"announce\":{\"id\":3,\"un");
        let mut standing = Vec::new();
        take_in(text.as_bytes(), &mut standing);
        assert_eq!(standing, [(2, rule(2))]);
    }

    #[test]
    fn restoring_without_a_journal_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        assert!(restore(&folder.path().join("undo.journal")).unwrap().is_empty());
    }
}
