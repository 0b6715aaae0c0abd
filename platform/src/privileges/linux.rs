//! Capabilities of this process and the user database, on Linux.

use std::{ffi::CString, io, mem::MaybeUninit, ptr};

use rustix::thread::CapabilitySet;

/// Largest buffer for one entry of the user database, in bytes; network directories have long ones.
const LARGEST_ENTRY: usize = 1 << 20;

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may change links, routes, rules and marks (CAP_NET_ADMIN).
pub fn can_change_network() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// The number of a user, given by name or as a number; `None` when there is none of that name.
///
/// Asks the system's user database (NSS), which may mean the network.
///
/// # Errors
/// The database does not answer.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let Ok(name) = CString::new(name) else { return Ok(None) };
    let mut size = 1024;
    loop {
        match look_up(&name, &mut vec![0; size]) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && size < LARGEST_ENTRY => size *= 4,
            result => return result,
        }
    }
}

fn look_up(name: &CString, buffer: &mut [libc::c_char]) -> io::Result<Option<u32>> {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: all pointers are valid for the call, `name` ends with a zero, and the length is the buffer's.
    let code = unsafe {
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found)
    };
    match code {
        // "not found" is 0 by POSIX, and these in practice (getpwnam(3)).
        0 | libc::ENOENT | libc::ESRCH | libc::EBADF if found.is_null() => Ok(None),
        // SAFETY: `found` is not null: it points to `entry`, which the call has filled in.
        0 => Ok(Some(unsafe { (*found).pw_uid })),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(user_id("root").unwrap(), Some(0));
        assert_eq!(user_id("1234").unwrap(), Some(1234));
        assert_eq!(user_id("no-such-user-here").unwrap(), None);
        assert_eq!(user_id("a\0b").unwrap(), None);
    }
}
