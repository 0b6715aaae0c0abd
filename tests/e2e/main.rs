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
mod connector;
mod dig;
mod enforcement;
mod process;
mod servers;
mod snapshot;
mod suite;
mod tests;
mod world;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    if let Some(code) = agent::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Each test makes a world of its own, and two of them on two cores only make each other slow.
    arguments.test_threads.get_or_insert(1);
    let conclusion = libtest_mimic::run(&arguments, suite::trials(tests::all()));
    suite::print_skipped();
    conclusion.exit_code()
}
