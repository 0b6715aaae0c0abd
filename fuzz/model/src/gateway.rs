//! A stock WireGuard server: boringtun as it is, with nothing of `netstack` around it.

use std::net::SocketAddr;
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use mock_instant::MockClock;

/// Room for the largest packet and what WireGuard puts around it.
const BUFFER: usize = 65_535 + 64;

/// One end of a tunnel.
pub struct Gateway {
    tunn: Tunn,
    keys: ([u8; 32], [u8; 32]),
    index: u32,
    /// Where the device was last heard from.
    pub device: Option<SocketAddr>,
}

/// What came of a datagram.
#[derive(Debug, Default)]
pub struct Received {
    /// A packet, if it carried one.
    pub packet: Option<Vec<u8>>,
    /// Datagrams to be sent in answer.
    pub answers: Vec<Vec<u8>>,
    /// It was authentic.
    pub is_sound: bool,
}

/// Sets the clock that boringtun reads, here and in the device: time since the start.
pub fn set_clock(elapsed: Duration) {
    MockClock::set_time(elapsed);
}

impl Gateway {
    /// A server with its private key and the device's public key.
    pub fn new(own: [u8; 32], device: [u8; 32], index: u32) -> Self {
        let tunn = Tunn::new(StaticSecret::from(own), PublicKey::from(device), None, None, index, None);
        Self { tunn, keys: (own, device), index, device: None }
    }

    /// Forgets everything, with the time of former handshakes.
    pub fn renew(&mut self) {
        *self = Self::new(self.keys.0, self.keys.1, self.index);
    }

    /// Forgets all sessions, as after a restart. Its handshakes go on bearing later times.
    pub fn restart(&mut self) {
        let own = StaticSecret::from(self.keys.0);
        let public = PublicKey::from(&own);
        self.tunn.set_static_private(own, public, None);
        self.device = None;
    }

    /// Takes a datagram from the network.
    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8]) -> Received {
        let mut buffer = vec![0; BUFFER.min(datagram.len().max(148) + 64)];
        let mut received = Received::default();
        match self.tunn.decapsulate(Some(from.ip()), datagram, &mut buffer) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                received.packet = Some(packet.to_vec());
            }
            TunnResult::WriteToNetwork(answer) => received.answers.push(answer.to_vec()),
            TunnResult::Done => {}
            TunnResult::Err(_) => return received,
        }
        received.is_sound = true;
        if !received.answers.iter().any(|answer| answer[0] == 3) {
            self.device = Some(from);
        }
        if !received.answers.is_empty() {
            self.drain(&mut received.answers);
        }
        received
    }

    /// Sends a packet: the datagrams that leave now, with whether the packet is among them. It may wait for a session.
    pub fn send(&mut self, packet: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let mut buffer = vec![0; BUFFER.min(packet.len().max(148) + 64)];
        match self.tunn.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(datagram) => {
                let carries = datagram[0] == 4;
                (vec![datagram.to_vec()], carries)
            }
            TunnResult::Done
            | TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => (Vec::new(), false),
        }
    }

    /// Lets time pass; datagrams that are due.
    pub fn tick(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 256];
        match self.tunn.update_timers(&mut buffer) {
            TunnResult::WriteToNetwork(datagram) => Some(datagram.to_vec()),
            TunnResult::Done
            | TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => None,
        }
    }

    fn drain(&mut self, answers: &mut Vec<Vec<u8>>) {
        let mut buffer = vec![0; BUFFER];
        while let TunnResult::WriteToNetwork(datagram) = self.tunn.decapsulate(None, &[], &mut buffer) {
            answers.push(datagram.to_vec());
        }
    }
}
