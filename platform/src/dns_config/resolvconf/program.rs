//! Runs the program, for a bounded time.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::process::{read_until, wait};

/// How long the program may take; it needs 0.1 s.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the program looks for its helpers: the environment of whoever started us is none of its business.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs it with `input`. What it says goes to `log`, a file that stays locked until it and all that it started have
/// ended, also when we do not live to see that.
pub(super) fn run(program: &Path, words: &[&str], input: &str, log: Option<&Path>) -> io::Result<()> {
    let mut child = start(program, words, Stdio::piped(), Stdio::null(), log)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read says why by its exit status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let status = wait(&mut child, Instant::now() + LIMIT)?;
    if status.success() {
        return Ok(());
    }
    let said = log.map(|log| fs::read_to_string(log).unwrap_or_default()).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default().trim();
    Err(io::Error::other(format!("{status}: {last}")))
}

/// Runs it and returns what it prints.
pub(super) fn read(program: &Path, words: &[&str]) -> io::Result<String> {
    let deadline = Instant::now() + LIMIT;
    let mut child = start(program, words, Stdio::null(), Stdio::piped(), None)?;
    let output = child.stdout.take().map(|pipe| read_until(pipe, deadline)).transpose();
    let status = wait(&mut child, deadline)?;
    let bytes = output?.unwrap_or_default();
    // openresolv answers an error where there are no records.
    if !status.success() && !bytes.is_empty() {
        return Err(io::Error::other(status.to_string()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn start(
    program: &Path,
    words: &[&str],
    input: Stdio,
    output: Stdio,
    log: Option<&Path>,
) -> io::Result<Child> {
    let errors = match log {
        Some(log) => locked(log)?.into(),
        None => Stdio::null(),
    };
    Command::new(program)
        .args(words)
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .current_dir("/")
        .spawn()
}

/// The lock belongs to the open file, which the program and its children inherit.
fn locked(log: &Path) -> io::Result<fs::File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(log)?;
    // A service that it started earlier may hold it still: then only the waiting is lost.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::FileLock;

    const SHELL: &str = "/bin/sh";

    #[test]
    fn input_output_and_last_words_pass() {
        let folder = tempfile::tempdir().unwrap();
        let (log, file) = (folder.path().join("log"), folder.path().join("file"));
        let script = format!("cat >{}; echo one >&2; echo two >&2; exit $1", file.display());
        run(Path::new(SHELL), &["-c", &script, "x", "0"], "input\n", Some(&log)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "input\n");
        let error = run(Path::new(SHELL), &["-c", &script, "x", "3"], "", Some(&log)).unwrap_err();
        assert_eq!(error.to_string(), "exit status: 3: two");
        assert_eq!(read(Path::new(SHELL), &["-c", "echo listed"]).unwrap(), "listed\n");
        assert!(run(Path::new("/none"), &[], "", Some(&log)).is_err());
    }

    #[test]
    fn the_lock_lasts_as_long_as_what_the_program_started() {
        let folder = tempfile::tempdir().unwrap();
        let (log, end) = (folder.path().join("log"), folder.path().join("end"));
        // It goes on in the background until the file `end` is there.
        let script = format!(
            "(i=0; while [ ! -e {} ] && [ $i -lt 3000 ]; do sleep 0.01; i=$((i+1)); done) &",
            end.display()
        );
        run(Path::new(SHELL), &["-c", &script], "", Some(&log)).unwrap();
        assert!(FileLock::acquire(&log, Duration::ZERO).is_err());
        fs::write(&end, "").unwrap();
        FileLock::acquire(&log, Duration::from_secs(30)).unwrap();
    }
}
