//! Capabilities of this process and the user database, on Linux.

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    ptr,
};

use rustix::thread::CapabilitySet;

/// Largest buffer for one entry of the user database, in bytes; network directories have long ones.
const LARGEST_ENTRY: usize = 1 << 20;

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user whose rights this process has.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process may change links, routes, rules and marks (CAP_NET_ADMIN).
pub fn can_change_network() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// The name of a user; `None` when there is none of that number, or the name is no UTF-8.
///
/// Asks the system's user database (NSS), which may mean the network.
///
/// # Errors
/// The database does not answer.
pub fn user_name(uid: u32) -> io::Result<Option<String>> {
    let name = look_up(
        |entry, buffer, found| {
            // SAFETY: all pointers are valid for the call, and the length is the buffer's.
            unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
        },
        |entry| {
            // SAFETY: the entry was filled in, and its name ends with a zero in the buffer that still lives.
            unsafe { CStr::from_ptr(entry.pw_name) }.to_str().ok().map(str::to_owned)
        },
    )?;
    Ok(name.flatten())
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
    look_up(
        |entry, buffer, found| {
            // SAFETY: all pointers are valid for the call, `name` ends with a zero, and the length is the buffer's.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
        },
        |entry| entry.pw_uid,
    )
}

/// The number of a user's first group, and the user's own folder; `None` when there is no user of that number.
///
/// # Errors
/// The database does not answer.
pub fn group_and_home(uid: u32) -> io::Result<Option<(u32, PathBuf)>> {
    look_up(
        |entry, buffer, found| {
            // SAFETY: all pointers are valid for the call, and the length is the buffer's.
            unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
        },
        |entry| {
            // SAFETY: the folder's name is in the buffer, which is still there, and ends with a zero.
            let home = unsafe { CStr::from_ptr(entry.pw_dir) };
            (entry.pw_gid, PathBuf::from(OsStr::from_bytes(home.to_bytes())))
        },
    )
}

/// Asks with an ever larger buffer, and reads what is wanted while the buffer is there.
fn look_up<T>(
    ask: impl Fn(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> libc::c_int,
    read: impl Fn(&libc::passwd) -> T,
) -> io::Result<Option<T>> {
    let mut size = 1024;
    loop {
        let mut buffer = vec![0; size];
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        match ask(entry.as_mut_ptr(), &mut buffer, &mut found) {
            libc::ERANGE if size < LARGEST_ENTRY => size *= 4,
            // "not found" is 0 by POSIX, and these in practice (getpwnam(3)).
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF if found.is_null() => return Ok(None),
            // SAFETY: `found` is not null: it points to `entry`, which the call has filled in.
            0 => return Ok(Some(read(unsafe { &*found }))),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
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

    #[test]
    fn root_has_a_group_and_a_folder_and_strangers_have_none() {
        let (group, home) = group_and_home(0).unwrap().unwrap();
        assert_eq!(group, 0);
        assert!(home.is_absolute());
        assert_eq!(group_and_home(4_000_000_000).unwrap(), None);
    }
}
