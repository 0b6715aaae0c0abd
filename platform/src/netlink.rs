//! Links, addresses, routes and rules of the kernel, asked and changed over netlink, without a runtime.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the kernel's attributes belong to others and grow with the kernel"
)]

pub mod address;
pub(crate) mod chains;
mod connection;
pub mod facts;
pub mod link;
pub mod route;
pub mod rule;

pub use address::Address;
pub use connection::Netlink;
pub(crate) use connection::{decode, visit};
pub use facts::{NetworkFacts, facts};
pub use link::Link;
pub use route::{Route, RouteKind, Way};
pub use rule::{Mark, Rule, RuleAction, UidRange};

/// The "protocol" number that marks our routes and rules (`proto 90` in the output of `ip`).
///
/// Free in iproute2's `rt_protos`; it lets us delete our own rule and never one of another program that looks alike.
pub const PROTOCOL: u8 = 90;
