//! The devices that may connect: who they are, where they are, and their sessions while they have any.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::alarms::Alarms;
use super::pace::Pace;
use super::policy::PeerConfig;
use super::prefixes::PrefixTable;
use crate::send_batch::SendBatch;
use crate::wireguard::{self, Front, Knock, Opened, Peer};

/// A session that was made by an initiation and is not used for this long is forgotten: the initiation may have been
/// recorded and replayed. A device uses it at once.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);
/// Sessions at one time that are not proven yet, of 12 KiB each.
const MOST_UNPROVEN: usize = 1_024;
/// A device without flows that was silent for so long has its session forgotten: it is of no use after half of it, and
/// boringtun clears it 180 s later by itself.
const SILENCE: Duration = Duration::from_secs(360);
/// No alarm is set closer than this, so that one that has no effect is not looked at again at once.
const LEAST_WAIT: Duration = Duration::from_millis(10);
/// Our numbers in datagrams have so many values.
const MOST_PEERS: usize = 1 << 24;

/// What is known of a device, for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Where it was last.
    pub endpoint: Option<SocketAddr>,
    /// When an authenticated message last came.
    pub proven_at: Option<Instant>,
    /// When the present session was made.
    pub established_at: Option<Instant>,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// Bytes of datagrams that were authentic.
    pub received: u64,
    /// Flows that are open now.
    pub flows: u32,
}

/// The devices.
pub(super) struct Peers {
    front: Front,
    slots: Vec<Option<Slot>>,
    by_key: std::collections::HashMap<[u8; 32], u32, FixedState>,
    owners: PrefixTable<Option<u32>>,
    alarms: Alarms,
    unproven: usize,
    free: Vec<u32>,
    /// Numbers that became free with the last policy: events may still speak of them.
    retired: Vec<u32>,
    seed: u64,
}

/// A device.
pub(super) struct Slot {
    config: PeerConfig,
    session: Option<Box<Session>>,
    /// Of sessions that are forgotten.
    former: PeerStats,
    pub(super) flows: u32,
    pub(super) half_open: u32,
    pub(super) queries: Pace,
    pub(super) refusals: Pace,
    pub(super) notices: Pace,
    pub(super) left_out: u32,
}

struct Session {
    peer: Peer,
    made_at: Instant,
    /// Something was sent with it.
    is_proven: bool,
}

impl Peers {
    pub(super) fn new(front: Front, seed: u64) -> Self {
        Self {
            front,
            slots: Vec::new(),
            by_key: std::collections::HashMap::with_hasher(FixedState::with_seed(seed)),
            owners: PrefixTable::new(seed),
            alarms: Alarms::default(),
            unproven: 0,
            free: Vec::new(),
            retired: Vec::new(),
            seed,
        }
    }

    /// Who may connect from now on. Returns their numbers, in order, and those of who may not any more: their sessions
    /// are there until [`Self::drop_gone`].
    pub(super) fn replace(&mut self, peers: Vec<PeerConfig>) -> (Vec<u32>, Vec<u32>) {
        self.free.append(&mut self.retired);
        let former = std::mem::take(&mut self.by_key);
        self.by_key = std::collections::HashMap::with_capacity_and_hasher(
            peers.len(),
            FixedState::with_seed(self.seed),
        );
        self.owners = PrefixTable::new(self.seed);
        let numbers: Vec<u32> = peers.into_iter().filter_map(|peer| self.place(peer, &former)).collect();
        let mut gone: Vec<u32> = former.into_values().filter(|number| !self.is_known(*number)).collect();
        gone.sort_unstable();
        (numbers, gone)
    }

    fn place(
        &mut self,
        mut peer: PeerConfig,
        former: &std::collections::HashMap<[u8; 32], u32, FixedState>,
    ) -> Option<u32> {
        if let Some(number) = self.by_key.get(&peer.public_key) {
            return Some(*number); // listed twice: the first counts
        }
        peer.applications.sort_unstable();
        let number = match former.get(&peer.public_key) {
            Some(number) => *number,
            None => self.free.pop().or_else(|| self.next_number())?,
        };
        self.by_key.insert(peer.public_key, number);
        for prefix in &peer.allowed_ips {
            self.owners.entry(*prefix).get_or_insert(number);
        }
        let slot = &mut self.slots[number as usize];
        match slot {
            Some(slot) if slot.config.preshared_key == peer.preshared_key => slot.config = peer,
            Some(slot) => {
                slot.config = peer;
                self.unproven -= usize::from(slot.forget());
            }
            None => *slot = Some(Slot::new(peer)),
        }
        Some(number)
    }

    fn next_number(&mut self) -> Option<u32> {
        if self.slots.len() >= MOST_PEERS {
            return None;
        }
        self.slots.push(None);
        Some(self.slots.len() as u32 - 1)
    }

    fn is_known(&self, number: u32) -> bool {
        let slot = self.slots.get(number as usize).and_then(Option::as_ref);
        slot.is_some_and(|slot| self.by_key.get(&slot.config.public_key) == Some(&number))
    }

    /// Ends the sessions of who may not connect any more.
    pub(super) fn drop_gone(&mut self, gone: Vec<u32>) {
        for number in gone {
            if let Some(mut slot) = self.slots[number as usize].take() {
                self.unproven -= usize::from(slot.forget());
            }
            self.alarms.clear(number);
            self.retired.push(number);
        }
    }

