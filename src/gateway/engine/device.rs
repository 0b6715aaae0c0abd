//! What carries the peers' connections: a TUN, whose other side is a kernel's, or the stack in user space.

use std::net::SocketAddr;
use std::task::Context;
use std::time::Instant;

use netstack::CanJoin;
use netstack::gateway::Gateway;
use platform::tun::Tun;
use tokio::io::unix::AsyncFd;

use crate::user_stack::{self, Accepted, UserStack};
use crate::watch::readable;

/// What the engine is to carry connections with.
#[derive(Debug)]
pub enum Inner {
    /// A TUN in the private namespace, or the system's own.
    Tun(Tun),
    /// The stack in user space.
    Stack(user_stack::Config),
}

/// The same at work.
pub(super) enum Device {
    Tun(AsyncFd<Tun>),
    Stack(Box<UserStack>),
}

impl Inner {
    /// Which super-packets may be written to it.
    pub fn can_join(&self) -> CanJoin {
        match self {
            Self::Tun(tun) => {
                let offloads = tun.offloads();
                CanJoin { tcp: offloads.tcp_segmentation, udp: offloads.udp_segmentation }
            }
            Self::Stack(_) => CanJoin { tcp: true, udp: false },
        }
    }
}

impl Device {
    /// Must be called inside a runtime.
    pub(super) fn new(inner: Inner, now: Instant) -> std::io::Result<Self> {
        Ok(match inner {
            Inner::Tun(tun) => Self::Tun(readable(tun)?),
            Inner::Stack(config) => Self::Stack(Box::new(UserStack::new(&config, now))),
        })
    }

    /// Hands over all frames that wait, and takes what the stack answers.
    pub(super) fn exchange(&mut self, gateway: &mut Gateway, now: Instant) {
        match self {
            Self::Tun(tun) => {
                while let Some(frame) = gateway.poll_frame() {
                    // the TUN takes what it can; what it does not is a lost packet, as on any link
                    let _ = tun.get_ref().send(frame);
                }
            }
            Self::Stack(stack) => {
                while let Some(frame) = gateway.poll_frame() {
                    stack.handle_frame(frame, now);
                }
                stack.carry(now);
                while let Some(frame) = stack.poll_frame(now) {
                    gateway.handle_inner_frame(frame, now);
                }
            }
        }
    }

    /// Whether there is something to take from it.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> bool {
        match self {
            // a link that was taken away is an error condition, which the runtime calls "closed for writing"
            Self::Tun(tun) => {
                tun.poll_write_ready(context).is_ready() || tun.poll_read_ready(context).is_ready()
            }
            Self::Stack(stack) => stack.poll_bell(context).is_ready(),
        }
    }

    /// When the stack is to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Tun(_) => None,
            Self::Stack(stack) => stack.poll_timeout(),
        }
    }

    /// Sees to it that a connection to this address is taken. The namespace has a listener by now.
    pub(super) fn listen(&mut self, destination: SocketAddr) {
        match self {
            Self::Tun(_) => {}
            Self::Stack(stack) => stack.listen(destination),
        }
    }

    /// The next connection that the stack took.
    pub(super) fn poll_accepted(&mut self) -> Option<Accepted> {
        match self {
            Self::Tun(_) => None,
            Self::Stack(stack) => stack.poll_accepted(),
        }
    }
}
