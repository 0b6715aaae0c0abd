//! The packet machine against a simulated stock gateway.

mod dns;
mod failover;
mod flows;
mod fragments;
mod hostile;
mod icmp;
mod mtu;
mod refusals;
mod renumber;
mod revocation;
mod world;
