//! The TUN device of Linux, through tun-rs: raw reads and writes, one packet each.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use tun_rs::{DeviceBuilder, SyncDevice};

use super::{Offloads, TunConfig, VNET_HEADER_LEN};
use crate::{
    error::{Error, HINT_NET_ADMIN},
    netlink::Netlink,
};

/// Packets that wait in the kernel for us: Ethernet's default; TUN's own 500 drops bursts of several flows.
const TX_QUEUE_LENGTH: u32 = 1000;

/// Longest name prefix in bytes: IFNAMSIZ (16) less the end mark and three digits.
const LONGEST_PREFIX: usize = 12;

/// A TUN device that is ours; the kernel removes it, its addresses and its routes when the last descriptor closes.
pub struct Tun {
    descriptor: OwnedFd,
    name: String,
    index: u32,
    offloads: Offloads,
}

impl Tun {
    /// Makes a device with the first free name, not yet up, non-blocking, closed on exec.
    ///
    /// Offload is left out where the kernel refuses it; [`Tun::offloads`] tells.
    ///
    /// # Errors
    /// No `/dev/net/tun`, no permission, or no free name: each with a hint.
    pub fn open(config: &TunConfig) -> Result<Self, Error> {
        check_prefix(&config.name_prefix)?;
        let device = open_device(config).map_err(|source| open_error(config, source))?;
        let tun = Self::describe(device).map_err(|source| open_error(config, source))?;
        // The older way, an ioctl, is not open to a user namespace's root.
        Netlink::open()?.set_queue_length(tun.index, TX_QUEUE_LENGTH)?;
        Ok(tun)
    }

    /// The device's name, e.g. `ztna0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What the kernel does for us on this device.
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Reads one packet behind its header of [`VNET_HEADER_LEN`] bytes; the length counts both. One system call.
    ///
    /// The header is zero when there is no offload. A buffer of 64 KiB and the header takes every packet.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; EBADFD (`File descriptor in bad state`) when the link was taken away.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offloads.vnet_header {
            return Ok(rustix::io::read(&self.descriptor, buffer)?);
        }
        let Some((header, packet)) = buffer.split_at_mut_checked(VNET_HEADER_LEN) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        header.fill(0);
        Ok(rustix::io::read(&self.descriptor, packet)? + VNET_HEADER_LEN)
    }

    /// Writes one packet that stands behind its header of [`VNET_HEADER_LEN`] bytes. One system call.
    ///
    /// Without offload the header is skipped: the packet must then be whole, with its checksums.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel has no room, EINVAL for a header or packet that it does not take.
    pub fn send(&self, buffer: &[u8]) -> io::Result<()> {
        let start = if self.offloads.vnet_header { 0 } else { VNET_HEADER_LEN };
        let Some(bytes) = buffer.get(start..) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        rustix::io::write(&self.descriptor, bytes)?;
        Ok(())
    }

    /// A device that another process made and handed over, already non-blocking and closed on exec.
    pub(crate) fn adopt(descriptor: OwnedFd, name: String, index: u32, offloads: Offloads) -> Self {
        Self { descriptor, name, index, offloads }
    }

    /// The bare descriptor, to be handed to another process.
    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    fn describe(device: SyncDevice) -> io::Result<Self> {
        device.set_nonblocking(true)?;
        let offloads = Offloads {
            vnet_header: device.tcp_gso(),
            tcp_segmentation: device.tcp_gso(),
            udp_segmentation: device.udp_gso(),
        };
        let (name, index) = (device.name()?, device.if_index()?);
        // SAFETY: the device gives its descriptor away and is gone with this call: nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(device.into_raw_fd()) };
        Ok(Self { descriptor, name, index, offloads })
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Tun {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tun").field("name", &self.name).field("offloads", &self.offloads).finish()
    }
}

fn open_device(config: &TunConfig) -> io::Result<SyncDevice> {
    if config.force_plain {
        return build(config, false);
    }
    match build(config, true) {
        // What the kernel answers to an offload it does not know; everything else would fail again without it.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY | libc::EOPNOTSUPP)) =>
        {
            build(config, false)
        }
        other => other,
    }
}

fn build(config: &TunConfig, offload: bool) -> io::Result<SyncDevice> {
    // With `%d` the kernel picks the first free number itself, so that two programs cannot pick the same.
    DeviceBuilder::new()
        .name(format!("{}%d", config.name_prefix))
        .mtu(config.mtu)
        .enable(false)
        .with(|options| {
            options.offload(offload);
        })
        .build_sync()
}

fn check_prefix(prefix: &str) -> Result<(), Error> {
    let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && !prefix.is_empty() && prefix.len() <= LONGEST_PREFIX {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidInput, "not a name for a link");
    Err(Error::system("open", "TUN device", prefix, source)
        .with_hint("use up to 12 letters, digits, hyphens and underscores"))
}

fn open_error(config: &TunConfig, source: io::Error) -> Error {
    let hint = match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            Some("the kernel has no TUN here: load the module tun, or give the container /dev/net/tun")
        }
        Some(libc::EPERM | libc::EACCES) => Some(HINT_NET_ADMIN),
        Some(libc::EBUSY | libc::ENFILE) => {
            Some("another program uses this device: stop it, or remove the link")
        }
        _ => None,
    };
    let error = Error::system("open", "TUN device", format!("{}%d", config.name_prefix), source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
