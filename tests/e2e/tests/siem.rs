//! Events to the company's SIEM: by every transport, through its absence, through kills, past a disk that is full.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings, eventually_fetch};
use crate::process::{Running, eventually};
use crate::servers::{bind, siem, web};
use crate::suite::Test;
use crate::world::World;
use crate::world::namespace::ResolvConf;

/// Longer than the longest pause of a connector whose SIEM is away, on a busy machine.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// How often the connector is killed.
const KILLS: usize = 20;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "events_reach_rsyslog_by_every_transport_and_in_every_format",
            needs: &["rsyslogd", "openssl"],
            run: events_reach_rsyslog_by_every_transport_and_in_every_format,
        },
        Test {
            name: "a_siem_that_comes_and_goes_and_twenty_kills_lose_no_event",
            needs: &["python3"],
            run: a_siem_that_comes_and_goes_and_twenty_kills_lose_no_event,
        },
        Test {
            name: "the_companys_proxy_leads_to_the_siem_and_its_refusal_is_told",
            needs: &["python3", "rsyslogd", "openssl", "tinyproxy"],
            run: the_companys_proxy_leads_to_the_siem_and_its_refusal_is_told,
        },
        Test {
            name: "a_siem_that_answers_nonsense_and_a_full_disk_are_told_and_disturb_nothing",
            needs: &["curl", "named", "nginx", "openssl", "python3"],
            run: a_siem_that_answers_nonsense_and_a_full_disk_are_told_and_disturb_nothing,
        },
    ]
}

fn settings(world: &World, lines: &str) -> Settings {
    let mut settings = Settings::new(world, BY_NAME);
    settings.before = format!("[logging]\nsiem_integration = true\n{lines}\n");
    settings
}

fn hec(world: &World) -> Settings {
    let (siem, token) = (siem::SIEM, siem::TOKEN);
    let lines = format!(
        "siem_format = \"JSON\"\nsiem_destination = \"http://{siem}:8088/services/collector/event\"\n\
         siem_http_headers = {{ \"Authorization\" = \"{token}\" }}"
    );
    settings(world, &lines)
}

fn events_reach_rsyslog_by_every_transport_and_in_every_format() {
    let world = World::new(ResolvConf::File);
    let _rsyslog = siem::rsyslog(&world);
    let siem = siem::SIEM;
    let folder = world.folder().display();
    let tls = format!(
        "siem_format = \"JSON\"\nsiem_destination = \"syslog+tls://{siem}\"\nsiem_ca_file = \"{folder}/siem-ca.pem\"\n\
         siem_client_certificate = \"{folder}/laptop.pem\"\nsiem_client_key = \"{folder}/laptop.key\""
    );
    let ways = [
        ("udp", "CEF:0|OpenZTNA|", format!("siem_destination = \"syslog://{siem}\"")),
        (
            "tcp",
            "LEEF:2.0|OpenZTNA|",
            format!("siem_format = \"LEEF\"\nsiem_destination = \"syslog+tcp://{siem}\""),
        ),
        ("tls", "{\"@timestamp\":", tls),
    ];
    let installation = Installation::new(&world, &settings(&world, &ways[0].2));
    let mut connector = installation.start();
    for (round, (transport, beginning, lines)) in ways.iter().enumerate() {
        let awaited = if round == 0 { "gateway.proven" } else { "session.changed" };
        if round > 0 {
            installation.configure(&settings(&world, lines));
            connector.signal("HUP");
            let scheme = format!("syslog+{transport}://");
            installation.wait_for_status(&mut connector, "the new way", ARRIVAL_LIMIT, |status| {
                status["siem"]["destination"].as_str().is_some_and(|way| way.starts_with(&scheme))
            });
            installation.run(&["down"]).success();
            installation.run(&["up"]).success();
        }
        let config = installation.config_path().display().to_string();
        let said = installation.run(&["--test-siem", "--config", &config]).success();
        assert!(said.ends_with("the SIEM integration works"), "{said}");
        let received = eventually(ARRIVAL_LIMIT, &format!("{awaited} arrives by {transport}"), || {
            let received = siem::received(&world, transport);
            let has = |name: &str| received.iter().any(|message| message["msgid"] == name);
            (has(awaited) && has("siem.test")).then_some(received)
        });
        for message in &received {
            assert_eq!(
                (&message["version"], &message["facility"]),
                (&"1".into(), &"audit".into()),
                "{message}"
            );
            assert_eq!(message["app"], "openztna-client-connector");
            assert!(message["msg"].as_str().unwrap().trim_start().starts_with(beginning), "{message}");
        }
    }
    let status = installation.wait_for_status(&mut connector, "all is confirmed", ARRIVAL_LIMIT, |status| {
        status["siem"]["spooled"] == 0
    });
    assert_eq!((&status["siem"]["state"], &status["siem"]["lost"]), (&"connected".into(), &0.into()));
    installation.stop(&mut connector);
    let last = eventually(ARRIVAL_LIMIT, "the end arrives", || {
        let received = siem::received(&world, "tls");
        received.iter().find(|message| message["msgid"] == "service.stopped").map(sequence)
    });
    // what was kept when the way changed may have gone by either
    let received = ways.iter().flat_map(|(transport, ..)| siem::received(&world, transport));
    let sequences: BTreeSet<u64> = received
        .filter(|message| message["msgid"] != "siem.test")
        .map(|message| sequence(&message))
        .collect();
    assert_eq!(sequences, (1..=last).collect(), "each number by one way or another");
}

