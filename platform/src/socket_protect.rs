//! Keeps our own sockets out of our own tunnel by a firewall mark.

use std::{io, os::fd::AsFd};

use socket2::SockRef;

/// The mark that our rules exempt from our routing table.
///
/// The low 16 bits are clear, since Kubernetes uses 0x4000 and 0x8000; bits 16 to 23 (0x54) differ from Tailscale's
/// 0x04 and 0x08 under its mask 0xff, and the whole value from the marks of Mullvad (0x6d6f6c65) and WireGuard (0xca6c).
pub const FWMARK: u32 = 0x5a54_0000;

/// The bits of a mark that are ours to compare: the low half belongs to others.
pub const FWMARK_MASK: u32 = 0xffff_0000;

/// Marks a socket so that the rule of [`crate::netlink::rule`] keeps its packets on the physical link.
///
/// To be called before the socket sends or connects: the route is chosen then. A process that may not mark sockets has
/// no tunnel of its own to keep them out of either: then nothing is done.
///
/// # Errors
/// What the system answers, but for the missing right.
pub fn protect(socket: &impl AsFd, mark: u32) -> io::Result<()> {
    match SockRef::from(socket).set_mark(mark) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_half_of_the_mark_is_left_to_others() {
        assert_eq!(FWMARK & !FWMARK_MASK, 0);
        assert_ne!(FWMARK & 0x00ff_0000, 0x0004_0000);
        assert_ne!(FWMARK & 0x00ff_0000, 0x0008_0000);
    }
}
