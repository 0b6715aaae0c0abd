//! Any bytes as transitions of the model: whatever happens in whatever order, the reference agrees.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

// Eight bytes are one transition; a run of the model's own seeds has no more than this.
fuzz_target!(|bytes: &[u8]| model::run::run(&bytes[..bytes.len().min(8 * model::run::STEPS)], false));