/// The number in the structured data, `[meta sequenceId="7"]`.
fn sequence(message: &Value) -> u64 {
    let data = message["sd"].as_str().unwrap();
    data.split('"').nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{message}"))
}

fn a_siem_that_comes_and_goes_and_twenty_kills_lose_no_event() {
    let world = World::new(ResolvConf::File);
    let installation = Installation::new(&world, &hec(&world));
    let config = installation.config_path().display().to_string();
    let start = || {
        let mut command = installation.command(&["run", "--no-tun", "--config", &config]);
        Running::start(&mut command, &world.log_path("connector"))
    };
    let mut collector = None;
    for round in 0..KILLS {
        let mut connector = start();
        installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
        connector.signal("HUP");
        match round % 4 {
            // away at first; then it comes, and is killed at once with the connector, or before it
            1 => collector = Some(siem::collector(&world, "ack")),
            2 => drop(collector.take()),
            _ => {}
        }
        installation.wait_for_status(&mut connector, "an event is kept", CONNECT_LIMIT, |status| {
            status["siem"]["spooled"].as_u64() > Some(0) || status["siem"]["sent"].as_u64() > Some(0)
        });
        connector.kill();
    }
    drop(collector);
    let _collector = siem::collector(&world, "ack");
    let mut connector = start();
    installation.wait_for_status(&mut connector, "all is confirmed", ARRIVAL_LIMIT, |status| {
        status["siem"]["spooled"] == 0 && status["siem"]["state"] == "connected"
    });
    installation.stop(&mut connector);
    let verified = installation.run(&["siem", "verify"]).success();
    let last: u64 =
        verified.split(" to ").nth(1).and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap();
    let kept = siem::numbered(&siem::collected(&world));
    assert!(last > 3 * KILLS as u64, "{verified}");
    assert_eq!(kept.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>(), "{verified}");
    edits_are_found_by_the_heads(&world, &installation);
}

fn edits_are_found_by_the_heads(world: &World, installation: &Installation<'_>) {
    let heads = siem::collected_path(world).display().to_string();
    let folder = installation.state_path().join("events");
    let segment = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        segment.filter(|path| path.extension().is_some_and(|ending| ending == "log")).min().unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    installation.run(&["siem", "verify", "--heads", &heads]).success();
    fs::write(&segment, text.replacen("the connector started", "nothing ever started", 1)).unwrap();
    let found = installation.run(&["siem", "verify", "--heads", &heads]);
    assert_eq!(found.code, 1);
    assert!(found.stderr.contains("event 1 or one before it was edited"), "{}", found.stderr);
    fs::write(&segment, text).unwrap();
}

