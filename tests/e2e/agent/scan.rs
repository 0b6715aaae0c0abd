//! Tries every port of a host: a SYN to each, and a datagram to each; waits for nothing.

use std::collections::VecDeque;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

/// Connections that are left open for a while, so that those that are allowed come about.
const OPEN: usize = 400;
/// Ports between two pauses, so that no queue on the way is too short.
const STEP: u16 = 32;
/// The pause.
const PAUSE: Duration = Duration::from_millis(4);

/// Tries all ports of `address`, TCP and UDP.
pub(crate) fn scan(address: &str) -> Result<String, String> {
    let host: std::net::Ipv4Addr = address.parse().map_err(|error| format!("{error}"))?;
    let datagrams = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
    let mut open: VecDeque<OwnedFd> = VecDeque::new();
    for port in 1..=u16::MAX {
        let target = SocketAddrV4::new(host, port);
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None);
        let socket = socket.map_err(|error| error.to_string())?;
        let _ = connect(&socket, &target); // under way, or refused at once
        open.push_back(socket);
        if open.len() > OPEN {
            open.pop_front();
        }
        let _ = datagrams.send_to(b"scan", target); // refused, for an earlier one
        if port % STEP == 0 {
            thread::sleep(PAUSE);
        }
    }
    thread::sleep(Duration::from_secs(1));
    Ok("scanned".to_owned())
}
