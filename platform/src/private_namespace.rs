//! A network of our own without root: a TUN in a private namespace, and sockets of the kernel's TCP in it.
//!
//! The program executes itself again as the *broker*. That process moves into a user and a network namespace of its
//! own, makes a TUN there, hands it over, and stays to make sockets: a socket keeps the network it was made in, so that
//! this process connects and accepts in the private one while its other sockets stay in the system's. Nothing of this
//! can be seen from outside, and it is gone with the last descriptor.

mod broker;
mod line;
mod network;
mod obstacle;
mod settings;
mod sockets;
mod wire;

use std::{ffi::OsStr, io, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use broker::broker_main;
pub use obstacle::Obstacle;
pub use sockets::{Kind, SocketBroker};

use crate::tun::Tun;
use wire::{Answer, Place, Request};

/// How long the broker may take until its network stands; it needs 10 ms, and more on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How the private network is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// First part of the TUN's name; nobody outside sees it.
    pub name_prefix: String,
    /// Largest packet of the TUN in bytes, without offload.
    pub mtu: u16,
    /// Leave offload out even where the kernel has it.
    pub force_plain: bool,
    /// How many segments a super-packet may have; `None` leaves it to the kernel.
    pub most_segments: Option<u32>,
    /// Addresses of the TUN, at most one a family; all else is routed into it.
    pub addresses: Vec<IpAddr>,
    /// Take every destination that comes out of the TUN as one of this network's own, for [`SocketBroker::listen`].
    pub accept_any: bool,
}

/// A private network: its TUN, and who makes sockets in it. It ends when both are dropped, and all sockets of it.
#[derive(Debug)]
pub struct PrivateNamespace {
    /// The device, up and with its addresses; packets of the sockets come out of it.
    pub tun: Tun,
    /// Makes sockets in the network.
    pub sockets: SocketBroker,
    /// The network has IPv6.
    pub has_ipv6: bool,
}

impl PrivateNamespace {
    /// Makes one; blocks for some milliseconds.
    ///
    /// The program is executed again with `arguments`, and must then call [`broker_main`] before anything else.
    ///
    /// # Errors
    /// What stands in the way of it on this system; nothing is left behind.
    pub fn open(arguments: &[&OsStr], config: &Config) -> Result<Self, Obstacle> {
        let sockets = SocketBroker::start(arguments).map_err(Obstacle::Broker)?;
        let request = Request::Prepare(config.clone());
        let (answer, descriptors) = sockets.command(&request, START_TIMEOUT).map_err(Obstacle::Broker)?;
        let mut descriptors = descriptors.into_iter();
        match (answer, descriptors.next()) {
            (Answer::Prepared { name, index, offloads, has_ipv6 }, Some(descriptor)) => {
                let tun = Tun::adopt(descriptor, name, index, offloads);
                let place = Place { link: index, addresses: config.addresses.clone(), has_ipv6 };
                sockets.settle(place, descriptors.collect()).map_err(Obstacle::Broker)?;
                Ok(Self { tun, sockets, has_ipv6 })
            }
            (Answer::Failed(failure), _) => Err(Obstacle::of(failure)),
            (Answer::Prepared { .. }, None) => Err(Obstacle::Broker(io::ErrorKind::InvalidData.into())),
            (Answer::Done, _) => Err(Obstacle::Broker(io::ErrorKind::InvalidData.into())),
        }
    }
}
