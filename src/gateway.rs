//! The gateway: the enforcement point in front of internal hosts.

pub mod access;
pub mod addresses;
pub mod audit;
pub mod config;
pub mod egress;
pub mod engine;
pub mod forbidden;
pub mod job;
pub mod kernel;
mod monitor;
pub mod names;
pub mod own_addresses;
pub mod roster;
pub mod run;
pub mod target;
pub mod upstream;
