//! What the operating system owns: TUN, UDP batches, routes and rules, system DNS, and how each is undone.

pub mod error;
pub mod family;
pub mod netlink;
pub mod prefix;
pub mod socket_protect;
pub mod tun;
pub mod udp;

pub use error::Error;
pub use family::Family;
pub use prefix::IpPrefix;
