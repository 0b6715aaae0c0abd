//! Packets, flows and tunnels as a pure state machine: no sockets, no clock, no tokio.
#![forbid(unsafe_code)]

pub mod counters;
pub mod packet;
pub mod policy;
pub mod send_batch;
pub mod tcp;
pub mod wireguard;
