//! Runs of the model: from a seed or from bytes, and the shortest run that fails the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::transition::{LENGTH, Transition};
use crate::world::World;

/// Transitions of one run; then the network becomes good, and a new world begins.
pub const STEPS: usize = 250;

/// The bytes of the run of a seed.
pub fn bytes_of(seed: u64, steps: usize) -> Vec<u8> {
    let mut bytes = vec![0; steps * LENGTH];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Runs a world through transitions, and makes it good at the end.
///
/// # Panics
/// When it is not as the reference says.
pub fn run(bytes: &[u8], trace: bool) {
    let mut world = World::new(bytes.len() as u64, trace);
    for transition in Transition::all(bytes) {
        world.apply(transition);
    }
    world.heal();
}

/// What a run fails with, if it does.
pub fn failure(bytes: &[u8]) -> Option<String> {
    let caught = catch_unwind(AssertUnwindSafe(|| run(bytes, false))).err()?;
    let text = caught.downcast_ref::<String>().cloned();
    Some(text.or(caught.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
}

/// Leaves out transitions for as long as it still fails.
pub fn shrunk(bytes: &[u8]) -> Vec<u8> {
    let mut kept: Vec<[u8; LENGTH]> =
        bytes.chunks_exact(LENGTH).map(|chunk| chunk.try_into().expect("a whole chunk")).collect();
    let mut size = kept.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if failure(fewer.as_flattened()).is_some() {
                kept = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    kept.concat()
}
