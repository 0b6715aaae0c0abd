//! What the broker is asked and what it answers, with descriptors beside the words (SCM_RIGHTS, unix(7)).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Config, Kind};
use crate::{Family, tun::Offloads};

/// Descriptors of one message at most: the kernel takes 253 (SCM_MAX_FD), and an unprivileged user may have no more on
/// the way than descriptors open.
pub(super) const MOST_DESCRIPTORS: usize = 64;

/// Bytes of one message at most: a request with some addresses is the longest.
const LONGEST_MESSAGE: usize = 4096;

/// What the broker is asked. The first request is [`Request::Prepare`] or [`Request::Resume`], once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Request {
    Prepare(Config),
    /// Instead of the former, to a process that goes on where another one has ended; with the namespaces to enter.
    Resume(Place),
    Sockets {
        kind: Kind,
        family: Family,
        count: usize,
    },
    Listen {
        family: Family,
        port: u16,
    },
    SetAddresses(Vec<IpAddr>),
    SetMtu(u16),
}

/// What stands in a private network, for a broker that did not make it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    /// The TUN's number.
    pub(super) link: u32,
    /// Its addresses.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) has_ipv6: bool,
}

/// What it answers, each request in its turn. Sockets come with [`Answer::Done`]; with [`Answer::Prepared`] the TUN, and
/// the namespaces in the order in which another process enters them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    Prepared { name: String, index: u32, offloads: Offloads, has_ipv6: bool },
    Done,
    Failed(Failure),
}

/// Where it failed, and the system's word for why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: i32,
    /// The sentence for a person, without the cause.
    pub(super) text: String,
}

/// The steps that differ in what a person can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Opening `/dev/net/tun`, still outside.
    Device,
    /// Moving into the namespaces.
    Namespace,
    /// Making the TUN and the network inside.
    Network,
    /// A later request.
    Request,
}

/// A message that came.
pub(super) struct Received<T> {
    pub(super) message: T,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Sends one message; never raises SIGPIPE.
pub(super) fn send(
    channel: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST_MESSAGE || descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    sendmsg(channel, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for one message; `None` when the other side has closed.
///
/// # Errors
/// EMFILE when descriptors were lost, since this process may open no more.
pub(super) fn receive<T: DeserializeOwned>(channel: BorrowedFd<'_>) -> io::Result<Option<Received<T>>> {
    let mut text = [0; LONGEST_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        match recvmsg(channel, &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if descriptors.is_empty() && received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    let message = serde_json::from_slice(&text[..received.bytes])?;
    Ok(Some(Received { message, descriptors }))
}
