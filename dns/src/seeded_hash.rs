//! Hashing that is keyed by a seed given from outside, so that this crate asks nobody for randomness.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// SipHash keyed by a seed. The standard library's own state draws its key from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeededHash(u64);

impl SeededHash {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl BuildHasher for SeededHash {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}
