//! With nothing to do the connector sleeps, and sends nothing: connected, and without a network.

use std::env;
use std::fs;
use std::thread;
use std::time::Duration;

use crate::connector::{BY_NAME, Installation, Settings};
use crate::process::{Running, eventually, run};
use crate::servers::{self, bind};
use crate::suite::{SLEEPS, Test};
use crate::world::access;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// Seconds of idleness where `OPENZTNA_E2E_IDLE` says nothing.
const IDLE: u64 = 60;

/// How long the connections that were open before may take to be forgotten.
const SETTLE: Duration = Duration::from_secs(120);

/// Wake-ups a minute: the bar.
const MOST_WAKE_UPS: u64 = 2;

/// However short the time, so many more: one event wakes several threads.
const ALLOWANCE: u64 = 3;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "an_idle_connector_sleeps_and_sends_nothing",
        needs: &[SLEEPS, "named", "tcpdump"],
        run: an_idle_connector_sleeps_and_sends_nothing,
    }]
}

fn an_idle_connector_sleeps_and_sends_nothing() {
    let seconds = env::var("OPENZTNA_E2E_IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(IDLE);
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    servers::udp_echo(&world);
    let mut settings = Settings::new(&world, BY_NAME);
    settings.before = "[tunneling]\nkeep_alive = 0\n".to_owned();
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    assert!(asks(&world));
    settle(&connector);
    let capture = Capture::start(&world, &world.client, "eth0", "idle");
    settle(&connector); // the link has changed a little, since it is listened to
    rests(&connector, "connected", seconds);
    let packets = capture.stop().packets("udp port 51820 or port 53");
    assert!(packets.is_empty(), "{packets:?}");
    assert!(asks(&world));

    access::unplug_first_cable(&world);
    asks(&world);
    settle(&connector);
    rests(&connector, "without a network", seconds);
    access::plug_first_cable(&world);
    eventually(SHORT, "it works again", || asks(&world).then_some(()));
    installation.stop(&mut connector);
}

/// One exchange by name.
fn asks(world: &World) -> bool {
    run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", "10"]), SHORT).code == 0
}

/// Waits until what was open before is forgotten: no wake-up in ten seconds.
#[track_caller]
fn settle(connector: &Running) {
    eventually(SETTLE, "the connector is quiet", || {
        let before = wake_ups(connector);
        thread::sleep(Duration::from_secs(10));
        (wake_ups(connector) == before).then_some(())
    });
}

#[track_caller]
fn rests(connector: &Running, when: &str, seconds: u64) {
    let (woken, worked) = (wake_ups(connector), cpu_ticks(connector));
    thread::sleep(Duration::from_secs(seconds));
    let (woken, worked) = (wake_ups(connector) - woken, cpu_ticks(connector) - worked);
    println!("{when}: {woken} wake-ups and {worked} ticks of CPU in {seconds} s");
    let most = MOST_WAKE_UPS * seconds / 60 + ALLOWANCE;
    assert!(woken <= most, "{when}: {woken} wake-ups in {seconds} s, and {most} are borne");
}

/// How often its threads have gone to sleep by themselves (proc(5)).
fn wake_ups(connector: &Running) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", connector.id())).into_iter().flatten().flatten();
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    tasks.filter_map(|task| count(fs::read_to_string(task.path().join("status")).ok()?)).sum()
}

/// The CPU time that it has used, in hundredths of a second: the fields 14 and 15 of `stat` (proc(5)).
fn cpu_ticks(connector: &Running) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", connector.id())).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
