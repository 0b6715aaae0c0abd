//! The gateway: the enforcement point in front of internal hosts.

pub mod access;
pub mod audit;
pub mod config;
pub mod forbidden;
pub mod roster;
