//! Tells when the device slept, without a timer that wakes it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Error;

/// Sleep shorter than this breaks nothing: sessions and mappings of routers live longer.
const LEAST_SLEEP: Duration = Duration::from_secs(1);

/// A time that never comes, in seconds since 1970: the timer is only there to be cancelled.
const NEVER: libc::time_t = 9_000_000_000;

/// Readable after the system slept, and after somebody set its clock.
///
/// A timer on the wall clock that is never due is cancelled by the kernel on both (timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`); what the clocks say then tells one from the other.
#[derive(Debug)]
pub struct SleepWatch {
    timer: OwnedFd,
    /// Time slept since the system started, as last seen.
    slept: Mutex<Duration>,
}

impl SleepWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> Result<Self, Error> {
        let timer = create_timer().and_then(|timer| arm(&timer).map(|()| timer));
        let timer = timer.map_err(|source| Error::system("watch", "clock", "realtime", source))?;
        Ok(Self { timer, slept: Mutex::new(slept()) })
    }

    /// Takes what happened; answers for how long the system slept since the last call, if it did.
    ///
    /// # Errors
    /// The system's, which ends the watch.
    pub fn drain(&self) -> io::Result<Option<Duration>> {
        match rustix::io::read(&self.timer, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::CANCELED) => arm(&self.timer)?,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = slept();
        let mut last = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(asleep(std::mem::replace(&mut *last, now), now))
    }
}

impl AsRawFd for SleepWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

/// Clocks that are read one after the other differ by a little: that is no sleep.
fn asleep(before: Duration, now: Duration) -> Option<Duration> {
    Some(now.saturating_sub(before)).filter(|asleep| *asleep >= LEAST_SLEEP)
}

/// How long the system has slept since it started: what one clock counts and the other does not (clock_gettime(2)).
fn slept() -> Duration {
    let awake = read_clock(libc::CLOCK_MONOTONIC);
    read_clock(libc::CLOCK_BOOTTIME).saturating_sub(awake)
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, which the call fills. It fails for unknown clocks only, and then the
    // time stays 0.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn create_timer() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    if timer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(timer) })
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let never =
        libc::itimerspec { it_interval: zero, it_value: libc::timespec { tv_sec: NEVER, tv_nsec: 0 } };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: the descriptor is open, and the pointer is to a value that outlives the call; the old value is not wanted.
    let code =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const never, std::ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_while_nothing_happens() {
        let watch = SleepWatch::new().unwrap();
        assert_eq!(watch.drain().unwrap(), None);
    }

    #[test]
    fn only_time_asleep_is_told() {
        let seconds = Duration::from_secs;
        assert_eq!(asleep(seconds(5), seconds(95)), Some(seconds(90)));
        assert_eq!(asleep(seconds(5), seconds(5) + Duration::from_micros(3)), None);
        assert_eq!(asleep(seconds(5), seconds(4)), None);
    }
}
