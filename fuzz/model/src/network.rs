//! The network between the device and its gateways: it loses, doubles, delays, changes order and damages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What is under way.
#[derive(Debug, Clone)]
pub enum Cargo {
    /// To the gateway of that number.
    ToGateway(usize, Vec<u8>),
    /// To the device.
    ToDevice(Datagram),
    /// To the resolver, from a server of the physical links: which query, which server, what it says.
    Reply(u64, SocketAddr, Vec<u8>),
}

/// A datagram on its way to the device.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Where it seems to come from.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Which packet of an internal host it carries, when that is known.
    pub carries: Option<usize>,
    /// Neither changed nor a copy.
    pub is_pristine: bool,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Datagrams lost, in percent.
    pub loss: u8,
    /// Datagrams that come twice, in percent.
    pub copies: u8,
    /// Datagrams with a bit turned over, in percent.
    pub damage: u8,
    /// Most delay on top of a millisecond, in milliseconds; it changes the order.
    pub jitter: u8,
    /// Datagrams that are longer are lost without a word; 0: any passes. In units of 8 bytes.
    pub most: u8,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    under_way: BTreeMap<(Duration, u64), Cargo>,
    count: u64,
    /// How bad it is.
    pub weather: Weather,
    random: Random,
}

/// A small generator (splitmix64): the same seed gives the same world.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn is_under(&mut self, percent: u8) -> bool {
        percent > 0 && self.next() % 100 < u64::from(percent)
    }
}

impl Net {
    /// A good network.
    pub fn new(seed: u64) -> Self {
        Self { under_way: BTreeMap::new(), count: 0, weather: Weather::default(), random: Random::new(seed) }
    }

    /// Takes something to be carried.
    pub fn send(&mut self, cargo: Cargo, now: Duration) {
        if self.random.is_under(self.weather.loss) || self.is_too_long(&cargo) {
            return;
        }
        if self.random.is_under(self.weather.copies) {
            self.carry(copy_of(&cargo), now);
        }
        let cargo = if self.random.is_under(self.weather.damage) { self.damaged(cargo) } else { cargo };
        self.carry(cargo, now);
    }

    /// When the next thing arrives.
    pub fn next_at(&self) -> Option<Duration> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// What has arrived.
    pub fn arrived(&mut self, now: Duration) -> Option<Cargo> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Loses what is under way to a gateway.
    pub fn lose(&mut self, gateway: usize) {
        self.under_way.retain(|_, cargo| !matches!(cargo, Cargo::ToGateway(to, _) if *to == gateway));
    }

    /// Loses all that is under way.
    pub fn clear(&mut self) {
        self.under_way.clear();
    }

    fn is_too_long(&self, cargo: &Cargo) -> bool {
        let length = match cargo {
            Cargo::ToGateway(_, bytes) | Cargo::Reply(_, _, bytes) => bytes.len(),
            Cargo::ToDevice(datagram) => datagram.bytes.len(),
        };
        self.weather.most > 0 && length > 8 * usize::from(self.weather.most)
    }

    fn carry(&mut self, cargo: Cargo, now: Duration) {
        let extra = self.random.next() % (u64::from(self.weather.jitter) + 1);
        self.count += 1;
        self.under_way.insert((now + Duration::from_millis(1 + extra), self.count), cargo);
    }

    fn damaged(&mut self, mut cargo: Cargo) -> Cargo {
        let number = self.random.next();
        let bytes = match &mut cargo {
            Cargo::ToGateway(_, bytes) => bytes,
            Cargo::ToDevice(datagram) => {
                datagram.is_pristine = false;
                &mut datagram.bytes
            }
            Cargo::Reply(..) => return cargo,
        };
        if let Some(at) = (number as usize).checked_rem(bytes.len()) {
            bytes[at] ^= 1 << (number >> 60 & 7);
        }
        cargo
    }
}

fn copy_of(cargo: &Cargo) -> Cargo {
    let mut copy = cargo.clone();
    if let Cargo::ToDevice(datagram) = &mut copy {
        datagram.is_pristine = false;
    }
    copy
}
