//! A network and a view of the file system of its own for this process: what the demo calls a device.

use std::{io, path::Path};

use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::{error::Error, netlink::Netlink};

/// The C library asks systemd-resolved here, past any `resolv.conf`.
const RESOLVED_SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Moves this process, which must have a single thread and be root, into a new network with nothing but loopback.
/// Programs in it read `resolv_conf` as the system's, and do not reach the system's resolver; what is mounted here is
/// seen nowhere else and goes with the process.
///
/// # Errors
/// When namespaces are forbidden here, or a file cannot be mounted.
pub fn enter(resolv_conf: &Path, empty_file: &Path) -> Result<(), Error> {
    let error = |verb, object, value: &str, source: rustix::io::Errno| {
        Error::system(verb, object, value, io::Error::from(source))
    };
    // SAFETY: descriptors stay shared, since FILES is not among the flags; the caller has a single thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.map_err(|source| {
        error("make", "namespace", "network", source).with_hint("run as root, outside of a container")
    })?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|source| error("make private", "mount", "/", source))?;
    for (file, over) in [(resolv_conf, RESOLV_CONF), (empty_file, RESOLVED_SOCKET)] {
        let Ok(target) = std::fs::canonicalize(over) else { continue };
        mount_bind(file, &target).map_err(|source| error("mount", "file", over, source))?;
    }
    bring_up_loopback()
}

fn bring_up_loopback() -> Result<(), Error> {
    let mut netlink = Netlink::open()?;
    for link in netlink.links()?.into_iter().filter(|link| link.loopback) {
        netlink.bring_up(link.index)?;
    }
    Ok(())
}
