//! The connector: joins names (`dns`), packets (`netstack`) and the operating system (`platform`).
#![forbid(unsafe_code)]

pub mod config;
pub mod connector;
pub mod status;
