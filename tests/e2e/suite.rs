//! The list of tests, what each needs on the machine, and the closing table of those that were skipped.

use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};

use crate::turns::Turns;

/// One end-to-end test.
pub(crate) struct Test {
    /// Names the behaviour.
    pub(crate) name: &'static str,
    /// Programs it needs besides those of every world, and [`ALONE`] or [`SLEEPS`].
    pub(crate) needs: &'static [&'static str],
    /// Panics when the behaviour is not as it must be.
    pub(crate) run: fn(),
}

/// Among the needs: nothing else runs at the same time, since it boots a system and looks at seconds.
pub(crate) const ALONE: &str = "the machine alone";

/// Among the needs: it sleeps for minutes, so it begins first, beside those that work.
pub(crate) const SLEEPS: &str = "patience";

/// Tests of the closing table of the slowest.
const SLOWEST: usize = 10;

/// What every world is made with.
const WORLD_NEEDS: [&str; 6] = ["ip", "nsenter", "unshare", "setpriv", "wireguard-go", "wg"];

/// Where programs are looked for besides `PATH`, which often lacks the administrator's folders.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TIMES: Mutex<Vec<(Duration, &'static str)>> = Mutex::new(Vec::new());

/// The tests for the runner, each list in the order in which they are to begin.
pub(crate) struct Trials {
    /// Those that may run together.
    pub(crate) together: Vec<Trial>,
    /// How many of these sleep.
    pub(crate) sleepers: usize,
    /// Those that run one after the other.
    pub(crate) alone: Vec<Trial>,
}

/// Wraps the tests for the runner. At most `turns` work at one time; those that sleep count for nothing. What lacks a
/// need is skipped, and fails where `CI=true`.
pub(crate) fn trials(tests: Vec<Test>, turns: usize) -> Trials {
    let turns = Arc::new(Turns::new(turns));
    let (alone, mut together): (Vec<Test>, Vec<Test>) =
        tests.into_iter().partition(|test| test.needs.contains(&ALONE));
    let sleeps = |test: &Test| test.needs.contains(&SLEEPS);
    together.sort_by_key(|test| !sleeps(test));
    let sleepers = together.iter().filter(|test| sleeps(test)).count();
    let trial = |test: Test| {
        let turns = turns.clone();
        Trial::ignorable_test(test.name, move || {
            let _turn = (!sleeps(&test)).then(|| turns.take());
            run(&test)
        })
    };
    let [together, alone] = [together, alone].map(|tests| tests.into_iter().map(trial).collect());
    Trials { together, sleepers, alone }
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
    let programs = test.needs.iter().filter(|need| ![ALONE, SLEEPS].contains(need));
    let needs = WORLD_NEEDS.iter().chain(programs);
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
