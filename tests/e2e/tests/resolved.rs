//! systemd-resolved: the laptop is a whole system, whose resolver the connector steers over D-Bus.

use std::time::{Duration, Instant};

use crate::connector::{BINARY, BY_ADDRESS, BY_NAME, CONNECT_LIMIT, Installation, Settings};
use crate::servers::{bind, web};
use crate::snapshot::{Snapshot, assert_restored};
use crate::suite::{ALONE, Test};
use crate::tests::crash::{Phase, RESTORE_LIMIT, Random, kills};
use crate::world::World;
use crate::world::namespace::ResolvConf;
use crate::world::systemd::Systemd;

const NEEDS: &[&str] = &[ALONE, "curl", "mmdebstrap", "named", "nginx", "openssl", "systemd-nspawn"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_system_with_resolved_boots_without_us",
            needs: NEEDS,
            run: a_system_with_resolved_boots_without_us,
        },
        Test {
            name: "resolved_answers_protected_names_and_leaves_all_others_alone",
            needs: NEEDS,
            run: resolved_answers_protected_names_and_leaves_all_others_alone,
        },
        Test {
            name: "a_restart_of_resolved_is_survived",
            needs: NEEDS,
            run: a_restart_of_resolved_is_survived,
        },
        Test {
            name: "settings_that_another_program_takes_from_our_link_come_back",
            needs: NEEDS,
            run: settings_that_another_program_takes_from_our_link_come_back,
        },
        Test {
            name: "a_search_domain_that_another_link_has_too_completes_short_names",
            needs: NEEDS,
            run: a_search_domain_that_another_link_has_too_completes_short_names,
        },
        Test { name: "kill_9_restores_resolved", needs: NEEDS, run: kill_9_restores_resolved },
    ]
}

/// A world whose servers run, with a booted system as its laptop.
pub(crate) struct Laptop {
    pub(crate) system: Systemd,
    pub(crate) world: World,
}

impl Laptop {
    #[track_caller]
    pub(crate) fn boot() -> Self {
        let world = World::new(ResolvConf::File);
        bind::corp(&world);
        bind::public(&world);
        web::corp(&world);
        web::public(&world);
        let system = Systemd::boot(&world, &world.folder().join("connector"));
        Self { system, world }
    }

    pub(crate) fn installation(&self) -> Installation<'_> {
        let settings = Settings::new(&self.world, &[BY_NAME, BY_ADDRESS].concat());
        Installation::behind(&self.world, &settings, || self.system.command(BINARY))
    }

    #[track_caller]
    pub(crate) fn assert_fetches(&self, url: &str, phrase: &str) {
        let page = self.system.run("curl", &["-sS", "-m", "10", url]).success();
        assert!(page.contains(phrase), "{url}: {page}");
    }

    #[track_caller]
    pub(crate) fn assert_public_names_resolve(&self) {
        let answer = self.system.run("resolvectl", &["query", "--cache=no", bind::PUBLIC_NAME]).success();
        assert!(answer.contains("203.0.113.80") && answer.contains("link: eth0"), "{answer}");
    }
}

fn a_system_with_resolved_boots_without_us() {
    let laptop = Laptop::boot();
    laptop.assert_public_names_resolve();
    laptop.assert_fetches("http://public.example.net/", web::PUBLIC_PHRASE);
    let answer = laptop.system.run("resolvectl", &["query", "wiki.corp.example.com"]);
    assert_ne!(answer.code, 0, "{}", answer.stdout);
}

fn resolved_answers_protected_names_and_leaves_all_others_alone() {
    let laptop = Laptop::boot();
    let (before, resolver_before) = (Snapshot::take(&laptop.world), laptop.system.resolver_state());
    let installation = laptop.installation();
    let mut connector = installation.start();
    let status = installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    assert_eq!(status["dns"]["mode"], "systemd-resolved", "{status:#}");
    let answer = laptop.system.run("resolvectl", &["query", "h001.eng.corp.example.com"]).success();
    assert!(!answer.contains("10.77.") && answer.contains("link: ztna"), "{answer}");
    laptop.assert_fetches("http://wiki.corp.example.com/", web::SECRET_PHRASE);
    laptop.assert_fetches("http://h003.eng.corp.example.com/", "at 10.77.16.4");
    let answer =
        laptop.system.run("resolvectl", &["query", "--type=TXT", "h005.eng.corp.example.com"]).success();
    assert!(answer.contains("text of host 5"), "{answer}");
    laptop.assert_public_names_resolve();
    laptop.assert_fetches("http://public.example.net/", web::PUBLIC_PHRASE);
    assert!(!bind::public_queries(&laptop.world).contains("eng.corp.example.com"));
    installation.stop(&mut connector);
    assert_restored(&laptop.world, &before, RESTORE_LIMIT);
    assert_eq!(laptop.system.resolver_state(), resolver_before);
    laptop.assert_public_names_resolve();
}

