//! The table of connections that the kernel tracks in this thread's network namespace.

use std::fs;
use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `IPCTNL_MSG_CT_DELETE` of the subsystem `NFNL_SUBSYS_CTNETLINK` (1), of `linux/netfilter/nfnetlink_conntrack.h`.
const DELETE: u16 = 1 << 8 | 2;

/// `NLM_F_REQUEST | NLM_F_ACK` of `linux/netlink.h`.
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;

/// `NLMSG_ERROR`, which also acknowledges.
const ERROR: u16 = 2;

/// How many connections are in the table.
///
/// # Errors
///
/// What the kernel says when it does not tell.
pub(crate) fn count() -> io::Result<usize> {
    // The thread's own file: that of the process shows the network of its first thread.
    let text = fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack")?;
    let first = text.lines().nth(1).and_then(|line| line.split_whitespace().next());
    let count = first.and_then(|hexadecimal| usize::from_str_radix(hexadecimal, 16).ok());
    count.ok_or_else(|| io::Error::other("a table of numbers that begins with the count"))
}

/// Empties the table.
///
/// # Errors
///
/// What the kernel says when it refuses.
pub(crate) fn flush() -> io::Result<()> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // nlmsghdr, then nfgenmsg: all families, version 0; a deletion that names nothing takes all.
    let mut message = Vec::new();
    message.extend_from_slice(&20u32.to_ne_bytes());
    message.extend_from_slice(&DELETE.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend_from_slice(&[0; 8 + 4]);
    socket.send(&message, 0)?;
    let (reply, _) = socket.recv_from_full()?;
    let (Some(kind), Some(code)) = (reply.get(4..6), reply.get(16..20)) else {
        return Err(io::Error::other("a short reply of netlink"));
    };
    let code = i32::from_ne_bytes(code.try_into().expect("four bytes"));
    if kind == ERROR.to_ne_bytes() && code != 0 {
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(())
}
