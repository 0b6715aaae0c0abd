//! What `netstack` and `dns` must do together, in a simulated world: transitions, a reference, and a bad network.
#![forbid(unsafe_code)]

pub mod bench;
pub mod doorway;
pub mod gateway;
mod messages;
pub mod names;
mod network;
mod payload;
pub mod pieces;
mod reference;
pub mod run;
mod spec;
pub mod transition;
pub mod wire;
mod world;
