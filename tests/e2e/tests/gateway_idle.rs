//! What a gateway costs while its devices are there and do nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::agent::devices;
use crate::enforcement::{ENDPOINT, Enforcer};
use crate::process::{Running, children, eventually};
use crate::suite::Test;
use crate::world::World;
use crate::world::namespace::ResolvConf;

/// Devices that are connected.
const DEVICES: usize = 1_000;

/// All memory of the gateway and its broker at most: the bar.
const MOST_KIB: u64 = 60 * 1024;

/// CPU of both while nothing happens, in hundredths. The bar is 1; a development build on a busy machine may take more.
const MOST_PERCENT: f64 = 5.0;

/// Seconds of idleness where `OPENZTNA_E2E_IDLE` says nothing.
const IDLE: u64 = 30;

/// How long all may take to connect on a busy machine; the gateway answers 500 handshakes a second.
const CONNECT_LIMIT: Duration = Duration::from_secs(120);

/// What a tick of `/proc/PID/stat` is (proc(5), USER_HZ), in seconds.
const TICK: f64 = 0.01;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "a_thousand_connected_devices_cost_a_gateway_little",
        needs: &[],
        run: a_thousand_connected_devices_cost_a_gateway_little,
    }]
}

fn a_thousand_connected_devices_cost_a_gateway_little() {
    let world = World::new(ResolvConf::File);
    let enforcer = Enforcer::new(&world, "auto");
    let application =
        "[[application]]\nname = \"wiki\"\nhosts = [\"wiki.corp.example.com\"]\nports = [\"tcp/80\"]\n";
    let mut tables = application.to_owned();
    for index in 0..DEVICES {
        let (key, address) = (devices::public_key_of(index), devices::address_of(index));
        let _ = write!(
            tables,
            "[[peer]]\nname = \"d{index}\"\npublic_key = \"{key}\"\nallowed_ips = \"{address}\"\napplications = \"wiki\"\n"
        );
    }
    enforcer.configure(&["wiki"], &tables);
    let gateway = enforcer.start();
    let arguments = ["devices", &DEVICES.to_string(), &enforcer.keys.public, ENDPOINT];
    let devices = Running::start(&mut world.client.agent(&arguments), &world.log_path("devices"));
    eventually(CONNECT_LIMIT, "all devices are connected", || {
        devices.log().contains("connected").then_some(())
    });
    let processes = [vec![gateway.id()], children(gateway.id())].concat();
    let (ticks, start) = (ticks(&processes), Instant::now());
    thread::sleep(Duration::from_secs(
        env::var("OPENZTNA_E2E_IDLE").map_or(IDLE, |text| text.parse().unwrap()),
    ));
    let spent = (self::ticks(&processes) - ticks) as f64 * TICK;
    let percent = spent / start.elapsed().as_secs_f64() * 100.0;
    let resident: u64 = processes.iter().map(|process| resident_kib(*process)).sum();
    println!("{DEVICES} devices: {resident} KiB resident, {percent:.2} % CPU");
    assert!(resident < MOST_KIB, "{resident} KiB");
    assert!(percent < MOST_PERCENT, "{percent} %");
    enforcer.stop(gateway);
}

/// User and system time of all threads.
fn ticks(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        // The 14th and the 15th, of which the name's end has taken two.
        fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    processes.iter().map(of).sum()
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
