//! Reading and writing: the device and the sockets toward gateways, in batches, never blocking.

mod device;
mod network;

use std::task::Poll;
use std::time::Instant;

use anyhow::Context;
use netstack::Datapath;
use platform::udp::{RecvMeta, UdpEndpoint};

pub use device::Device;
use device::Watched;
use network::{Network, RECEIVE_BUFFERS};

use super::Engine;

/// Largest thing that the TUN or a socket gives at once: a super-packet with its header.
const BUFFER: usize = 65_536 + 16;
/// Reads of one source before others get their turn, so that timers and names stay on time.
const BUDGET: usize = 32;
/// Receive calls on a socket before others get their turn.
const RECEIVE_CALLS: usize = 2;
/// Frames that may wait for the TUN while further datagrams join them; the batch holds 256.
const MOST_FRAMES: usize = 128;
/// A frame longer than this is worth a send of its own: it fills most of a batch.
const FLUSH_ABOVE: usize = 16 * 1024;
/// Frames of the stack that are worth a send: as many datagrams as one call takes.
const FLUSH_AFTER: usize = 44;
/// Rounds between the stack and the packets' path before the loop goes on; what is left is taken up at the next one.
const MOST_ROUNDS: usize = 16;

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// The device.
    Device,
    /// The socket of that index.
    Socket(usize),
    /// A socket that was full takes datagrams again.
    Writable,
}

/// The device and the sockets.
pub(super) struct Io {
    pub(super) device: Watched,
    pub(super) network: Network,
    /// The network was read last: the device has the next turn.
    is_device_next: bool,
    device_buffer: Box<[u8]>,
    receive_buffers: Vec<Box<[u8]>>,
}

impl Io {
    pub(super) fn new(device: Device, sockets: Vec<UdpEndpoint>) -> std::io::Result<Self> {
        Ok(Self {
            device: Watched::new(device)?,
            network: Network::new(sockets)?,
            is_device_next: false,
            device_buffer: vec![0; BUFFER].into_boxed_slice(),
            receive_buffers: (0..RECEIVE_BUFFERS).map(|_| vec![0; BUFFER].into_boxed_slice()).collect(),
        })
    }

    /// Puts other sockets in the place of the present ones, which are closed.
    ///
    /// # Errors
    /// When the runtime cannot watch one of them; then nothing is changed.
    pub(super) fn rebind(&mut self, sockets: Vec<UdpEndpoint>) -> std::io::Result<()> {
        self.network = Network::new(sockets)?;
        Ok(())
    }

    /// Waits until something can be done; device and network take turns when both can be read.
    pub(super) async fn ready(&mut self) -> Ready {
        let ready = std::future::poll_fn(|context| {
            if self.network.poll_writable(context).is_ready() {
                return Poll::Ready(Ready::Writable);
            }
            if self.device.poll_gone(context).is_ready() {
                return Poll::Ready(Ready::Device);
            }
            let can_read_device = !self.network.is_blocked() && self.device.poll_ready(context).is_ready();
            if can_read_device && self.is_device_next {
                return Poll::Ready(Ready::Device);
            }
            match self.network.poll_readable(context) {
                Poll::Ready(index) => Poll::Ready(Ready::Socket(index)),
                Poll::Pending if can_read_device => Poll::Ready(Ready::Device),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.is_device_next = matches!(ready, Ready::Socket(_));
        ready
    }

    /// Sends and writes all that waits.
    pub(super) fn flush(&mut self, datapath: &mut Datapath, now: Instant) {
        self.network.flush(datapath);
        self.device.flush(datapath, now);
    }

    /// Lets the stack and the packets' path talk until both are quiet, or the network takes no more.
    pub(super) fn settle(&mut self, datapath: &mut Datapath, now: Instant) {
        self.flush(datapath, now);
        for _ in 0..MOST_ROUNDS {
            let Watched::Stack(stack) = &mut self.device else { return };
            if self.network.is_blocked() {
                return;
            }
            stack.carry(now);
            let mut frames = 0;
            while let Some(frame) = stack.poll_frame(now) {
                datapath.handle_tun_input(frame, now); // nothing of the stack asks the resolver by packets
                frames += 1;
                if frames % FLUSH_AFTER == 0 {
                    self.network.flush(datapath);
                    if self.network.is_blocked() {
                        return;
                    }
                }
            }
            self.network.flush(datapath);
            if !self.device.flush(datapath, now) && frames == 0 {
                return;
            }
        }
    }

    /// When the device is to be looked at though nothing comes from it.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.device.poll_timeout().filter(|_| !self.network.is_blocked())
    }
}

impl Engine {
    pub(super) fn handle_ready(&mut self, ready: Ready, now: Instant) -> anyhow::Result<()> {
        match ready {
            Ready::Device => self.read_device(now),
            Ready::Socket(index) => {
                self.read_socket(index, now);
                Ok(())
            }
            Ready::Writable => {
                self.io.network.unblock();
                Ok(())
            }
        }
    }

    fn read_device(&mut self, now: Instant) -> anyhow::Result<()> {
        let mut buffer = std::mem::take(&mut self.io.device_buffer);
        let result = self.read_frames(&mut buffer, now);
        self.io.device_buffer = buffer;
        result.context("failed to read from the TUN: the link was taken away")
    }

    fn read_frames(&mut self, buffer: &mut [u8], now: Instant) -> std::io::Result<()> {
        for _ in 0..BUDGET {
            let Some(length) = self.io.device.read(buffer)? else { return Ok(()) };
            self.handle_frame(&mut buffer[..length], now);
            if self.io.network.is_blocked() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: &mut [u8], now: Instant) {
        match self.datapath.handle_tun_input(frame, now) {
            netstack::datapath::Handled::Done => {
                if frame.len() > FLUSH_ABOVE {
                    self.io.network.flush(&mut self.datapath);
                }
            }
            netstack::datapath::Handled::Query { source, local, payload } => {
                self.handle_query(source, local, &frame[payload], now);
            }
        }
    }

    fn read_socket(&mut self, index: usize, now: Instant) {
        let mut buffers = std::mem::take(&mut self.io.receive_buffers);
        for _ in 0..RECEIVE_CALLS {
            let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
            let Some(count) = self.io.network.read(index, &mut buffers, &mut metas) else { break };
            for (meta, buffer) in metas[..count].iter().zip(&buffers) {
                self.datapath.handle_network_input(meta.addr, &buffer[..meta.len], meta.stride, now);
                if self.datapath.frames_waiting() > MOST_FRAMES {
                    self.io.device.flush(&mut self.datapath, now);
                }
            }
            self.io.device.flush(&mut self.datapath, now);
            if count < RECEIVE_BUFFERS {
                break;
            }
        }
        self.io.receive_buffers = buffers;
    }
}
