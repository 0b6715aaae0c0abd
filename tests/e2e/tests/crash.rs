//! `kill -9` at random moments: what the connector wrote to the system is taken back, with nothing restarted.

use std::env;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::connector::{BY_ADDRESS, BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::Running;
use crate::servers::{bind, web};
use crate::snapshot::{Snapshot, assert_restored};
use crate::suite::Test;
use crate::world::World;
use crate::world::namespace::ResolvConf;

/// Kills per mode where `OPENZTNA_E2E_KILLS` says nothing; the bar is 50.
const KILLS: u32 = 10;

/// How long the system may be left changed after a kill. The bar is 2 s, and the longest time is printed; a disk that
/// others keep busy makes each `fsync` take as long.
pub(crate) const RESTORE_LIMIT: Duration = Duration::from_secs(10);

/// The longest time from the start to the kill in a kill during the start.
const START_SPAN_MS: u64 = 150;

/// The longest time from the proven tunnel to the kill in a kill during the run.
const RUN_SPAN_MS: u64 = 800;

/// The longest time from the request to stop to the kill in a kill during the stop.
const STOP_SPAN_MS: u64 = 60;

pub(crate) fn tests() -> Vec<Test> {
    let needs = &["curl", "dig", "named", "nginx", "openssl"];
    vec![
        Test {
            name: "kill_9_restores_a_resolv_conf_that_is_a_file",
            needs,
            run: || kill_at_random_moments(ResolvConf::File),
        },
        Test {
            name: "kill_9_restores_a_resolv_conf_that_is_mounted",
            needs,
            run: || kill_at_random_moments(ResolvConf::BindMount),
        },
        Test {
            name: "when_the_guardian_is_killed_too_restore_takes_back",
            needs,
            run: when_the_guardian_is_killed_too_restore_takes_back,
        },
    ]
}

/// How many kills a test does.
pub(crate) fn kills() -> u32 {
    env::var("OPENZTNA_E2E_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// Numbers that differ from run to run; the seed is printed, and `OPENZTNA_E2E_SEED` repeats a run.
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from the environment or the clock.
    pub(crate) fn new() -> Self {
        let asked = env::var("OPENZTNA_E2E_SEED").ok().and_then(|text| text.parse().ok());
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        let seed: u64 = asked.unwrap_or(clock) | 1;
        println!("OPENZTNA_E2E_SEED={seed}");
        Self(seed)
    }

    /// A time up to `limit_ms`.
    pub(crate) fn duration(&mut self, limit_ms: u64) -> Duration {
        // xorshift64 (Marsaglia 2003): good enough to spread moments.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % (limit_ms * 1000))
    }
}

/// The phases in which the connector is killed, in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// While it starts.
    Start,
    /// While it is connected and in use.
    Run,
    /// While it stops.
    Stop,
}

impl Phase {
    /// The phase of kill number `i`.
    pub(crate) fn of(i: u32) -> Self {
        match i % 3 {
            0 => Self::Start,
            1 => Self::Run,
            _ => Self::Stop,
        }
    }

    /// Lets time pass from the launch into the phase; `connected` waits for the proven tunnel.
    pub(crate) fn wait(
        self,
        random: &mut Random,
        connector: &mut Running,
        connected: impl FnOnce(&mut Running),
    ) {
        if matches!(self, Self::Run | Self::Stop) {
            connected(connector);
        }
        let span = match self {
            Self::Start => START_SPAN_MS,
            Self::Run => RUN_SPAN_MS,
            Self::Stop => {
                connector.signal("TERM");
                STOP_SPAN_MS
            }
        };
        std::thread::sleep(random.duration(span));
    }
}

fn kill_at_random_moments(resolv_conf: ResolvConf) {
    let world = World::new(resolv_conf);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    let before = Snapshot::take(&world);
    let mut random = Random::new();
    let installation = Installation::new(&world, &Settings::new(&world, &[BY_NAME, BY_ADDRESS].concat()));
    let mut longest = Duration::ZERO;
    for i in 0..kills() {
        let phase = Phase::of(i);
        println!("kill {i} during {phase:?}");
        let mut connector = installation.launch();
        phase.wait(&mut random, &mut connector, |connector| {
            installation.wait_for_state(connector, "connected", crate::connector::CONNECT_LIMIT);
            if i % 2 == 0 {
                world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
            }
        });
        connector.kill();
        longest = longest.max(assert_restored(&world, &before, RESTORE_LIMIT));
        let public = dig::ask(&world.client, &["+tries=1", "+time=2"], bind::PUBLIC_NAME, "A");
        assert_eq!(public.status, "NOERROR", "public names resolve: {}", public.text);
    }
    println!("{} kills, restored after at most {longest:?}", kills());
}

fn when_the_guardian_is_killed_too_restore_takes_back() {
    for resolv_conf in [ResolvConf::File, ResolvConf::Symlink, ResolvConf::BindMount] {
        let world = World::new(resolv_conf);
        bind::corp(&world);
        bind::public(&world);
        let before = Snapshot::take(&world);
        let installation = Installation::new(&world, &Settings::new(&world, &[BY_NAME, BY_ADDRESS].concat()));
        let mut connector = installation.start();
        for (id, line) in world.client.processes() {
            if line.contains("guardian") && Path::new(&format!("/proc/{id}")).exists() {
                crate::process::run(
                    std::process::Command::new("kill").args(["-KILL", &id.to_string()]),
                    RESTORE_LIMIT,
                );
            }
        }
        connector.kill();
        let restored = installation.run(&["restore"]);
        assert_eq!(restored.code, 0, "{}{}", restored.stdout, restored.stderr);
        assert_restored(&world, &before, RESTORE_LIMIT);
        assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
    }
}
