//! What changes: policies, gateways and the network.

use std::collections::BTreeMap;
use std::time::Duration;

use netstack::datapath::Mapping;

use super::inward::is_open;
use super::{Site, World};
use crate::network::Weather;
use crate::payload::{From, first_sequence};
use crate::reference::{Key, Known};
use crate::spec::{GATEWAYS, Spec};
use crate::transition::Choice;
use crate::wire::{Packet, RST, Transport};

/// How long a packet of an earlier policy may wait for a session of its gateway (WireGuard paper, section 6.4: it is
/// given up after 90 s, which is seen when the handshake is next repeated), and be under way.
const UNDER_WAY: Duration = Duration::from_secs(90 + 6);

impl World {
    pub(super) fn set_policy(&mut self, choice: Choice) {
        let bits = choice.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let spec = match choice[6] % 3 {
            0 => Spec::OPEN,
            1 => Spec::new(bits | 0b100_0000_0000_1111),
            _ => Spec::new(bits),
        };
        self.enforce(spec);
    }

    /// Enforces a policy: flows that lose their right are reset at once, and no other.
    pub(super) fn enforce(&mut self, spec: Spec) {
        let now = self.instant();
        let of_before = std::mem::replace(&mut self.reference.spec, spec);
        self.earlier_specs.retain(|(until, _)| self.now < *until + UNDER_WAY);
        self.earlier_specs.push((self.now, of_before));
        self.resolver.set_zones(spec.zones());
        let granted: Vec<dns::Mapping> = self.resolver.mappings().collect();
        self.datapath.retain_mappings(|_, _| false);
        for mapping in granted {
            let known = Mapping { gateway: mapping.gateway, real: mapping.real, grant: mapping.grant };
            self.datapath.add_mapping(mapping.virtual_address, known);
        }
        let ended = self.datapath.set_policy(spec.policy(), now);
        let frames = self.frames();
        self.check_revocation(ended, &frames);
        self.pump_names();
    }

    fn check_revocation(&mut self, ended: usize, frames: &[Vec<u8>]) {
        let keys: Vec<Key> = self.reference.live.keys().copied().collect();
        let (mut certain, mut perhaps) = (0, 0);
        let mut resets: BTreeMap<Key, (usize, bool)> = BTreeMap::new();
        for key in keys {
            let Some((id, known)) = self.reference.known(&key, self.now) else { continue };
            if self.reference.keeps_right(id) {
                continue;
            }
            self.reference.live.remove(&key);
            let is_certain = known == Known::Yes;
            *(if is_certain { &mut certain } else { &mut perhaps }) += 1;
            if is_open(&self.reference.flows[id]) {
                resets.insert(key, (id, is_certain));
                self.resets_due.insert(id, self.now);
            }
        }
        assert!(
            (certain..=certain + perhaps).contains(&ended),
            "{ended} flows ended, {certain} lost their right"
        );
        for frame in frames {
            self.check_reset(frame, &mut resets);
        }
        resets.retain(|_, (_, is_certain)| *is_certain);
        assert!(resets.is_empty(), "connections lost their right and were not reset: {resets:?}");
    }

    /// A reset to the device comes from whom it speaks to, with the number that it expects next (RFC 5961).
    fn check_reset(&self, frame: &[u8], resets: &mut BTreeMap<Key, (usize, bool)>) {
        let packet = Packet::parse(&frame[10..]).unwrap_or_else(|error| panic!("a malformed reset: {error}"));
        let Transport::Tcp(segment) = packet.transport() else { panic!("no reset: {packet:?}") };
        assert!(segment.flags & RST != 0, "no reset: {segment:?}");
        let key = (packet.protocol, packet.destination, segment.destination, packet.source, segment.source);
        let (id, _) =
            resets.remove(&key).unwrap_or_else(|| panic!("a reset of {key:?}, which keeps its right"));
        let flow = &self.reference.flows[id];
        if flow.received > 0 && !flow.is_disordered {
            assert_eq!(
                segment.sequence,
                first_sequence(From::Host, id) + flow.received,
                "the reset of {flow:?}"
            );
        }
    }

    pub(super) fn add_gateway(&mut self, gateway: usize) {
        let now = self.instant();
        let site = &mut self.sites[gateway];
        // handshakes bear the time at which a peer was made: one that begins anew is the older one in the eyes of a
        // gateway that remembers it, since the clock of this world runs ahead
        site.wireguard.renew();
        self.net.lose(gateway);
        // and a peer that begins anew takes a handshake of former times for a new one: so does every WireGuard
        self.overheard.clear();
        (site.is_present, site.heard_at, site.waiting_since, site.initiated_at) = (true, None, None, None);
        self.datapath.set_peer(gateway as u32, Site::config(gateway), now);
    }

    pub(super) fn change_gateway(&mut self, choice: Choice) {
        let site = &mut self.sites[usize::from(choice[0]) % GATEWAYS];
        match choice[1] % 8 {
            0 | 1 => site.is_up = false,
            2 => site.wireguard.restart(),
            3 => site.is_elsewhere = !site.is_elsewhere,
            _ => site.is_up = true,
        }
    }

    pub(super) fn set_weather(&mut self, choice: Choice) {
        self.net.weather = match choice[0] % 4 {
            0 => Weather::default(),
            1 => Weather {
                loss: choice[1] % 10,
                copies: choice[2] % 10,
                damage: choice[3] % 5,
                jitter: choice[4] % 50,
                most: 0,
            },
            2 => Weather { jitter: choice[4], most: 110 + choice[5] % 80, ..Weather::default() },
            _ => Weather {
                loss: choice[1] % 60,
                copies: choice[2] % 30,
                damage: choice[3] % 20,
                jitter: choice[4],
                most: 0,
            },
        };
    }
}
