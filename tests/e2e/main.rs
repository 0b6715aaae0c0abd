//! End-to-end tests in network namespaces.
fn main() {}
