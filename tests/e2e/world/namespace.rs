//! One host: a network namespace and a mount namespace of its own, held by a process that dies with the test.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::run;

/// What the laptop's `/etc/resolv.conf` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolvConf {
    /// An ordinary file in an ordinary folder.
    File,
    /// A symbolic link to a file below /run.
    Symlink,
    /// A file mounted over the name, as container engines do: a rename answers EBUSY.
    BindMount,
    /// A file mounted over the name that nobody can write: EROFS.
    ReadOnly,
}

/// Before all: a /sys of this network, and a /run (sockets of wireguard-go, of D-Bus) of this host alone.
const PREPARE: &str = "set -e
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock
for f in all default; do
  echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter
  echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad || true
  echo 0 >/proc/sys/net/ipv6/conf/$f/accept_ra || true
done
ip link set lo up
";

/// Routers forward and send no redirects.
const FORWARD: &str = "echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding || true
";

/// The laptop's own /etc, an ordinary folder below `$1`.
const OWN_ETC: &str = "cp -a /etc \"$1/etc\"
rm -f \"$1/etc/resolv.conf\" \"$1/etc/nsswitch.conf\"
printf '# made by hand\\nnameserver 203.0.113.53\\noptions timeout:2 attempts:2\\n' >\"$1/etc/resolv.conf\"
printf 'passwd: files\\ngroup: files\\nshadow: files\\nhosts: files dns\\nservices: files\\n' >\"$1/etc/nsswitch.conf\"
mount --bind \"$1/etc\" /etc
";

/// The laptop's resolv.conf elsewhere, as resolvconf and its like have it.
const LINK: &str = "mkdir /run/resolver
mv /etc/resolv.conf /run/resolver/resolv.conf
ln -s ../run/resolver/resolv.conf /etc/resolv.conf
";

/// Another file mounted over the laptop's resolv.conf.
const MOUNT_OVER: &str = "cp /etc/resolv.conf \"$1/mounted-resolv.conf\"
mount --bind \"$1/mounted-resolv.conf\" /etc/resolv.conf
";

const MAKE_READ_ONLY: &str = "mount -o remount,bind,ro /etc/resolv.conf\n";

/// The last words: whoever waits for the line knows that all is set up.
const HOLD: &str = "echo ready\nexec sleep infinity\n";

/// A host.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A router or server.
    #[track_caller]
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self::start(folder, name, &[PREPARE, FORWARD, HOLD].concat())
    }

    /// The laptop, with a resolv.conf of its own.
    #[track_caller]
    pub(crate) fn laptop(folder: &Path, resolv_conf: ResolvConf) -> Self {
        let resolv_conf_steps: &[&str] = match resolv_conf {
            ResolvConf::File => &[],
            ResolvConf::Symlink => &[LINK],
            ResolvConf::BindMount => &[MOUNT_OVER],
            ResolvConf::ReadOnly => &[MOUNT_OVER, MAKE_READ_ONLY],
        };
        let script = [PREPARE, OWN_ETC, &resolv_conf_steps.concat(), HOLD].concat();
        Self::start(folder, "client", &script)
    }

    /// The process that holds the namespaces.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// The laptop's resolv.conf as a program on it reads it.
    pub(crate) fn resolv_conf(&self) -> String {
        // Through the holder's root, since a mount over the name is seen only inside.
        fs::read_to_string(format!("/proc/{}/root/etc/resolv.conf", self.id()))
            .unwrap_or_else(|e| e.to_string())
    }

    /// A program on this host, as root; it is killed when the test dies.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "nsenter",
            "--target",
            &self.id().to_string(),
            "--net",
            "--mount",
            "--",
        ]);
        command.arg(crate::suite::find_program(program).unwrap_or_else(|| program.to_owned()));
        command
    }

    /// A program on this host as another user.
    pub(crate) fn command_as(&self, uid: u32, program: &str) -> Command {
        let mut command = self.command("setpriv");
        let uid = uid.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--", program]);
        command
    }

    /// This test binary's agent on this host.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Command {
        let binary = std::env::current_exe().expect("the path of the test binary");
        let mut command = self.command(&binary.to_string_lossy());
        command.arg("agent").args(arguments);
        command
    }

    /// Waits until someone listens at `address:port` as seen from this host.
    #[track_caller]
    pub(crate) fn wait_tcp(&self, address: &str, limit: Duration) {
        let limit_ms = limit.as_millis().to_string();
        run(&mut self.agent(&["wait-tcp", address, &limit_ms]), limit * 2).success();
    }

    /// Runs `ip` commands, one after the other.
    #[track_caller]
    pub(crate) fn ip(&self, commands: &[&str]) {
        for words in commands {
            run(self.command("ip").args(words.split_whitespace()), super::SHORT).success();
        }
    }

    /// A way for threads of this test into this host's network.
    #[track_caller]
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(File::open(format!("/proc/{}/ns/net", self.id())).expect("the network of a host"))
    }

    /// Does some work in a thread of its own that is in this host's network.
    #[track_caller]
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entrance = self.entrance();
        let work = move || {
            entrance.enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .expect("work inside a host (see its message above)")
    }

    /// The ids of the programs on this host but the holder, with their command lines.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let ours = fs::read_link(format!("/proc/{}/ns/net", self.id())).ok();
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
        ids.filter(|id| *id != self.id() && fs::read_link(format!("/proc/{id}/ns/net")).ok() == ours)
            .map(|id| {
                (id, fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default().replace('\0', " "))
            })
            .collect()
    }

    #[track_caller]
    fn start(folder: &Path, name: &str, script: &str) -> Self {
        let mut holder = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--net",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
            ])
            .args([script, name])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process that holds a namespace");
        let stdout = holder.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line of the namespace's holder");
        assert_eq!(
            line.trim(),
            "ready",
            "the namespace `{name}` could not be set up (see its message above)"
        );
        Self { holder }
    }
}

/// An open network namespace.
pub(crate) struct Entrance(File);

impl Entrance {
    /// From now on the sockets that this thread makes are on that host.
    pub(crate) fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter a host");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whatever still runs here was started by this test: nothing else can be in a namespace without a name.
        for (id, _) in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).output();
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
