//! resolvconf(8) in charge of resolv.conf: our record is the only one that counts, and nothing is left of it.

use std::time::Duration;

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings, eventually_fetch};
use crate::dig;
use crate::process::eventually;
use crate::servers::{bind, web};
use crate::snapshot::{Snapshot, assert_restored};
use crate::suite::Test;
use crate::tests::crash::{Phase, RESTORE_LIMIT, Random, kills};
use crate::world::World;
use crate::world::namespace::ResolvConf;
use crate::world::resolvconf::{Keeper, hand_in, install};

/// How long news may take: they are looked at every ten seconds, on a busy machine.
const NEWS_LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn tests() -> Vec<Test> {
    let needs = &["apt-get", "curl", "dig", "dpkg-deb", "named", "nginx", "openssl"];
    vec![
        Test {
            name: "openresolv_lists_our_resolver_alone_and_all_of_it_goes",
            needs,
            run: || lists_our_resolver_alone(Keeper::Openresolv),
        },
        Test {
            name: "debians_resolvconf_lists_our_resolver_alone_and_all_of_it_goes",
            needs,
            run: || lists_our_resolver_alone(Keeper::Debian),
        },
        Test {
            name: "kill_9_restores_what_openresolv_made",
            needs,
            run: || kill_at_random_moments(Keeper::Openresolv),
        },
        Test {
            name: "kill_9_restores_what_debians_resolvconf_made",
            needs,
            run: || kill_at_random_moments(Keeper::Debian),
        },
        Test {
            name: "a_resolvconf_that_fails_is_said_and_the_file_is_used",
            needs,
            run: a_resolvconf_that_fails_is_said_and_the_file_is_used,
        },
    ]
}

#[track_caller]
fn world(keeper: Keeper) -> World {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    install(&world, keeper);
    world
}

fn settings(world: &World) -> Settings {
    let mut settings = Settings::new(world, BY_NAME);
    settings.before.push_str("[dns]\nsearch_domains = [\"eng.corp.example.com\"]\n");
    settings
}

/// The lines of resolv.conf in force that begin with a word.
fn in_force(world: &World, word: &str) -> Vec<String> {
    let text = world.client.resolv_conf();
    text.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect()
}

fn lists_our_resolver_alone(keeper: Keeper) {
    let world = world(keeper);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &settings(&world));
    let mut connector = installation.start();
    let status = installation.status().expect("a status");
    assert_eq!((&status["dns"]["mode"], &status["dns"]["state"]), (&"resolvconf".into(), &"active".into()));
    let ours = format!("nameserver {}", status["dns"]["resolver"].as_str().unwrap());
    let listed = in_force(&world, "nameserver");
    assert!(listed.contains(&ours) && listed.iter().all(|line| !line.contains("203.0.113.")), "{listed:?}");
    assert_eq!(in_force(&world, "search"), ["search example.net eng.corp.example.com"]);
    assert_eq!(status["dns"]["physical_servers"][0], "203.0.113.53:53");
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
    // Another network: its server is asked from now on, and ours stays the only one in force.
    hand_in(&world, "203.0.113.99", "wlan0.dhclient");
    installation.wait_for_status(&mut connector, "the new server is known", NEWS_LIMIT, |status| {
        let servers = status["dns"]["physical_servers"].as_array().cloned().unwrap_or_default();
        servers.contains(&"203.0.113.99:53".into())
    });
    eventually(NEWS_LIMIT, "our resolver is the only one again", || {
        in_force(&world, "nameserver").iter().all(|line| !line.contains("203.0.113.")).then_some(())
    });
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    world.on_client("resolvconf", &["-d", "wlan0.dhclient"]).success();
    installation.stop(&mut connector);
    assert_restored(&world, &before, RESTORE_LIMIT);
    assert!(!world.on_client("resolvconf", &["-l"]).stdout.contains("openztna"));
    assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");
}

fn kill_at_random_moments(keeper: Keeper) {
    let world = world(keeper);
    let before = Snapshot::take(&world);
    let mut random = Random::new();
    let installation = Installation::new(&world, &settings(&world));
    let mut longest = Duration::ZERO;
    for i in 0..kills() {
        let phase = Phase::of(i);
        println!("kill {i} during {phase:?}");
        let mut connector = installation.launch();
        phase.wait(&mut random, &mut connector, |connector| {
            installation.wait_for_state(connector, "connected", CONNECT_LIMIT);
        });
        connector.kill();
        longest = longest.max(assert_restored(&world, &before, RESTORE_LIMIT));
        let listed = world.on_client("resolvconf", &["-l"]).stdout;
        assert!(!listed.contains("openztna"), "{listed}");
        let public = dig::ask(&world.client, &["+tries=1", "+time=2"], bind::PUBLIC_NAME, "A");
        assert_eq!(public.status, "NOERROR", "public names resolve: {}", public.text);
    }
    println!("{} kills, restored after at most {longest:?}", kills());
}

fn a_resolvconf_that_fails_is_said_and_the_file_is_used() {
    let world = world(Keeper::Openresolv);
    // It cannot lock its own folder.
    world.on_client("sh", &["-c", "rm -rf /run/resolvconf && touch /run/resolvconf"]).success();
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &settings(&world));
    let mut connector = installation.start();
    let status = installation.status().expect("a status");
    assert_eq!((&status["dns"]["mode"], &status["dns"]["state"]), (&"resolv.conf".into(), &"active".into()));
    let note = status["dns"]["note"].as_str().unwrap_or_default();
    assert!(note.contains("resolvconf") && note.contains("the file is written instead"), "{note}");
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
    assert_restored(&world, &before, RESTORE_LIMIT);
}
