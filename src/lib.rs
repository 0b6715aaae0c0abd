//! The connector: joins names (`dns`), packets (`netstack`) and the operating system (`platform`).
#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod cli;
pub mod config;
pub mod connector;
pub mod dashboard;
pub mod demo;
pub mod dialer;
pub mod error;
pub mod event;
pub mod gateway;
pub mod guardian;
pub mod http_port;
pub mod import;
mod look_up;
pub mod monitoring;
pub mod personal;
pub mod posture;
pub mod proxy;
pub mod relay;
pub mod session;
pub mod siem;
mod signals;
pub mod status;
pub mod telemetry;
pub mod user_stack;
mod watch;
