//! How the program ends: exit codes, and failures with a hint.

use std::fmt;
use std::process::ExitCode;

/// Exit codes of the program. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// Anything that has no code of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Configuration = 3,
    /// The service does not run.
    NotRunning = 4,
    /// The user may not do this.
    NotPermitted = 5,
    /// Another instance runs.
    AlreadyRunning = 6,
    /// The device does not meet what is required of it.
    DeviceRefused = 7,
}

/// The exit codes as they are shown by `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failure
  2  wrong command line
  3  wrong configuration
  4  the service does not run
  5  not permitted
  6  another instance runs
  7  the device does not meet the security requirements";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure that the program ends with: exit code, message, hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the program exits with.
    pub exit: Exit,
    /// What failed.
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None }
    }

    /// Adds what the person can do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Configuration,
            Exit::NotRunning,
            Exit::NotPermitted,
            Exit::AlreadyRunning,
            Exit::DeviceRefused,
        ];
        let documented: Vec<u8> =
            EXIT_CODES.lines().skip(1).map(|line| line.trim_start()[..1].parse().unwrap()).collect();
        assert_eq!(documented, all.map(|exit| exit as u8));
    }
}
