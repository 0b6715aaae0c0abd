//! The gateway: service and command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    openztna::cli::gateway_main()
}