    /// The device itself, while it may connect.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// The applications that it has, sorted; none once it may not connect any more.
    pub(super) fn applications(&self, number: u32) -> &[u32] {
        match self.slots.get(number as usize) {
            Some(Some(slot)) if self.is_known(number) => &slot.config.applications,
            Some(_) | None => &[],
        }
    }

    /// Who may send from `address`.
    pub(super) fn owner(&self, address: IpAddr) -> Option<u32> {
        self.owners.covering(address).next().copied().flatten()
    }

    /// What is known of a device.
    pub(super) fn stats(&self, number: u32) -> Option<PeerStats> {
        self.slots.get(number as usize)?.as_ref().map(Slot::stats)
    }

    /// The numbers of all devices, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(number, slot)| slot.as_ref().map(|_| number as u32))
    }

    /// Looks at a handshake message; a cookie is written to `out`.
    pub(super) fn judge(&mut self, from: SocketAddr, datagram: &[u8], out: &mut [u8], now: Instant) -> Knock {
        self.front.judge(from, datagram, out, now)
    }

    /// The device with this public key; it has a session from now on that waits for its initiation. `None`: there is
    /// no such device, or no room.
    pub(super) fn prepare(&mut self, public_key: &[u8; 32], now: Instant) -> Option<u32> {
        let number = *self.by_key.get(public_key)?;
        let slot = self.slots.get_mut(number as usize)?.as_mut()?;
        if slot.session.is_none() {
            if self.unproven >= MOST_UNPROVEN {
                return None;
            }
            self.unproven += 1;
            let PeerConfig { public_key, preshared_key, .. } = slot.config;
            let peer = self.front.peer(public_key, preshared_key, number, now);
            slot.session = Some(Box::new(Session { peer, made_at: now, is_proven: false }));
            self.alarms.set(number, now + PROOF_TIMEOUT);
        }
        Some(number)
    }

    /// Opens a datagram into `out`; answers of the protocol go into the batch.
    pub(super) fn open(
        &mut self,
        number: u32,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut [u8],
        batch: &mut SendBatch,
        now: Instant,
    ) -> Opened {
        let Some(session) = self.session(number) else { return Opened::Bad };
        let opened = session.peer.open(from, datagram, out, batch, now);
        if opened != Opened::Bad && wireguard::is_data(datagram) && !session.is_proven {
            session.is_proven = true;
            self.unproven -= 1;
        }
        self.schedule(number, now);
        opened
    }

    /// The device's session, to seal packets with; [`Self::schedule`] follows.
    pub(super) fn sealer(&mut self, number: u32) -> Option<&mut Peer> {
        self.session(number).map(|session| &mut session.peer)
    }

    fn session(&mut self, number: u32) -> Option<&mut Session> {
        self.slots.get_mut(number as usize)?.as_mut()?.session.as_deref_mut()
    }

    /// Sets the device's alarm anew, after anything was done with its session.
    pub(super) fn schedule(&mut self, number: u32, now: Instant) {
        if let Some(due) = self.session(number).map(|session| session.due(now)) {
            self.alarms.set(number, due.max(now + LEAST_WAIT));
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.poll()
    }

    /// Lets time pass for those whose time has come.
    pub(super) fn handle_timeout(&mut self, batch: &mut SendBatch, now: Instant) {
        while let Some(number) = self.alarms.pop(now) {
            let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::as_mut) else { continue };
            if slot.is_over(now) {
                self.unproven -= usize::from(slot.forget());
            } else if let Some(session) = &mut slot.session {
                session.peer.advance(batch, now);
                self.schedule(number, now);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sessions(&self) -> usize {
        self.slots.iter().flatten().filter(|slot| slot.session.is_some()).count()
    }
}

impl Slot {
    fn new(config: PeerConfig) -> Self {
        Self {
            config,
            session: None,
            former: PeerStats::default(),
            flows: 0,
            half_open: 0,
            queries: Pace::default(),
            refusals: Pace::default(),
            notices: Pace::default(),
            left_out: 0,
        }
    }

    /// What a session that nobody has proven says is not believed.
    fn stats(&self) -> PeerStats {
        let former = PeerStats { flows: self.flows, ..self.former };
        let Some(session) = self.session.as_ref().filter(|session| session.is_proven) else { return former };
        let present = session.peer.stats();
        PeerStats {
            endpoint: session.peer.endpoint().or(former.endpoint),
            proven_at: present.proven_at.or(former.proven_at),
            established_at: present.established_at,
            sent: former.sent + present.sent,
            received: former.received + present.received,
            flows: self.flows,
        }
    }

    /// Whether its session is to be forgotten: never while there are flows, which the other side may speak on.
    fn is_over(&self, now: Instant) -> bool {
        let Some(session) = &self.session else { return false };
        match session.is_proven {
            true => self.flows == 0 && session.silent_at() <= now,
            false => session.made_at + PROOF_TIMEOUT <= now,
        }
    }

    /// Forgets the session; whether it was never proven.
    fn forget(&mut self) -> bool {
        self.former = PeerStats { established_at: None, ..self.stats() };
        self.session.take().is_some_and(|session| !session.is_proven)
    }
}

impl Session {
    /// When it is to be looked at.
    fn due(&self, now: Instant) -> Instant {
        let own = match self.is_proven {
            true if self.silent_at() <= now => now + SILENCE, // flows keep it
            true => self.silent_at(),
            false => self.made_at + PROOF_TIMEOUT,
        };
        self.peer.poll_timeout().map_or(own, |due| due.min(own))
    }

    fn silent_at(&self) -> Instant {
        self.peer.stats().proven_at.unwrap_or(self.made_at) + SILENCE
    }
}
