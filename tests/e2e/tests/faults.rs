//! What breaks: each fault has one clear message with a hint, a state in `status`, and a bounded retry.

use std::time::Duration;

use serde_json::Value;

use crate::connector::{
    BY_ADDRESS, BY_NAME, CONNECT_LIMIT, Installation, STOP_LIMIT, Settings, eventually_fetch,
};
use crate::dig;
use crate::process::{Finished, Running, run};
use crate::servers::{bind, web};
use crate::snapshot::{Snapshot, assert_restored};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::wireguard::KeyPair;
use crate::world::{CORP_WEB, SHORT, World};

/// A user without any right.
const ORDINARY_USER: u32 = 4242;

/// How long a fault may take to be noticed: a handshake is tried again every 5 s (WireGuard, section 6.1).
const NOTICE_LIMIT: Duration = Duration::from_secs(40);

/// How long handshakes are counted.
const COUNTING: Duration = Duration::from_secs(12);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_wrong_key_is_said_and_retried_within_bounds",
            needs: &["tcpdump"],
            run: a_wrong_key_is_said_and_retried_within_bounds,
        },
        Test {
            name: "an_unreachable_gateway_is_said_and_found_when_it_comes",
            needs: &["curl", "nginx", "openssl"],
            run: an_unreachable_gateway_is_said_and_found_when_it_comes,
        },
        Test {
            name: "a_gateway_whose_name_cannot_be_resolved_is_said_and_tried_again",
            needs: &["named"],
            run: a_gateway_whose_name_cannot_be_resolved_is_said_and_tried_again,
        },
        Test {
            name: "a_link_that_is_taken_away_is_made_anew",
            needs: &["curl", "nginx", "openssl"],
            run: a_link_that_is_taken_away_is_made_anew,
        },
        Test {
            name: "a_gateway_that_restarts_is_connected_again",
            needs: &["curl", "nginx", "openssl"],
            run: a_gateway_that_restarts_is_connected_again,
        },
        Test {
            name: "a_dead_dns_server_fails_its_names_alone_and_quickly",
            needs: &["dig", "named"],
            run: a_dead_dns_server_fails_its_names_alone_and_quickly,
        },
        Test {
            name: "a_read_only_resolv_conf_is_said_and_addresses_still_work",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_read_only_resolv_conf_is_said_and_addresses_still_work,
        },
        Test {
            name: "without_root_or_the_capability_it_goes_on_with_the_proxies_and_says_so",
            needs: &[],
            run: without_root_or_the_capability_it_goes_on_with_the_proxies_and_says_so,
        },
        Test {
            name: "a_full_disk_is_said_and_nothing_is_changed",
            needs: &[],
            run: a_full_disk_is_said_and_nothing_is_changed,
        },
        Test {
            name: "a_resolv_conf_that_another_program_writes_is_taken_over_again",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_resolv_conf_that_another_program_writes_is_taken_over_again,
        },
    ]
}

fn a_wrong_key_is_said_and_retried_within_bounds() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let mut settings = Settings::new(&world, BY_ADDRESS);
    settings.public_key = KeyPair::generate().public;
    let installation = Installation::new(&world, &settings);
    let uplink = Capture::start(&world, &world.client, "eth0", "uplink");
    let mut connector = installation.launch();
    let status = wait_for_gateway_error(&installation, &mut connector);
    assert_ne!(status["state"], "connected", "{status:#}");
    assert!(has_text(&status["hint"]), "a hint: {status:#}");
    std::thread::sleep(COUNTING);
    let handshakes = uplink.stop().packets("udp dst port 51820").len();
    // One per 5 s and its jitter, from the start until now; a loop without bound would send thousands.
    assert!((2..=60).contains(&handshakes), "{handshakes} handshakes");
    let refused = world.on_client("curl", &["-sS", "-m", "5", &format!("http://{CORP_WEB}/")]);
    assert_ne!(refused.code, 0);
    installation.stop(&mut connector);
    assert_restored(&world, &before, STOP_LIMIT);
}

