//! Runs programs: to their end within a limit, or beside the test until it drops them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a state is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(10);

/// What a program that ran to its end left.
pub(crate) struct Finished {
    /// The exit code; -1 when it was killed.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// The trimmed output of a program that must have succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim().to_owned()
    }
}

/// Runs a program to its end; one that takes longer than `limit` is killed and panics.
#[track_caller]
pub(crate) fn run(command: &mut Command, limit: Duration) -> Finished {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(
            |error| {
                panic!("failed to start {command:?}: {error}");
            },
        );
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let status = wait(&mut child, limit);
    if status.is_none() {
        kill_and_wait(&mut child);
    }
    let text =
        |reader: Option<thread::JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        panic!("{command:?} did not end within {limit:?}\nstdout: {stdout}\nstderr: {stderr}");
    };
    Finished { code: status.code().unwrap_or(-1), stdout, stderr }
}

/// Waits for an event; panics with its description after `limit`.
#[track_caller]
pub(crate) fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(POLL);
    }
}

/// A program that runs beside the test, its output in a log file, killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program; its output goes to the end of `log`.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("a log file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// The process id; behind an nsenter that entered a process namespace and waits, that of its child.
    pub(crate) fn id(&self) -> u32 {
        let id = self.child.id();
        let program = std::fs::read_link(format!("/proc/{id}/exe")).unwrap_or_default();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let child = children.split_whitespace().next().and_then(|child| child.parse().ok());
        child.filter(|_| program.ends_with("nsenter")).unwrap_or(id)
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child's state")
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        run(Command::new("kill").args(["-s", signal, &id]), Duration::from_secs(5));
    }

    /// Waits for its end; panics after `limit`.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        match wait(&mut self.child, limit) {
            Some(status) => status,
            None => panic!("process {} did not end within {limit:?}\n{}", self.id(), self.log()),
        }
    }

    /// Kills it at once (SIGKILL) and reaps it.
    pub(crate) fn kill(&mut self) {
        if self.id() != self.child.id() && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal("KILL");
        }
        kill_and_wait(&mut self.child);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The programs that a program has started and that still run, by any of its threads.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let mut found: Vec<u32> = Vec::new();
    lists.for_each(|list| found.extend(list.split_whitespace().filter_map(|id| id.parse::<u32>().ok())));
    found
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child's state") {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(POLL);
    }
}

fn kill_and_wait(child: &mut Child) {
    // An error only says that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn reader(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
