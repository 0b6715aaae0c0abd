//! The resolver seen from outside: messages and time in, messages out, with hickory-proto as the second opinion.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod caching;
mod cost;
mod forwarding;
mod hostile;
mod mapping;
mod support;
mod upstreams;