fn a_restart_of_resolved_is_survived() {
    let laptop = Laptop::boot();
    let installation = laptop.installation();
    let mut connector = installation.start();
    laptop.assert_fetches("http://wiki.corp.example.com/", web::SECRET_PHRASE);
    laptop.system.run("systemctl", &["restart", "systemd-resolved"]).success();
    crate::process::eventually(CONNECT_LIMIT, "protected names resolve again", || {
        let query = laptop.system.run("resolvectl", &["query", "h001.eng.corp.example.com"]);
        (query.code == 0).then_some(())
    });
    installation.stop(&mut connector);
}

fn settings_that_another_program_takes_from_our_link_come_back() {
    let laptop = Laptop::boot();
    let installation = laptop.installation();
    let mut connector = installation.start();
    laptop.assert_fetches("http://wiki.corp.example.com/", web::SECRET_PHRASE);
    let ours = laptop.system.run("resolvectl", &["dns", "ztna0"]).success();
    let revert =
        ["call", "org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"];
    let link = laptop.system.run("ip", &["-o", "link", "show", "ztna0"]).success();
    let number = link.split(':').next().expect("a link's number");
    laptop.system.run("busctl", &[&revert[..], &["RevertLink", "i", number]].concat()).success();
    crate::process::eventually(CONNECT_LIMIT, "our link's settings are back", || {
        (laptop.system.run("resolvectl", &["dns", "ztna0"]).stdout.trim() == ours).then_some(())
    });
    laptop.assert_fetches("http://wiki.corp.example.com/", web::SECRET_PHRASE);
    // Another network's servers are taken over without a change of our own link.
    laptop.system.run("resolvectl", &["dns", "eth0", "203.0.113.53", "203.0.113.99"]).success();
    installation.wait_for_status(&mut connector, "the new server is known", CONNECT_LIMIT, |status| {
        let servers = status["dns"]["physical_servers"].as_array().cloned().unwrap_or_default();
        servers.contains(&"203.0.113.99:53".into())
    });
    installation.stop(&mut connector);
}

fn a_search_domain_that_another_link_has_too_completes_short_names() {
    let laptop = Laptop::boot();
    laptop.system.run("resolvectl", &["domain", "eth0", "corp.example.com", "example.net"]).success();
    let mut settings = Settings::new(&laptop.world, BY_NAME);
    let list: Vec<String> = (0..8).map(|i| format!("\"s{i}.corp.example.com\"")).collect();
    settings.before.push_str(&format!(
        "[dns]\nsearch_domains = [{}, \"corp.example.com\", \"example.net\"]\n",
        list.join(", ")
    ));
    let installation = Installation::behind(&laptop.world, &settings, || laptop.system.command(BINARY));
    let mut connector = installation.start();
    let status = installation.status().expect("a status");
    assert_eq!(status["dns"]["search_left_out"], serde_json::Value::Null, "{status:#}");
    // The library hands the short name to systemd-resolved, which completes it for each link by that link's list.
    let answer = laptop.system.run("resolvectl", &["query", "wiki"]).success();
    assert!(answer.contains("wiki.corp.example.com") && answer.contains("link: ztna"), "{answer}");
    laptop.assert_fetches("http://wiki/", web::SECRET_PHRASE);
    laptop.assert_fetches("http://public/", web::PUBLIC_PHRASE);
    let search = laptop.system.run("grep", &["^search", "/etc/resolv.conf"]).success();
    let place = |domain: &str| search.split(' ').position(|word| word == domain);
    assert!(place("corp.example.com") < place("example.net"), "the user's order: {search}");
    assert!(place("s7.corp.example.com").is_some(), "more than six: {search}");
    installation.stop(&mut connector);
}

fn kill_9_restores_resolved() {
    let laptop = Laptop::boot();
    let (before, resolver_before) = (Snapshot::take(&laptop.world), laptop.system.resolver_state());
    let installation = laptop.installation();
    let mut random = Random::new();
    let mut longest = Duration::ZERO;
    for i in 0..kills() {
        let phase = Phase::of(i);
        println!("kill {i} during {phase:?}");
        let mut connector = installation.launch();
        phase.wait(&mut random, &mut connector, |connector| {
            installation.wait_for_state(connector, "connected", CONNECT_LIMIT);
            laptop.assert_fetches("http://wiki.corp.example.com/", web::SECRET_PHRASE);
        });
        connector.kill();
        let start = Instant::now();
        assert_restored(&laptop.world, &before, RESTORE_LIMIT);
        crate::process::eventually(RESTORE_LIMIT, "systemd-resolved is as before", || {
            (laptop.system.resolver_state() == resolver_before).then_some(())
        });
        longest = longest.max(start.elapsed());
        laptop.assert_public_names_resolve();
    }
    println!("{} kills, restored after at most {longest:?}", kills());
}
