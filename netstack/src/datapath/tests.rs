//! The packet machine against a simulated stock gateway.

mod dns;
mod failover;
mod flows;
mod fragments;
mod hostile;
mod icmp;
mod mtu;
mod offline;
mod refusals;
mod renumber;
mod revocation;
mod world;
