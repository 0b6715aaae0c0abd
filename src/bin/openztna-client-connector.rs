//! The connector: service and command line.
fn main() {}