fn an_unreachable_gateway_is_said_and_found_when_it_comes() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    world.gateway.ip(&["link set eth0 down"]);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.launch();
    let status = wait_for_gateway_error(&installation, &mut connector);
    assert!(status["state"] != "connected" && has_text(&status["hint"]), "{status:#}");
    world.gateway.ip(&["link set eth0 up", "route replace default via 198.18.2.1"]);
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    installation.stop(&mut connector);
}

fn a_gateway_whose_name_cannot_be_resolved_is_said_and_tried_again() {
    let world = World::new(ResolvConf::File);
    bind::public(&world);
    let before = Snapshot::take(&world);
    let mut settings = Settings::new(&world, BY_ADDRESS);
    settings.endpoint = "no-such-name.example.net:51820".to_owned();
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.launch();
    let status = installation.wait_for_state(&mut connector, "failed", NOTICE_LIMIT);
    let error = status["gateways"][0]["error"].to_string();
    assert!(error.contains("no-such-name.example.net"), "{status:#}");
    let asked = || bind::public_queries(&world).matches("no-such-name").count();
    let first = asked();
    let start = std::time::Instant::now();
    while asked() == first {
        assert!(start.elapsed() < NOTICE_LIMIT, "it is not tried again");
        std::thread::sleep(Duration::from_millis(100));
    }
    installation.stop(&mut connector);
    assert_restored(&world, &before, STOP_LIMIT);
}

fn a_link_that_is_taken_away_is_made_anew() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    world.client.ip(&["link del ztna0"]);
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    installation.stop(&mut connector);
    assert_restored(&world, &before, STOP_LIMIT);
}

fn a_gateway_that_restarts_is_connected_again() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    assert!(world.stop_server("wireguard-gateway"));
    world.start_gateway();
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    installation.stop(&mut connector);
}

fn a_dead_dns_server_fails_its_names_alone_and_quickly() {
    let world = World::new(ResolvConf::File);
    bind::public(&world);
    let mut settings = Settings::new(&world, BY_NAME);
    // An address in the tunnel at which nothing listens, then one that swallows packets.
    for dns in ["10.77.0.54", "10.77.99.99"] {
        settings.dns = dns.to_owned();
        let installation = Installation::new(&world, &settings);
        let mut connector = installation.start();
        let answer = dig::ask(&world.client, &["+tries=1", "+time=15"], "wiki.corp.example.com", "A");
        assert_eq!(answer.status, "SERVFAIL", "an answer, not silence: {}", answer.text);
        assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
        let asked = bind::public_queries(&world);
        assert!(
            !asked.contains("wiki.corp"),
            "a protected name was asked on the internet after a failure:\n{asked}"
        );
        installation.wait_for_status(&mut connector, "status names the dead server", SHORT, |status| {
            let parts = [&status["dns"], &status["warnings"], &status["gateways"], &status["message"]];
            parts.iter().any(|part| part.to_string().contains(dns))
        });
        installation.stop(&mut connector);
    }
}

fn a_read_only_resolv_conf_is_said_and_addresses_still_work() {
    let world = World::new(ResolvConf::ReadOnly);
    bind::public(&world);
    web::corp(&world);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, &[BY_ADDRESS, BY_NAME].concat()));
    let mut connector = installation.launch();
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    let status = installation.wait_for_status(&mut connector, "the status names the file", SHORT, |status| {
        [&status["dns"], &status["message"], &status["warnings"]]
            .iter()
            .any(|part| part.to_string().contains("resolv.conf"))
    });
    assert_ne!(status["colour"], "green", "names do not work, and it says so: {status:#}");
    let text = status.to_string().to_lowercase();
    assert!(text.contains("read-only") || text.contains("read only"), "{status:#}");
    assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
    installation.stop(&mut connector);
    assert_restored(&world, &before, STOP_LIMIT);
}