/// The collector listens where only the proxy reaches it.
fn the_companys_proxy_leads_to_the_siem_and_its_refusal_is_told() {
    const WITHIN: &str = "127.0.0.1";
    let world = World::new(ResolvConf::File);
    let _collector = siem::collector_at(&world, WITHIN, "ack");
    let _rsyslog = siem::rsyslog(&world);
    let _proxy = siem::proxy(&world);
    let proxied = |destination: &str, credentials: &str| {
        let (siem, token) = (siem::SIEM, siem::TOKEN);
        let lines = format!(
            "siem_format = \"JSON\"\nsiem_destination = \"{destination}\"\n\
             siem_http_headers = {{ \"Authorization\" = \"{token}\" }}\n\
             [outbound_proxy]\nurl = \"http://{siem}:3128\"\n{credentials}"
        );
        settings(&world, &lines)
    };
    let alice = "username = \"alice\"\npassword = \"sesame\"";
    let hec = format!("http://{WITHIN}:8088/services/collector/event");
    let installation = Installation::new(&world, &proxied(&hec, ""));
    let mut connector = installation.start();
    let status =
        installation.wait_for_status(&mut connector, "the refusal is told", ARRIVAL_LIMIT, |status| {
            status["siem"]["state"] == "failed"
        });
    assert_eq!(status["siem"]["error"], "the proxy asks for a user name and a password");
    installation.configure(&proxied(&hec, alice));
    connector.signal("HUP");
    let has = |events: &[Value], action: &str| events.iter().any(|event| event["event"]["action"] == action);
    let arrives = |action: &str| {
        eventually(ARRIVAL_LIMIT, &format!("{action} arrives"), || {
            has(&siem::collected(&world), action).then_some(())
        });
    };
    arrives("configuration.changed");
    fs::write(installation.config_path(), "nonsense").unwrap();
    connector.signal("HUP");
    arrives("configuration.rejected");
    world.on_client("sh", &["-c", "echo nameserver 192.0.2.1 > /etc/resolv.conf"]).success();
    arrives("tamper.system");
    installation.configure(&proxied(&format!("syslog+tcp://{WITHIN}:514"), alice));
    connector.signal("HUP");
    eventually(ARRIVAL_LIMIT, "an event arrives by a tunnel through the proxy", || {
        (!siem::received(&world, "tcp").is_empty()).then_some(())
    });
    installation.stop(&mut connector);
}

fn a_siem_that_answers_nonsense_and_a_full_disk_are_told_and_disturb_nothing() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let mut collector = siem::collector(&world, "garbage");
    let installation = Installation::new(&world, &hec(&world));
    let events = installation.state_path().join("events");
    fs::create_dir_all(&events).unwrap();
    let mount = |arguments: &[&str]| world.on_client(arguments[0], &arguments[1..]).success();
    let place = events.display().to_string();
    mount(&["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", &place]);
    let mut connector = installation.start();
    let status = installation.wait_for_status(&mut connector, "nonsense is told", ARRIVAL_LIMIT, |status| {
        status["siem"]["error"].as_str().is_some_and(|error| error.contains("no HTTP Event Collector"))
            || status["siem"]["error"].as_str().is_some_and(|error| error.contains("answer"))
    });
    assert_eq!((&status["siem"]["state"], &status["state"]), (&"failed".into(), &"connected".into()));
    let full = |status: &Value| status["siem"]["spool_error"].is_string();
    for _ in 0..400 {
        if installation.status().is_some_and(|status| full(&status)) {
            break;
        }
        connector.signal("HUP");
    }
    installation.wait_for_status(&mut connector, "a full disk is told", ARRIVAL_LIMIT, full);
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    collector.kill();
    let _collector = siem::collector(&world, "plain");
    installation.wait_for_status(&mut connector, "all is taken", ARRIVAL_LIMIT, |status| {
        status["siem"]["spooled"] == 0
            && status["siem"]["lost"] == 0
            && status["siem"]["state"] == "connected"
    });
    let kept = siem::numbered(&siem::collected(&world));
    let last = *kept.keys().last().unwrap();
    assert_eq!(kept.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    installation.stop(&mut connector);
}
