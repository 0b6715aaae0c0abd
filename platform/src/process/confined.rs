//! A program of others that is trusted little: for a bounded time, with bounded output, and nothing of it stays.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::program::PROGRAM_DIRS;

/// The group `nogroup` or `nobody` of every distribution.
const NO_GROUP: u32 = 65_534;
/// Tells what a run has left behind, by its environment.
const MARK: &str = "OPENZTNA_CHECK";
/// Rounds of looking for what is left: who begins processes faster than they are found is given up.
const SWEEPS: usize = 5;

/// What is run, and how far it may go.
#[derive(Debug, Clone, Copy)]
pub struct Confined<'a> {
    /// The program's full path.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [String],
    /// The user it runs as, without any group of weight; `None` is the one we run as.
    pub user: Option<u32>,
    /// How long it may take.
    pub limit: Duration,
    /// How much it may print, in octets.
    pub most_output: usize,
}

/// What it printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ConfinedError {
    /// The system does not start it.
    #[error("it cannot be started: {0}")]
    Start(io::Error),
    /// It did not end in time.
    #[error("it did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It printed too much.
    #[error("it printed more than {} KiB", .0 / 1024)]
    TooMuch(usize),
    /// The system failed meanwhile.
    #[error("the system failed while it ran: {0}")]
    System(io::Error),
}

impl Confined<'_> {
    /// Runs it in a process group of its own, in `/`, with no input and no environment but `PATH`, `LC_ALL` and a mark.
    /// Afterwards nothing that it started runs any more, as far as it kept the group or the mark.
    ///
    /// # Errors
    /// It cannot be started, takes too long, or prints too much.
    pub fn run(&self) -> Result<Printed, ConfinedError> {
        let deadline = Instant::now() + self.limit;
        let mark = mark();
        let (mut child, pipes) = self.start(&mark).map_err(ConfinedError::Start)?;
        let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(io::Error::from);
        let said =
            ended.map_err(ConfinedError::System).and_then(|ended| self.listen(pipes, &ended, deadline));
        // before it is waited for: its number, which is the group's, is still its own
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL); // an empty group is what is wanted
        let status = child.wait().map_err(ConfinedError::System);
        sweep(&mark);
        let (output, errors) = said?;
        Ok(Printed { status: status?, output, errors })
    }

    fn start(&self, mark: &str) -> io::Result<(Child, [PipeReader; 2])> {
        let (output, to_output) = io::pipe()?;
        let (errors, to_errors) = io::pipe()?;
        for pipe in [&output, &errors] {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let mut command = Command::new(self.program);
        command
            .args(self.arguments)
            .env_clear()
            .env("PATH", PROGRAM_DIRS.join(":"))
            .env("LC_ALL", "C")
            .env(MARK, mark);
        command.current_dir("/").stdin(Stdio::null()).stdout(to_output).stderr(to_errors).process_group(0);
        if let Some(user) = self.user {
            // with a user given, the standard library takes the other groups away, too
            command.uid(user).gid(NO_GROUP);
        }
        Ok((command.spawn()?, [output, errors]))
    }

    /// Reads until the program has ended, whoever else holds its pipes.
    fn listen(
        &self,
        mut pipes: [PipeReader; 2],
        ended: &OwnedFd,
        deadline: Instant,
    ) -> Result<(String, String), ConfinedError> {
        let mut said = [Vec::new(), Vec::new()];
        let mut is_open = [true, true];
        loop {
            let has_ended = wait(&pipes, is_open, ended, deadline).map_err(ConfinedError::System)?;
            for ((pipe, said), is_open) in pipes.iter_mut().zip(&mut said).zip(&mut is_open) {
                if *is_open {
                    *is_open = drain(pipe, said, self.most_output).map_err(ConfinedError::System)?;
                }
            }
            if said.iter().map(Vec::len).sum::<usize>() > self.most_output {
                return Err(ConfinedError::TooMuch(self.most_output));
            }
            if has_ended {
                let [output, errors] = said.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                return Ok((output, errors));
            }
            if Instant::now() >= deadline {
                return Err(ConfinedError::TimedOut(self.limit));
            }
        }
    }
}

