//! The gateway against devices: who gets in, what passes, what is told, and what hostile bytes do.

mod connector;
mod errors;
mod hostile;
mod kernel;
mod limits;
mod revocation;
mod rights;
mod sessions;
mod userspace;
mod world;
