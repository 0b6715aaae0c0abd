//! What the operating system owns: TUN, UDP batches, routes and rules, system DNS, and how each is undone.

pub mod clock;
pub mod desktop_proxy;
pub mod dns_config;
pub mod error;
pub mod family;
pub mod firewall;
pub mod forwarding;
pub mod fresh_network;
pub mod lock;
pub mod net_monitor;
pub mod netlink;
pub mod paths;
pub mod posture;
pub mod prefix;
pub mod private_namespace;
pub mod privileges;
pub mod process;
pub mod secret_file;
pub mod setting;
pub mod socket_owner;
pub mod socket_protect;
pub mod socket_queue;
pub mod tun;
pub mod udp;
pub mod undo;

pub use error::Error;
pub use family::Family;
pub use prefix::IpPrefix;