/// Waits for something to read, the end of the program, or the deadline; answers whether it has ended.
fn wait(pipes: &[PipeReader; 2], is_open: [bool; 2], ended: &OwnedFd, deadline: Instant) -> io::Result<bool> {
    let left =
        Timespec::try_from(deadline.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
    let mut watched = vec![PollFd::new(ended, PollFlags::IN)];
    let open = pipes.iter().zip(is_open).filter(|(_, is_open)| *is_open);
    watched.extend(open.map(|(pipe, _)| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    match poll(&mut watched, Some(&left)) {
        Ok(_) => Ok(!watched[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes what is there, up to a little more than `most`; answers whether more may come.
fn drain(pipe: &mut PipeReader, into: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    while into.len() <= most {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => into.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Something that no other run has.
fn mark() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
}

/// Ends what has left the group but carries the mark.
fn sweep(mark: &str) {
    let entry = format!("{MARK}={mark}");
    for _ in 0..SWEEPS {
        if !end_marked(&entry) {
            return;
        }
    }
    tracing::warn!("a check of this device leaves processes behind faster than they can be ended");
}

/// Whether there were any.
fn end_marked(entry: &str) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let numbers = processes.filter_map(|process| process.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut has_found = false;
    for number in numbers.filter(|number| is_marked(*number, entry)) {
        let Some(process) = Pid::from_raw(number).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            continue;
        };
        // the number may be another's by now
        if is_marked(number, entry) {
            has_found |= pidfd_send_signal(&process, Signal::KILL).is_ok();
        }
    }
    has_found
}

fn is_marked(number: i32, entry: &str) -> bool {
    let mut environment = Vec::new();
    let read =
        File::open(format!("/proc/{number}/environ")).and_then(|mut file| file.read_to_end(&mut environment));
    read.is_ok() && environment.split(|byte| *byte == 0).any(|other| other == entry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than anything here takes on a busy machine.
    const LONG: Duration = Duration::from_secs(60);

    fn shell(text: &str, limit: Duration, user: Option<u32>) -> Result<Printed, ConfinedError> {
        let arguments = ["-c".to_owned(), text.to_owned()];
        Confined { program: Path::new("/bin/sh"), arguments: &arguments, user, limit, most_output: 64 << 10 }
            .run()
    }

    #[test]
    fn output_status_and_a_bare_environment() {
        let printed =
            shell("echo out; echo err >&2; pwd; env | cut -d= -f1 | sort | tr '\\n' ' '; exit 3", LONG, None)
                .unwrap();
        assert_eq!(printed.status.code(), Some(3));
        assert_eq!(printed.errors, "err\n");
        assert_eq!(printed.output, "out\n/\nLC_ALL OPENZTNA_CHECK PATH PWD ");
        let nothing = Confined {
            program: Path::new("/no-such-program"),
            arguments: &[],
            user: None,
            limit: LONG,
            most_output: 1,
        };
        assert!(matches!(nothing.run(), Err(ConfinedError::Start(_))));
    }

    #[test]
    fn who_hangs_or_floods_is_ended_with_all_children() {
        let moment = Duration::from_millis(300);
        assert!(matches!(shell("sleep 600 & exec sleep 600", moment, None), Err(ConfinedError::TimedOut(_))));
        assert!(matches!(shell("exec >&- 2>&-; sleep 600", moment, None), Err(ConfinedError::TimedOut(_))));
        assert!(matches!(shell("while :; do echo flood; done", LONG, None), Err(ConfinedError::TooMuch(_))));
    }

    #[test]
    fn what_runs_away_ends_with_the_run_and_does_not_hold_it_up() {
        let printed =
            shell("setsid sleep 601 & echo $!; sleep 602 & echo $!; echo State: Running", LONG, None)
                .unwrap();
        let numbers: Vec<i32> = printed.output.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(numbers.len(), 2, "{printed:?}");
        let is_alive = |number: &i32| {
            let status = fs::read_to_string(format!("/proc/{number}/cmdline"));
            status.is_ok_and(|words| words.contains("sleep"))
        };
        let end = Instant::now() + LONG;
        while numbers.iter().any(is_alive) {
            assert!(Instant::now() < end, "{numbers:?} still run");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn another_user_has_no_rights_of_ours() {
        if !rustix::process::geteuid().is_root() {
            return; // only root becomes another
        }
        let printed = shell("id -u; id -G; cat /etc/shadow", LONG, Some(65_534)).unwrap();
        assert!(printed.output.starts_with("65534\n65534\n"), "{printed:?}");
        assert!(!printed.status.success() && printed.errors.contains("denied"), "{printed:?}");
    }
}
