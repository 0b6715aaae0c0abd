//! The side of the device: a TUN of the host or of a private network, or the stack in user space behind the same frames.

use std::io::ErrorKind;
use std::task::{Context, Poll};
use std::time::Instant;

use netstack::{CanJoin, Datapath};
use platform::tun::Tun;
use tokio::io::unix::AsyncFd;

use crate::user_stack::UserStack;
use crate::watch::{clear_read, readable};

/// Where packets of programs come from and go to.
pub enum Device {
    /// The kernel makes them.
    Tun(Tun),
    /// We do.
    Stack(Box<UserStack>),
}

impl Device {
    /// Which super-packets it takes.
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

/// The same, watched by the runtime.
pub(in crate::connector::engine) enum Watched {
    Tun(AsyncFd<Tun>),
    Stack(Box<UserStack>),
}

impl Watched {
    pub(super) fn new(device: Device) -> std::io::Result<Self> {
        Ok(match device {
            Device::Tun(tun) => Self::Tun(readable(tun)?),
            Device::Stack(stack) => Self::Stack(stack),
        })
    }

    /// Flows are opened from these addresses from now on; a TUN's are written to the system.
    pub(in crate::connector::engine) fn set_addresses(&mut self, addresses: [Option<std::net::IpAddr>; 2]) {
        match self {
            Self::Tun(_) => {}
            Self::Stack(stack) => stack.set_addresses(addresses),
        }
    }

    /// Whether the device is gone; if not, the task is woken when it is.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            // a link that was taken away is an error condition, which the runtime calls "closed for writing"
            Self::Tun(tun) => tun.poll_write_ready(context).map(drop),
            Self::Stack(_) => Poll::Pending,
        }
    }

    /// Whether it has something for us; if not, the task is woken when it does.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tun(tun) => tun.poll_read_ready(context).map(drop),
            Self::Stack(stack) => stack.poll_bell(context),
        }
    }

    /// Reads one frame into `buffer`; `None`: there is none for now. The stack's are fetched otherwise.
    pub(super) fn read(&self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        let Self::Tun(tun) = self else { return Ok(None) };
        loop {
            match tun.get_ref().recv(buffer) {
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clear_read(tun);
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands over all frames that wait; tells whether there were any.
    pub(in crate::connector::engine) fn flush(&mut self, datapath: &mut Datapath, now: Instant) -> bool {
        let mut any = false;
        while let Some(frame) = datapath.poll_frame() {
            any = true;
            match self {
                // the TUN takes what it can; what it does not is a lost packet, as on any link
                Self::Tun(tun) => drop(tun.get_ref().send(frame)),
                // a packet for none of its flows is one that came too late
                Self::Stack(stack) => drop(stack.handle_frame(frame, now)),
            }
        }
        any
    }

    /// The stack in user space, if that is what carries flows.
    pub(in crate::connector::engine) fn stack(&mut self) -> Option<&mut UserStack> {
        match self {
            Self::Tun(_) => None,
            Self::Stack(stack) => Some(stack),
        }
    }

    /// When it is to be looked at though nothing rang.
    pub(in crate::connector::engine) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Tun(_) => None,
            Self::Stack(stack) => stack.poll_timeout(),
        }
    }
}
