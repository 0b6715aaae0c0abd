//! Processes: how one of ours comes loose from what started it, how many files it may have open, and how others' run.

mod confined;
mod linux;
mod program;

pub use confined::{Confined, ConfinedError, Printed};
pub use linux::{detach, raise_descriptor_limit, wait_readable};
pub use program::{PROGRAM_DIRS, find};
pub(crate) use program::{read_until, run, wait};
