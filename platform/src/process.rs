//! Helper processes of ours: how one comes loose from what started it, and how it is waited for.

mod linux;

pub use linux::{detach, wait_readable};
