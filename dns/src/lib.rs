//! Names as a pure state machine: split rules, virtual addresses, cache and resolution.
#![forbid(unsafe_code)]
