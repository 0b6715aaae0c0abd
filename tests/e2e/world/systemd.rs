//! The laptop as a whole Debian system with systemd as its first process, in the laptop's network namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{PUBLIC_DNS, SHORT, World};
use crate::process::{Finished, Running, eventually, run};

/// What is installed in the system: systemd-resolved, what the tests ask it with, and NetworkManager, which does not run.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,systemd-resolved,libnss-resolve,polkitd,iproute2,iputils-ping,curl,bind9-dnsutils,network-manager";

/// What would start NetworkManager with the system.
const STARTS: [&str; 2] = [
    "multi-user.target.wants/NetworkManager.service",
    "network-online.target.wants/NetworkManager-wait-online.service",
];

/// Changed when `PACKAGES` or the steps below change, so that an older tree is not taken.
const EDITION: u32 = 2;

/// Where the tree is kept from run to run: making it takes half a minute and the packages' download.
pub(crate) const CACHE: &str = "/var/cache/openztna-tests";

/// How long making the tree may take on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// How long the system may take to boot on a busy machine (0.5 s on an idle one).
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// A copy of the tree `$1` that vanishes with this process, booted in the network of process `$3`.
///
/// `$4` is the folder of this world's connector, `$5` the connector.
const BOOT: &str = "set -e
mkdir -p \"$2\"
mount -t tmpfs tmpfs \"$2\"
mkdir \"$2/upper\" \"$2/work\" \"$2/root\"
mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" \"$2/root\"
exec systemd-nspawn -q -D \"$2/root\" -b --machine=oz$3 --register=no --keep-unit --link-journal=no --console=pipe \
--resolv-conf=off --network-namespace-path=/proc/$3/ns/net --capability=CAP_NET_ADMIN,CAP_NET_RAW \
--bind=/dev/net/tun --bind=\"$4\" --bind-ro=\"$5\"
";

/// A booted system.
pub(crate) struct Systemd {
    nspawn: Running,
}

impl Systemd {
    /// Boots it on the laptop and points its resolver to the internet's DNS server.
    #[track_caller]
    pub(crate) fn boot(world: &World, connector_folder: &Path) -> Self {
        let tree = tree();
        fs::create_dir_all(connector_folder).expect("a folder for the connector");
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            BOOT,
            "boot",
        ]);
        command.arg(tree).arg(world.folder().join("systemd")).arg(world.client.id().to_string());
        command.arg(connector_folder).arg(crate::connector::BINARY);
        let system = Self { nspawn: Running::start(&mut command, &world.log_path("systemd")) };
        eventually(BOOT_LIMIT, "systemd has booted", || {
            system.leader()?;
            let state = run(system.command("systemctl").arg("is-system-running"), SHORT).stdout;
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        system.run("resolvectl", &["dns", "eth0", PUBLIC_DNS]).success();
        system
    }

    /// A program in the system, as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let leader = self.leader().unwrap_or(0).to_string();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter", "--target", &leader]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--", program]);
        command
    }

    /// Runs a short program in the system.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        run(self.command(program).args(arguments), SHORT)
    }

    /// What systemd-resolved knows of the links, but for the server that it happens to use.
    #[track_caller]
    pub(crate) fn resolver_state(&self) -> String {
        let text = self.run("resolvectl", &["status", "--no-pager"]).success();
        // The width of the columns follows the longest label.
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("Current DNS Server"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The first process of the system.
    fn leader(&self) -> Option<u32> {
        // nspawn's other child only waits for it, and is gone once the system runs.
        let id = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

/// The system's tree; made if it is not there yet.
#[track_caller]
fn tree() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner); // another test may want it, too
    let tree = Path::new(CACHE).join(format!("systemd-{EDITION}"));
    if tree.is_dir() {
        return tree;
    }
    let unfinished = Path::new(CACHE).join(format!("systemd-{EDITION}-{}", std::process::id()));
    fs::create_dir_all(CACHE).expect("a folder for the system's tree");
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=minbase", &format!("--include={PACKAGES}"), "bookworm"])
        .arg(&unfinished);
    run(&mut command, BUILD_LIMIT).success();
    fs::write(unfinished.join("etc/machine-id"), "").expect("the tree's machine-id");
    fs::write(unfinished.join("etc/hostname"), "laptop\n").expect("the tree's name");
    for start in STARTS {
        fs::remove_file(unfinished.join("etc/systemd/system").join(start)).expect("NetworkManager's start");
    }
    let link = unfinished.join("etc/resolv.conf");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", &link)
        .expect("the tree's resolv.conf");
    fs::rename(&unfinished, &tree).expect("the finished tree");
    tree
}
