//! A router of the internet that does to IP packets what [`super::relay`] does to datagrams.
//!
//! For the comparison without any tunnel: what goes in clear between the laptop and the gateway's host makes a detour
//! through a TUN device of a thread of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use platform::tun::{Tun, TunConfig, VNET_HEADER_LEN};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::World;
use super::impairment::{BadWay, Impairment};

/// How long a stop may go unnoticed.
const IDLE: Duration = Duration::from_millis(50);

/// A running detour; packets go straight again, after a moment without a way, when it is dropped.
pub(crate) struct BadRoute {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BadRoute {
    /// From now on packets between the laptop and the gateway's host make the detour.
    #[track_caller]
    pub(crate) fn start(world: &World, impairment: Impairment, seed: u64) -> Self {
        let tun = world.wan.inside(|| {
            Tun::open(&TunConfig { name_prefix: "bad".to_owned(), mtu: 1500, force_plain: true })
                .expect("a TUN device on the internet")
        });
        let name = tun.name().to_owned();
        world.wan.ip(&[
            &format!("link set {name} up"),
            &format!("route add default dev {name} table 77"),
            "rule add iif client0 to 198.18.2.2 lookup 77",
            "rule add iif gateway0 to 198.18.1.2 lookup 77",
        ]);
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || carry(&tun, &impairment, seed, &told));
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for BadRoute {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(tun: &Tun, impairment: &Impairment, seed: u64, is_over: &AtomicBool) {
    let mut way = BadWay::new(seed);
    let mut buffer = vec![0; VNET_HEADER_LEN + 65_536];
    while !is_over.load(Ordering::Relaxed) {
        let wait = way.due().map_or(IDLE, |due| due.saturating_duration_since(Instant::now()).min(IDLE));
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        // A signal only ends the wait early.
        let _ = poll(&mut [PollFd::new(tun, PollFlags::IN)], Some(&wait));
        while let Ok(length) = tun.recv(&mut buffer) {
            way.take((), &mut buffer[..length], impairment, Instant::now());
        }
        while let Some(((), packet)) = way.next_due(Instant::now()) {
            // What the kernel has no room for is lost, as on any network.
            let _ = tun.send(&packet);
        }
    }
}