fn without_root_or_the_capability_it_goes_on_with_the_proxies_and_says_so() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let folder = installation.folder().display().to_string();
    let config = installation.config_path().display().to_string();

    // A copy where every user may execute it, and files that are that user's own.
    let program = format!("{folder}/connector-for-all");
    std::fs::copy(crate::connector::BINARY, &program).expect("a copy of the connector");
    let owner = format!("{ORDINARY_USER}:{ORDINARY_USER}");
    run(std::process::Command::new("chown").args(["-R", &owner, &folder]), SHORT).success();
    let mut command = world.client.command_as(ORDINARY_USER, &program);
    command.args(["run", "--config", &config]).env("OPENZTNA_STATE_DIR", installation.state_path());
    let mut connector = Running::start(&mut command, &world.log_path("ordinary-user"));
    let status = installation.wait_for_state(&mut connector, "connected", SHORT);
    assert_eq!(status["colour"], "yellow", "{status:#}");
    assert!(status["warnings"].to_string().contains("no TUN for lack of rights"), "{status:#}");
    assert!(status["carrier"].to_string().contains("for the proxies alone"), "{status:#}");
    for limit in ["rmem_max", "wmem_max"] {
        let path = format!("/proc/sys/net/core/{limit}");
        let most = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<usize>().ok());
        let is_small = most.is_some_and(|most| most < platform::udp::BUFFER_SIZE);
        let is_said = status["warnings"].to_string().contains(&format!("sysctl -w net.core.{limit}="));
        assert_eq!(is_said, is_small, "{limit} {most:?}: {status:#}");
    }
    assert!(Snapshot::take(&world).differences(&before).is_none());
    installation.stop(&mut connector);
}

fn a_full_disk_is_said_and_nothing_is_changed() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let (config, state) = (installation.config_path(), installation.state_path());
    let mut command = world.client.command("sh");
    // One page is the least that a tmpfs can have, and a file takes it.
    let script = "mount -t tmpfs -o size=4k,mode=700 tmpfs \"$1\" && (cat /dev/zero >\"$1/filler\") 2>/dev/null; \
                  exec \"$2\" run --config \"$3\"";
    command.args(["-c", script, "sh"]).arg(&state).arg(crate::connector::BINARY).arg(&config);
    let finished = run(command.env("OPENZTNA_STATE_DIR", &state), SHORT);
    run(world.client.command("umount").arg(&state), SHORT).success();
    assert_explains(&finished, "space");
    assert!(Snapshot::take(&world).differences(&before).is_none());
}

fn a_resolv_conf_that_another_program_writes_is_taken_over_again() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.start();
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    // As a DHCP client does.
    let text = "# by dhclient\nnameserver 203.0.113.53\nsearch example.net\n";
    let script = "printf '%s' \"$1\" >/etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf";
    world.on_client("sh", &["-c", script, "sh", text]).success();
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
    installation.stop(&mut connector);
    assert_eq!(world.client.resolv_conf(), text, "what the other program wrote last is what stays");
}

/// Waits until the first gateway has an error that says something.
#[track_caller]
fn wait_for_gateway_error(installation: &Installation<'_>, connector: &mut Running) -> Value {
    installation.wait_for_status(connector, "the gateway's error is in the status", NOTICE_LIMIT, |status| {
        has_text(&status["gateways"][0]["error"])
    })
}

fn has_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// A program that ended by itself, with a message that holds `word` and a hint.
#[track_caller]
fn assert_explains(finished: &Finished, word: &str) {
    assert!(finished.code > 0, "{}{}", finished.stdout, finished.stderr);
    let lower = finished.stderr.to_lowercase();
    assert!(lower.contains(&word.to_lowercase()) && lower.contains("hint:"), "{}", finished.stderr);
    assert!(!lower.contains("panicked"), "{}", finished.stderr);
}
