//! Packets, flows and tunnels as a pure state machine: no sockets, no clock, no tokio.
#![forbid(unsafe_code)]

pub mod conntrack;
pub mod counters;
pub mod datapath;
mod fragments;
pub mod gateway;
mod nat;
pub mod packet;
#[cfg(test)]
mod packets_for_tests;
pub mod path_mtu;
pub mod policy;
pub mod reassembly;
mod sealing;
pub mod send_batch;
pub mod tcp;
mod tun_batch;
pub mod wireguard;

pub use datapath::{Config, Datapath};
pub use tun_batch::CanJoin;
