//! End-to-end tests: a laptop, the internet, a stock WireGuard gateway and a company network in network namespaces.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by a panic and tells the person by printing"
)]

mod agent;
mod browser;
mod connector;
mod dig;
mod enforcement;
mod process;
mod servers;
mod snapshot;
mod suite;
mod tests;
mod turns;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Conclusion};

use crate::suite::Trials;

/// What a test binary of the standard library ends with when a test fails.
const FAILED: u8 = 101;

/// Tests that work at one time: each makes a world of its own and mostly waits, so that on two cores three take little
/// longer than two.
const TURNS: usize = 3;

fn main() -> ExitCode {
    if let Some(code) = agent::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    let turns = arguments.test_threads.unwrap_or(TURNS);
    let Trials { together, sleepers, alone } = suite::trials(tests::all(), turns);
    arguments.test_threads = Some(if turns == 1 { 1 } else { turns + sleepers });
    let conclusions = [together, alone].map(|trials| {
        let conclusion = libtest_mimic::run(&arguments, trials);
        arguments.test_threads = Some(1);
        conclusion
    });
    suite::print_slowest();
    suite::print_skipped();
    if conclusions.iter().any(Conclusion::has_failed) { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}
