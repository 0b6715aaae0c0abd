//! Programs of others: found where administrators' programs stand, and run for a bounded time.

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::wait_readable;

/// Where administrators' programs stand, whatever the environment of whoever started us says.
pub const PROGRAM_DIRS: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/run/current-system/sw/bin", // NixOS
];

/// Bytes of a program's output that are read.
const LARGEST_OUTPUT: u64 = 1 << 20;

/// Finds a program by its name; one that is no administrator's program has no place there.
pub fn find(name: &str) -> Option<PathBuf> {
    PROGRAM_DIRS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Runs a program with `input`, and returns what it prints.
///
/// # Errors
/// It cannot be started, does not end in time (it is killed then), or fails: its first words are the cause.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> io::Result<String> {
    let deadline = Instant::now() + limit;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let said = talk(&mut child, input, deadline);
    let status = wait(&mut child, deadline)?;
    let (output, errors) = said?;
    if status.success() {
        return Ok(output);
    }
    // Most say the reason first and then show where.
    let first = errors.lines().map(str::trim).find(|line| !line.is_empty());
    Err(io::Error::other(format!("{status}: {}", first.unwrap_or_default())))
}

/// Reads until the program closes its output.
pub(crate) fn read_until(mut pipe: impl Read + AsFd, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while wait_readable(&pipe, deadline.saturating_duration_since(Instant::now()))? {
        let mut buffer = [0; 4096];
        match pipe.read(&mut buffer)? {
            0 => return Ok(bytes),
            _ if bytes.len() as u64 > LARGEST_OUTPUT => return Err(io::ErrorKind::FileTooLarge.into()),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Waits for the program's end; kills it when the time is over.
pub(crate) fn wait(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    let descriptor = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    if !wait_readable(&descriptor, deadline.saturating_duration_since(Instant::now()))? {
        child.kill()?;
        child.wait()?;
        return Err(io::ErrorKind::TimedOut.into());
    }
    child.wait()
}

/// Neither input nor words of complaint are long: both fit into a pipe, so that nobody waits for the other.
fn talk(child: &mut Child, input: &str, deadline: Instant) -> io::Result<(String, String)> {
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read says why by its exit status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.stdout.take().map(|pipe| read_until(pipe, deadline)).transpose()?;
    let errors = child.stderr.take().map(|pipe| read_until(pipe, deadline)).transpose()?;
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    Ok((text(output), text(errors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, limit: Duration) -> io::Result<String> {
        run(Command::new("/bin/sh").args(["-c", text]), "given", limit)
    }

    #[test]
    fn input_output_and_the_reason_pass() {
        let limit = Duration::from_secs(60);
        assert_eq!(shell("cat; echo aside >&2", limit).unwrap(), "given");
        let error = shell("echo >&2; echo the reason >&2; echo ' ^^' >&2; exit 3", limit).unwrap_err();
        assert!(error.to_string().ends_with("the reason"), "{error}");
        let error = shell("exec sleep 600", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-here"), None);
    }
}
