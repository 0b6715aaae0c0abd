//! Helper processes: how one of ours comes loose from what started it, and how others' programs are run.

mod linux;
mod program;

pub use linux::{detach, wait_readable};
pub(crate) use program::{PROGRAM_DIRS, find, read_until, run, wait};
