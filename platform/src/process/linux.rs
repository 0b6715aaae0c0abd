//! Signals and descriptors of a helper process, on Linux.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// First descriptor after standard input, output and error.
const FIRST_INHERITED: libc::c_uint = 3;

/// Ignores the signals that end the parent, and closes every descriptor but the first three.
///
/// To be called first thing in the helper's `main`, before it opens anything: whatever the parent left open (a TUN
/// device, a lock) must end with the parent.
///
/// # Errors
/// The system refuses, which it has no reason to.
pub fn detach() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        // SAFETY: SIG_IGN runs no code of ours.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    close_inherited()
}

/// Waits until a descriptor is readable or its other end is closed; false when the time is over first.
///
/// # Errors
/// The system's.
pub fn wait_readable(descriptor: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
        match poll(&mut descriptors, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Raises the number of descriptors that this process may have to what the system lets it have without asking.
///
/// # Errors
/// The system's, which it has no reason to.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn close_inherited() -> io::Result<()> {
    // SAFETY: the caller has opened nothing yet, so that no object of this process owns these descriptors.
    if unsafe { libc::close_range(FIRST_INHERITED, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // Linux before 5.9: our own descriptors are closed on exec anyway, only those of whoever started us stay.
    if error.raw_os_error() == Some(libc::ENOSYS) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_limit_of_descriptors_becomes_the_highest_that_is_allowed() {
        raise_descriptor_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn waiting_ends_with_data_with_the_other_end_or_with_the_time() {
        let (near, far) = UnixStream::pair().unwrap();
        assert!(!wait_readable(&near, Duration::from_millis(1)).unwrap());
        drop(far);
        assert!(wait_readable(&near, Duration::from_secs(60)).unwrap());
    }
}
