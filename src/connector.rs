//! The connector as a running program: supervisor and engine.

use std::path::PathBuf;

/// What `run` was told on the command line.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
}

pub mod address_pool;
pub mod engine;
pub mod network;
pub mod plan;
