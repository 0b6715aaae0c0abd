//! Each scenario runs in a process of its own, mostly as `nobody`, with its own view of `/dev/net/tun`.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use libtest_mimic::Failed;
use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change},
    thread::{UnshareFlags, set_thread_gid, set_thread_groups, set_thread_uid, unshare_unsafe},
};

use crate::scenarios::Scenario;

/// First argument of a process that runs one scenario.
pub(crate) const INSIDE: &str = "inside";

/// Turns a skip into a failure, as continuous integration wants it.
const REQUIRE_ROOT: &str = "OPENZTNA_REQUIRE_ROOT_TESTS";

const DEVICE: &str = "/dev/net/tun";
const NOBODY: u32 = 65534;

/// Starts this program again for one scenario, and tells what it said if it failed.
pub(crate) fn run_elsewhere(scenario: &Scenario) -> Result<(), Failed> {
    if !rustix::process::geteuid().is_root() {
        assert!(env::var_os(REQUIRE_ROOT).is_none(), "root tests are required, and this is not root");
        eprintln!("skipped: needs root to show {DEVICE} as other systems have it");
        return Ok(());
    }
    let output = Command::new("/proc/self/exe")
        .args([INSIDE, scenario.name])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Shows a device of this mode in the place of the system's, to this process and its children only.
pub(crate) fn show_device(mode: u32) {
    // SAFETY: this process has one thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
    let folder = env::temp_dir().join(format!("ztna-tun-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    mount("none", &folder, "tmpfs", MountFlags::empty(), None).unwrap();
    let node = folder.join("tun");
    mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(mode), makedev(10, 200)).unwrap();
    rustix::fs::chmod(&node, Mode::from_raw_mode(mode)).unwrap();
    mount_bind(&node, Path::new(DEVICE)).unwrap();
    rustix::mount::unmount(&folder, rustix::mount::UnmountFlags::DETACH).unwrap();
    fs::remove_dir(&folder).unwrap();
}

/// Gives up every right of root, for good.
pub(crate) fn become_nobody() {
    set_thread_groups(&[]).unwrap();
    set_thread_gid(rustix::fs::Gid::from_raw(NOBODY)).unwrap();
    set_thread_uid(rustix::fs::Uid::from_raw(NOBODY)).unwrap();
    assert!(!platform::privileges::can_change_network());
}
