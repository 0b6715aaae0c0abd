//! tcpdump on a link, and questions to what it saw.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::namespace::Namespace;
use super::{SHORT, World};
use crate::process::{Running, eventually, run};
use crate::suite::find_program;

/// A running capture.
pub(crate) struct Capture {
    tcpdump: Running,
    file: PathBuf,
}

/// What was seen on a link.
pub(crate) struct Seen {
    bytes: Vec<u8>,
    file: PathBuf,
}

impl Capture {
    /// Starts to record all packets of a link and waits until it does.
    #[track_caller]
    pub(crate) fn start(world: &World, host: &Namespace, link: &str, name: &str) -> Self {
        Self::start_of(world, host, link, name, "")
    }

    /// The same for the packets that a tcpdump expression selects.
    #[track_caller]
    pub(crate) fn start_of(world: &World, host: &Namespace, link: &str, name: &str, which: &str) -> Self {
        let file = world.folder().join(format!("{name}.pcap"));
        let mut command = host.command("nice");
        let tcpdump = find_program("tcpdump").unwrap_or_else(|| "tcpdump".to_owned());
        // A frame of the ring is as long as the longest packet: room for two thousand, or bursts leave holes; so does
        // waiting for a turn on a busy machine.
        command.args(["-n", "-10"]).arg(tcpdump).args([
            "-i",
            link,
            "-s",
            "65535",
            "-B",
            "131072",
            "-U",
            "-n",
            "--immediate-mode",
            "-Z",
            "root",
        ]);
        command.arg("-w").arg(&file).args(which.split_whitespace());
        let tcpdump = Running::start(&mut command, &world.log_path(name));
        eventually(SHORT, "tcpdump listens", || tcpdump.log().contains("listening on").then_some(()));
        Self { tcpdump, file }
    }

    /// Ends the recording.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Seen {
        self.tcpdump.signal("INT");
        self.tcpdump.wait(SHORT);
        let log = self.tcpdump.log();
        assert!(log.contains("\n0 packets dropped by kernel"), "the capture has holes: {log}");
        Seen { bytes: fs::read(&self.file).expect("a capture file"), file: self.file.clone() }
    }
}

impl Seen {
    /// Whether these bytes went over the link.
    pub(crate) fn contains(&self, needle: &[u8]) -> bool {
        self.bytes.windows(needle.len()).any(|window| window == needle)
    }

    /// Whether a DNS name went over the link, as text or in wire form, in any case.
    pub(crate) fn contains_name(&self, name: &str) -> bool {
        let lower = self.bytes.to_ascii_lowercase();
        let wire: Vec<u8> =
            name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        [name.as_bytes(), &wire]
            .iter()
            .any(|needle| lower.windows(needle.len()).any(|window| window == *needle))
    }

    /// What tcpdump says of the TCP checksums: how many are right, and the packets whose are not, one line each.
    #[track_caller]
    pub(crate) fn tcp_checksums(&self) -> (usize, Vec<String>) {
        let mut command = Command::new("tcpdump");
        command.args(["-vv", "-n", "-Z", "root", "-r"]).arg(&self.file);
        let text = run(&mut command, SHORT * 3).success();
        // of IPv4 the second line has what the first line's packet is
        let text = text.replace("\n    ", " ");
        let wrong = text.lines().filter(|line| line.contains("(incorrect")).map(str::to_owned).collect();
        (text.lines().filter(|line| line.contains("(correct)")).count(), wrong)
    }

    /// The packets that a tcpdump expression selects, one line each.
    #[track_caller]
    pub(crate) fn packets(&self, expression: &str) -> Vec<String> {
        let mut command = Command::new("tcpdump");
        command.args(["-n", "-Z", "root", "-r"]).arg(&self.file).arg(expression);
        run(&mut command, SHORT).success().lines().map(str::to_owned).collect()
    }
}
