//! resolvconf(8) on the laptop: openresolv's or Debian's, unpacked beside the machine's own programs, where only it sees
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::systemd::CACHE;
use super::{PUBLIC_DNS, World};
use crate::process::run;

/// How long the download of a small package may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(120);

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Knows exclusive records; writes `/etc/resolv.conf` itself.
    Openresolv,
    /// Orders records; `/etc/resolv.conf` is a link to what it writes.
    Debian,
}

/// `$1` is the unpacked package, over which this mount namespace's folders are read.
const INSTALL: &str = "set -e
mount -t overlay overlay -o \"lowerdir=$1/sbin:/usr/sbin\" /usr/sbin
mount -t overlay overlay -o \"lowerdir=$1/lib:/usr/lib\" /usr/lib
rm -rf /etc/resolvconf # hooks of the machine's own programs
cp -a \"$1/etc/.\" /etc/
";

/// The folders and the link of Debian's, as its package makes them when it is installed and started.
const START_DEBIAN: &str = "set -e
mkdir -p /run/resolvconf/interface
rm -f /etc/resolv.conf
ln -s ../run/resolvconf/resolv.conf /etc/resolv.conf
resolvconf --enable-updates
";

/// As a DHCP client does: `$1` is the server, `$2` the record.
const HAND_IN: &str = "printf 'nameserver %s\\nsearch example.net\\n' \"$1\" | resolvconf -a \"$2\"";

/// Puts the program in charge of the laptop's resolv.conf; a DHCP client has handed in the internet's server.
#[track_caller]
pub(crate) fn install(world: &World, keeper: Keeper) {
    let tree = tree(keeper);
    world.on_client("sh", &["-c", INSTALL, "sh", &tree.to_string_lossy()]).success();
    match keeper {
        Keeper::Openresolv => {}
        Keeper::Debian => {
            world.on_client("sh", &["-c", START_DEBIAN]).success();
        }
    }
    hand_in(world, PUBLIC_DNS, "eth0.dhclient");
    assert!(world.client.resolv_conf().contains(PUBLIC_DNS), "{}", world.client.resolv_conf());
}

/// Hands in a server under a record's name.
#[track_caller]
pub(crate) fn hand_in(world: &World, server: &str, record: &str) {
    world.on_client("sh", &["-c", HAND_IN, "sh", server, record]).success();
}

/// The unpacked package, downloaded if it is not there yet: the two cannot be installed beside each other.
#[track_caller]
fn tree(keeper: Keeper) -> PathBuf {
    let package = match keeper {
        Keeper::Openresolv => "openresolv",
        Keeper::Debian => "resolvconf",
    };
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner); // another test may want it, too
    let tree = Path::new(CACHE).join(package);
    if tree.is_dir() {
        return tree;
    }
    let unfinished = Path::new(CACHE).join(format!("{package}-{}", std::process::id()));
    fs::create_dir_all(&unfinished).expect("a folder for the package");
    let script =
        "cd \"$1\" && apt-get -qq -o APT::Sandbox::User=root download \"$2\" >&2 && dpkg-deb -x ./*.deb tree";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&unfinished).arg(package);
    run(&mut command, DOWNLOAD_LIMIT).success();
    fs::rename(unfinished.join("tree"), &tree).expect("the unpacked package");
    fs::remove_dir_all(&unfinished).expect("a folder to remove");
    tree
}
