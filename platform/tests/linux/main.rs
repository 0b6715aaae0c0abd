//! What the crate does to a real kernel, proven from outside with `ip`, in network namespaces of the tests' own.

mod namespace;
mod netlink;
mod resolv_conf;
mod tun;
mod udp;
mod undo;
