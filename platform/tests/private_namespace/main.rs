//! The private namespace on a real kernel: two of them, joined frame by frame, as a user without any right.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test ends at what it did not expect, and says what it measured"
)]

mod joined;
mod scenarios;
mod world;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Trial};
use platform::private_namespace::broker_main;

/// With which the tests' program becomes a broker.
const BROKER: &str = "broker";

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some(BROKER), _) => return broker_main(),
        (Some(world::INSIDE), Some(scenario)) => {
            scenarios::run(&scenario);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let trials = scenarios::ALL
        .iter()
        .map(|scenario| Trial::test(scenario.name, || world::run_elsewhere(scenario)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
