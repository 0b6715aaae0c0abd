//! Processes: how one of ours comes loose from what started it, how many files it may have open, and how others' run.

mod linux;
mod program;

pub use linux::{detach, raise_descriptor_limit, wait_readable};
pub(crate) use program::{PROGRAM_DIRS, find, read_until, run, wait};
