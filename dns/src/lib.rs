//! Names as a pure state machine: split rules, virtual addresses, cache and resolution.
//!
//! [`Resolver`] is fed DNS messages and the time, and emits DNS messages. A query for a name that a rule grants is
//! sent to the servers of its zone through the tunnel that owns it; the addresses of the answer are replaced by
//! virtual ones, everything else is passed on as it came. A query for any other name goes unchanged to the servers
//! of the physical links. There are no sockets, clocks, threads or randomness in here.
#![forbid(unsafe_code)]

mod cache;
mod counters;
mod lookup;
mod name;
mod resolver;
mod reverse_names;
mod rewrite;
mod rules;
mod seeded_hash;
mod special_names;
pub mod tcp_frame;
mod upstream;
mod virtual_pool;
mod wire;
mod zones;

pub use counters::Counters;
pub use lookup::{LookupError, address_query, read_addresses};
pub use name::{Name, NameError};
pub use resolver::{Answer, Client, DropReason, Mapping, Outcome, Resolver};
pub use rules::{Action, Pattern, Rule};
pub use special_names::DOH_CANARY;
pub use upstream::{ServerHealth, Transmit, Transport, Via};
pub use virtual_pool::{Assigned, Assignment, Entry, PoolError, VirtualPool};
pub use zones::{Forward, GatewayZone, Granted, Zones, ZonesError};
