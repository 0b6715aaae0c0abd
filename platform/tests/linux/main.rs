//! What the crate does to a real kernel, proven from outside with `ip`, in network namespaces of the tests' own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends at what it did not expect, and says what it skips"
)]

mod desktop_proxy;
mod forwarding;
mod namespace;
mod net_monitor;
mod netlink;
mod resolv_conf;
mod tun;
mod udp;
mod undo;
