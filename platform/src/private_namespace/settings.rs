//! How the kernel's network is set in the private namespace, where nobody else is there to mind.

use std::{fs, path::Path};

/// The settings of the network that the asking process is in.
const FOLDER: &str = "/proc/sys/net";

/// What is written, each as far as the kernel lets us: a network with its defaults works, too.
const SETTINGS: [(&str, &str); 12] = [
    // Loss is no sign of a full path where the path is a radio. Refused where the system does not allow it to everybody:
    // then the system's own choice stands.
    ("ipv4/tcp_congestion_control", "bbr"),
    // Least, first and most bytes of a flow's buffers; 16 MiB fill 1 Gbit/s at 130 ms.
    ("ipv4/tcp_rmem", "4096 131072 33554432"),
    ("ipv4/tcp_wmem", "4096 65536 16777216"),
    // A flow that paused has learnt nothing new about the path.
    ("ipv4/tcp_slow_start_after_idle", "0"),
    // All ports are ours, and 1,000 connections a second to one server use up 60,000 in a minute of TIME_WAIT: a port is
    // used again after a second where timestamps tell the two apart (RFC 6191).
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/tcp_tw_reuse", "1"),
    // Connections that are not yet accepted, a listener.
    ("core/somaxconn", "4096"),
    ("ipv4/tcp_max_syn_backlog", "4096"),
    // Whatever comes out of the TUN was let through by policy, and may come from anywhere.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Some systems hand their own choice on to new networks.
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
];

/// Writes the settings of the network that this process is in.
pub(super) fn write_all() {
    for (name, value) in SETTINGS {
        // Nobody hears us here, and nothing depends on it.
        let _ = fs::write(Path::new(FOLDER).join(name), value);
    }
}
