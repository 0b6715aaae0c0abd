//! Packets, flows and tunnels as a pure state machine: no sockets, no clock, no tokio.
#![forbid(unsafe_code)]

pub mod tcp;
