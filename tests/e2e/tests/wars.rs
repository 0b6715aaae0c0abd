//! Another program changes the system's DNS every second: few writes of ours, the tunnel up throughout, and names again
//! once there is peace.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::connector::{
    BINARY, BY_ADDRESS, BY_NAME, CONNECT_LIMIT, Installation, Settings, eventually_fetch,
};
use crate::process::{Running, eventually, run};
use crate::servers::{bind, web};
use crate::suite::{SLEEPS, Test};
use crate::world::namespace::ResolvConf;
use crate::world::resolvconf::{Keeper, install};
use crate::world::systemd::Systemd;
use crate::world::{CORP_WEB, SHORT, World};

/// The bar: writes of ours in a minute.
const MOST_WRITES: usize = 6;

/// A war is answered for a minute, then we yield: so long, on a busy machine.
const WAR_LIMIT: Duration = Duration::from_secs(150);

/// We are back 20 to 40 s after the last shot, on a busy machine.
const PEACE_LIMIT: Duration = Duration::from_secs(120);

/// What the rewriter's look may be late by.
const SLACK: f64 = 2.0;

/// Looks each second whether the file is still as this script wrote it, and writes it again: `$1` gets a line with the
/// time for each look that found another text. Ends when `$2` exists.
const FILE_REWRITER: &str = "
text='# by a rewriter\nnameserver 203.0.113.53'
while [ ! -e \"$2\" ]; do
  [ \"$(cat /etc/resolv.conf)\" = \"$text\" ] || date +%s.%N >>\"$1\"
  printf '%s\\n' \"$text\" >/etc/resolv.conf
  sleep 1
done";

/// The same with the record in the place of the file.
const RECORD_REWRITER: &str = "
while [ ! -e \"$2\" ]; do
  if [ -n \"$(resolvconf -l | grep openztna)\" ]; then
    date +%s.%N >>\"$1\"
    resolvconf -d tun.openztna
  fi
  sleep 1
done";

/// The same with our link's settings in systemd-resolved.
const LINK_REWRITER: &str = "
while [ ! -e \"$2\" ]; do
  if [ -n \"$(resolvectl dns ztna0 | cut -s -d: -f2- | tr -d ' ')\" ]; then
    date +%s.%N >>\"$1\"
    resolvectl revert ztna0
  fi
  sleep 1
done";

const NEEDS: &[&str] =
    &[SLEEPS, "apt-get", "curl", "dpkg-deb", "mmdebstrap", "named", "nginx", "openssl", "systemd-nspawn"];

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "a_war_over_the_systems_dns_is_answered_six_times_a_minute_and_left_in_every_mode",
        needs: NEEDS,
        run: wars,
    }]
}

/// All at one time: each takes two minutes, in which little happens.
fn wars() {
    std::thread::scope(|scope| {
        scope.spawn(|| over_the_file(ResolvConf::File));
        scope.spawn(|| over_the_file(ResolvConf::BindMount));
        scope.spawn(over_the_record);
        scope.spawn(over_the_link);
    });
}

#[track_caller]
fn world(resolv_conf: ResolvConf) -> World {
    let world = World::new(resolv_conf);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    world
}

fn over_the_file(resolv_conf: ResolvConf) {
    let world = world(resolv_conf);
    let installation = Installation::new(&world, &settings(&world));
    let mut connector = installation.start();
    let shell = || world.client.command("sh");
    let note = fight(&world, &installation, &mut connector, FILE_REWRITER, shell);
    assert!(note.contains("# by a rewriter"), "{note}");
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
    assert_eq!(world.client.resolv_conf(), "# by a rewriter\nnameserver 203.0.113.53\n");
}

fn over_the_record() {
    let world = world(ResolvConf::File);
    install(&world, Keeper::Openresolv);
    let before = world.client.resolv_conf();
    let installation = Installation::new(&world, &settings(&world));
    let mut connector = installation.start();
    fight(&world, &installation, &mut connector, RECORD_REWRITER, || world.client.command("sh"));
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
    assert_eq!(world.client.resolv_conf(), before);
}

fn over_the_link() {
    let world = world(ResolvConf::File);
    let system = Systemd::boot(&world, &world.folder().join("connector"));
    let installation = Installation::behind(&world, &settings(&world), || system.command(BINARY));
    let mut connector = installation.start();
    let note = fight(&world, &installation, &mut connector, LINK_REWRITER, || system.command("sh"));
    assert!(note.contains("systemd-resolved"), "{note}");
    eventually(CONNECT_LIMIT, "protected names resolve again", || {
        let page = system.run("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]);
        page.stdout.contains(web::SECRET_PHRASE).then_some(())
    });
    installation.stop(&mut connector);
}

fn settings(world: &World) -> Settings {
    Settings::new(world, &[BY_NAME, BY_ADDRESS].concat())
}

/// Lets the rewriter loose until we yield, ends it, and waits until we are back. Returns what the status said of it.
#[track_caller]
fn fight(
    world: &World,
    installation: &Installation<'_>,
    connector: &mut Running,
    rewriter: &str,
    shell: impl Fn() -> Command,
) -> String {
    // In a folder that the system in the container sees too.
    let (seen, end) = (installation.folder().join("seen"), installation.folder().join("end"));
    let mut command = shell();
    command.args(["-c", rewriter, "sh"]).arg(&seen).arg(&end);
    let mut running = Running::start(&mut command, &world.log_path("rewriter"));
    let start = Instant::now();
    let note = loop {
        // The tunnel is up throughout.
        let page = run(shell().arg("-c").arg(format!("curl -sS -m 10 http://{CORP_WEB}/")), SHORT);
        assert!(page.stdout.contains(web::SECRET_PHRASE), "{}{}", page.stdout, page.stderr);
        let status = installation.status().expect("a status");
        if status["dns"]["state"] == "yielded" {
            assert_eq!(status["colour"], "yellow", "{status:#}");
            break status["dns"]["note"].as_str().unwrap_or_default().to_owned();
        }
        assert!(start.elapsed() < WAR_LIMIT, "no yielding within {WAR_LIMIT:?}: {status:#}");
        std::thread::sleep(Duration::from_secs(1));
    };
    let yielded = start.elapsed();
    fs::write(&end, "").expect("a file");
    running.wait(SHORT);
    installation.wait_for_status(connector, "DNS is active again", PEACE_LIMIT, |status| {
        status["dns"]["state"] == "active" && status["colour"] == "green"
    });
    let writes = assert_few(&fs::read_to_string(&seen).expect("the rewriter's list"));
    println!("{writes} writes of ours in {yielded:?}; back {:?} after the end", start.elapsed() - yielded);
    note
}

/// No seven looks within a minute found a write of ours, but for the first, which finds the start's late. Returns their
/// number.
#[track_caller]
fn assert_few(seen: &str) -> usize {
    let times: Vec<f64> = seen.lines().map(|line| line.parse().expect("a time")).collect();
    for window in times.get(1..).unwrap_or_default().windows(MOST_WRITES + 1) {
        assert!(window[MOST_WRITES] - window[0] >= 60.0 - SLACK, "{times:?}");
    }
    assert!(times.len() > MOST_WRITES / 2, "the rewriter has hardly seen us: {times:?}");
    times.len()
}
