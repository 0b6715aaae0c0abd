//! Time: it goes from one event to the next, and nothing may spin.

use std::time::Duration;

use super::World;
use crate::gateway::set_clock;
use crate::network::Cargo;
use crate::spec::GATEWAYS;
use crate::transition::Choice;

/// How often gateways look at their timers.
const TICK: Duration = Duration::from_millis(500);
/// Datagrams that the device reads at once.
const BATCH: usize = 16;

impl World {
    pub(super) fn pass_some(&mut self, choice: Choice) {
        let milliseconds = match choice[0] % 8 {
            0..=3 => u64::from(choice[1]),
            4 => u64::from(choice[1]) * 10,
            5 => u64::from(choice[1]) * 100,
            6 => u64::from(choice[1]) * 400,
            _ if choice[2].is_multiple_of(16) => u64::from(choice[1]) * 40_000,
            _ => u64::from(choice[1]) * 1_000,
        };
        self.pass(Duration::from_millis(milliseconds));
    }

    /// Lets time pass, with all that happens in it.
    pub(super) fn pass(&mut self, duration: Duration) {
        let (until, mut timeouts, from) = (self.now + duration, 0u32, self.now);
        loop {
            self.settle();
            let due = self.due();
            let next = [due, self.net.next_at(), self.next_tick()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.go_to(next.max(self.now));
            if due.is_some_and(|due| due <= self.now) {
                timeouts += 1;
                let most = 100.0 + 20.0 * (self.now - from).as_secs_f64();
                assert!(f64::from(timeouts) < most, "it spins: {timeouts} timeouts since {from:?}");
                self.datapath.handle_timeout(self.instant());
                self.resolver.handle_timeout(self.instant());
            }
            self.arrive();
            self.tick_gateways();
        }
        self.go_to(until);
        self.settle();
    }

    /// When the device wants to be called.
    fn due(&self) -> Option<Duration> {
        let due = [self.datapath.poll_timeout(), self.resolver.poll_timeout()].into_iter().flatten().min()?;
        Some(due.saturating_duration_since(self.start))
    }

    fn go_to(&mut self, now: Duration) {
        self.now = now;
        set_clock(now);
    }

    fn next_tick(&self) -> Option<Duration> {
        let ticks = self.now.as_millis() / TICK.as_millis() + 1;
        Some(Duration::from_millis((ticks * TICK.as_millis()) as u64))
    }

    /// Everything that has arrived by now, some of it in one batch.
    fn arrive(&mut self) {
        let mut batch = Vec::new();
        while let Some(cargo) = self.net.arrived(self.now) {
            match cargo {
                Cargo::ToGateway(gateway, bytes) => self.at_gateway(gateway, &bytes),
                Cargo::ToDevice(datagram) => batch.push(datagram),
                Cargo::Reply(query, server, bytes) => {
                    let wall = self.wall();
                    self.resolver.handle_response(query, server, &bytes, self.instant(), wall);
                    self.pump_names();
                }
            }
            if batch.len() == BATCH {
                self.at_device(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.at_device(batch);
        }
    }

    fn tick_gateways(&mut self) {
        if !self.now.as_millis().is_multiple_of(TICK.as_millis()) {
            return;
        }
        for gateway in 0..GATEWAYS {
            if let Some(datagram) = self.sites[gateway].wireguard.tick() {
                self.carry_in(gateway, datagram, None);
            }
        }
    }

    pub(super) fn wall(&self) -> u64 {
        super::WALL + self.now.as_secs()
    }
}
