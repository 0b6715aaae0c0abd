//! The list of tests, what each needs on the machine, and the closing table of those that were skipped.

use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};

/// One end-to-end test.
pub(crate) struct Test {
    /// Names the behaviour.
    pub(crate) name: &'static str,
    /// Programs it needs besides those of every world, and [`ALONE`].
    pub(crate) needs: &'static [&'static str],
    /// Panics when the behaviour is not as it must be.
    pub(crate) run: fn(),
}

/// Among the needs: nothing else runs at the same time, since it counts wake-ups or boots a system.
pub(crate) const ALONE: &str = "the machine alone";

/// Tests of the closing table of the slowest.
const SLOWEST: usize = 10;

/// What every world is made with.
const WORLD_NEEDS: [&str; 6] = ["ip", "nsenter", "unshare", "setpriv", "wireguard-go", "wg"];

/// Where programs are looked for besides `PATH`, which often lacks the administrator's folders.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TIMES: Mutex<Vec<(Duration, &'static str)>> = Mutex::new(Vec::new());

/// Wraps the tests for the runner: those that may run together, and those that run alone. What lacks a need is
/// skipped, and fails where `CI=true`.
pub(crate) fn trials(tests: Vec<Test>) -> (Vec<Trial>, Vec<Trial>) {
    let (alone, together): (Vec<Test>, Vec<Test>) =
        tests.into_iter().partition(|test| test.needs.contains(&ALONE));
    let trial = |test: Test| Trial::ignorable_test(test.name, move || run(&test));
    (together.into_iter().map(trial).collect(), alone.into_iter().map(trial).collect())
}

/// Prints which tests took longest.
pub(crate) fn print_slowest() {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable();
    for (time, name) in times.iter().rev().take(SLOWEST) {
        println!("{:>4} s  {name}", time.as_secs());
    }
}

/// Prints what was skipped and why, if anything.
pub(crate) fn print_skipped() {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    for line in skipped.iter() {
        println!("{line}");
    }
}

fn run(test: &Test) -> Result<Completion, Failed> {
    let Some(missing) = missing(test) else {
        let start = Instant::now();
        (test.run)();
        TIMES.lock().unwrap_or_else(PoisonError::into_inner).push((start.elapsed(), test.name));
        return Ok(Completion::Completed);
    };
    if env::var("CI").is_ok_and(|value| value == "true") {
        return Err(format!("needs {missing}, and nothing may be skipped in CI").into());
    }
    let reason = format!("needs {missing}");
    SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("skipped: {reason}  ({})", test.name));
    Ok(Completion::ignored_with(reason))
}

fn missing(test: &Test) -> Option<String> {
    if !is_root() {
        return Some("root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("/dev/net/tun".to_owned());
    }
    let needs = WORLD_NEEDS.iter().chain(test.needs).filter(|need| **need != ALONE);
    let missing: Vec<&str> = needs.filter(|program| find_program(program).is_none()).copied().collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Where a program stands; absolute names are taken as they are.
pub(crate) fn find_program(name: &str) -> Option<String> {
    let path = env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(MORE_FOLDERS).map(|folder| format!("{folder}/{name}"));
    let mut candidates = folders.chain(name.starts_with('/').then(|| name.to_owned()));
    candidates.find(|candidate| Path::new(candidate).is_file())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
