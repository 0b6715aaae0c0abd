//! Names: what the system's resolver answers is what the company's server answers, addresses mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::connector::{BY_NAME, Installation, Settings};
use crate::dig::{self, Answer};
use crate::process::Running;
use crate::servers::{bind, web};
use crate::snapshot::Snapshot;
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_DNS, PUBLIC_DNS, World};

/// What the tests of this file and its like need.
const NEEDS: &[&str] = &["curl", "dig", "named", "nginx", "openssl"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_hundred_names_of_every_kind_answer_as_the_companys_server_does",
            needs: NEEDS,
            run: a_hundred_names_of_every_kind_answer_as_the_companys_server_does,
        },
        Test {
            name: "each_name_has_a_virtual_address_that_leads_to_its_own_host",
            needs: NEEDS,
            run: each_name_has_a_virtual_address_that_leads_to_its_own_host,
        },
        Test {
            name: "names_outside_the_zones_answer_as_before",
            needs: NEEDS,
            run: names_outside_the_zones_answer_as_before,
        },
        Test { name: "a_mapping_outlives_a_restart", needs: NEEDS, run: a_mapping_outlives_a_restart },
        Test {
            name: "a_name_written_in_capitals_is_the_same_name",
            needs: NEEDS,
            run: a_name_written_in_capitals_is_the_same_name,
        },
        Test {
            name: "search_domains_complete_short_names_behind_the_users_own",
            needs: NEEDS,
            run: search_domains_complete_short_names_behind_the_users_own,
        },
        Test {
            name: "browsers_are_told_to_ask_the_system_while_connected",
            needs: NEEDS,
            run: browsers_are_told_to_ask_the_system_while_connected,
        },
    ]
}

/// The questions of the bar: a hundred names of each kind.
fn questions() -> Vec<(String, &'static str)> {
    let zone = format!("eng.{}", bind::CORP_ZONE);
    (0..bind::NAMES)
        .flat_map(|i| {
            [
                (format!("h{i:03}.{zone}"), "A"),
                (format!("h{i:03}.{zone}"), "AAAA"),
                (format!("c{i:03}.{zone}"), "A"),
                (format!("c{i:03}.{zone}"), "CNAME"),
                (format!("_ldap._tcp.h{i:03}.{zone}"), "SRV"),
                (format!("h{i:03}.{zone}"), "MX"),
                (format!("h{i:03}.{zone}"), "TXT"),
                (format!("n{i:03}.{zone}"), "A"),
                (format!("h{i:03}.{zone}"), "NAPTR"),
                (format!("b{i:03}.{zone}"), "TXT"),
            ]
        })
        .collect()
}

fn a_hundred_names_of_every_kind_answer_as_the_companys_server_does() {
    let world = World::new(ResolvConf::File);
    let (installation, mut connector) = start(&world);
    let questions = questions();
    let at = format!("@{CORP_DNS}");
    // In the gateway's place, without the connector: what the truth is.
    let truth = dig::ask_all(&world, &world.gateway, &[&at], &questions);
    assert_variety(&truth);
    for round in ["first asked", "from the cache"] {
        let found = dig::ask_all(&world, &world.client, &[], &questions);
        assert_same(round, &truth, &found);
    }
    for options in [&["+ignore", "+notcp"][..], &["+ignore", "+noedns"], &["+tcp"], &["+bufsize=4096"]] {
        let texts: Vec<_> = questions.iter().filter(|(name, _)| name.starts_with('b')).cloned().collect();
        let direct = [&[at.as_str()], options].concat();
        let truth = dig::ask_all(&world, &world.gateway, &direct, &texts);
        let found = dig::ask_all(&world, &world.client, options, &texts);
        assert_same(&options.join(" "), &truth, &found);
    }
    let asked = bind::public_queries(&world);
    assert!(!asked.contains(bind::CORP_ZONE), "a protected name was asked on the internet:\n{asked}");
    installation.stop(&mut connector);
}

/// The comparison means something only if all kinds of answers occur.
fn assert_variety(truth: &[Answer]) {
    let count = |wanted: &dyn Fn(&Answer) -> bool| truth.iter().filter(|answer| wanted(answer)).count();
    assert_eq!(count(&|answer| answer.status == "NXDOMAIN"), bind::NAMES);
    assert_eq!(count(&|answer| answer.data("SRV").len() == 1), bind::NAMES);
    assert_eq!(count(&|answer| answer.data("TXT").iter().any(|text| text.len() > 4096)), bind::NAMES);
    assert_eq!(count(&|answer| answer.data("CNAME").len() == 2 && answer.data("A").len() == 1), bind::NAMES);
    assert!(count(&|answer| answer.status == "NOERROR" && answer.answer.is_empty()) > bind::NAMES);
}

#[track_caller]
fn assert_same(round: &str, truth: &[Answer], found: &[Answer]) {
    let mut differences = String::new();
    for (expected, answer) in truth.iter().zip(found) {
        let too_long = |record: &dig::Record| record.ttl > 3600;
        if expected.comparable() != answer.comparable() || answer.question != expected.question {
            let _ = writeln!(differences, "expected:\n{}\nfound:\n{}", expected.text, answer.text);
        }
        if answer.shows_real_address() || answer.answer.iter().any(too_long) {
            let _ = writeln!(differences, "a real address or a TTL from nowhere:\n{}", answer.text);
        }
        for record in &answer.answer {
            let known =
                expected.answer.iter().filter(|known| known.name == record.name && known.kind == record.kind);
            let longest = known.map(|known| known.ttl).max().unwrap_or(0);
            if record.ttl > longest {
                let _ = writeln!(differences, "TTL {} over {longest}:\n{}", record.ttl, answer.text);
            }
        }
    }
    let number = differences.matches("found:\n").count();
    let shown: String = differences.chars().take(6000).collect();
    assert!(differences.is_empty(), "{round}: {number} of {} answers differ\n{shown}", truth.len());
}

fn each_name_has_a_virtual_address_that_leads_to_its_own_host() {
    let world = World::new(ResolvConf::BindMount);
    web::corp(&world);
    let (installation, mut connector) = start(&world);
    let hosts: Vec<usize> = (0..bind::NAMES).step_by(10).collect();
    let mut addresses = BTreeSet::new();
    for &i in &hosts {
        let name = format!("h{i:03}.eng.{}", bind::CORP_ZONE);
        let answer = dig::ask(&world.client, &[], &name, "A");
        addresses.extend(answer.data("A").into_iter().map(str::to_owned));
        let by_alias = dig::ask(&world.client, &[], &name.replacen('h', "c", 1), "A");
        assert_eq!(by_alias.data("A").len(), 1, "{}", by_alias.text);
        let page = world.on_client("curl", &["-4", "-sS", "-m", "5", &format!("http://{name}/")]).success();
        assert!(page.contains(&format!("at {} for {name}", bind::host_address(i))), "{name}: {page}");
        if i % 2 == 0 {
            let page =
                world.on_client("curl", &["-6", "-sS", "-m", "5", &format!("http://{name}/")]).success();
            assert!(page.contains(&format!("at fd77:0:0:10::{:x} for {name}", i + 1)), "{name}: {page}");
        }
    }
    assert_eq!(addresses.len(), hosts.len(), "one virtual address per name: {addresses:?}");
    installation.stop(&mut connector);
}

fn names_outside_the_zones_answer_as_before() {
    for resolv_conf in [ResolvConf::File, ResolvConf::BindMount] {
        let world = World::new(resolv_conf);
        bind::public(&world);
        let questions: Vec<(String, &str)> = [
            ("public", "A"),
            ("public", "TXT"),
            ("public", "MX"),
            ("alias", "A"),
            ("nothing", "A"),
            ("_sip._udp", "SRV"),
        ]
        .map(|(name, kind)| (format!("{name}.example.net"), kind))
        .into();
        let before = dig::ask_all(&world, &world.client, &[], &questions);
        let (installation, mut connector) = start(&world);
        let during = dig::ask_all(&world, &world.client, &[], &questions);
        for (expected, answer) in before.iter().zip(&during) {
            assert_eq!(whole(expected), whole(answer), "{resolv_conf:?}\n{}\n{}", expected.text, answer.text);
        }
        // Neighbours of the protected names, whose answers are the internet's.
        let outside = dig::ask(&world.client, &[], "h000.eng.corp.example.net", "A");
        assert_eq!(outside.status, "NOERROR", "{}", outside.text);
        let apex = dig::ask(&world.client, &[], "eng.corp.example.com", "SOA");
        assert!(matches!(apex.status.as_str(), "NXDOMAIN" | "NOERROR"), "{}", apex.text);
        let direct = dig::ask(&world.client, &[&format!("@{PUBLIC_DNS}")], "public.example.net", "A");
        assert_eq!(direct.status, "NOERROR", "a program that asks its own server still can: {}", direct.text);
        installation.stop(&mut connector);
    }
}

/// All that a program sees of an answer, in order, but the moment.
fn whole(answer: &Answer) -> BTreeMap<&'static str, String> {
    let sections = [&answer.answer, &answer.authority, &answer.additional];
    let sections = sections.map(|records| format!("{records:?}"));
    [("status", answer.status.clone()), ("flags", answer.flags.clone()), ("sections", sections.concat())]
        .into()
}

fn a_mapping_outlives_a_restart() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let name = format!("h001.eng.{}", bind::CORP_ZONE);
    let (installation, mut connector) = start(&world);
    let first = dig::ask(&world.client, &[], &name, "A");
    installation.stop(&mut connector);
    assert!(Snapshot::take(&world).differences(&before).is_none());
    let mut connector = installation.start();
    let other = dig::ask(&world.client, &[], &format!("h002.eng.{}", bind::CORP_ZONE), "A");
    let second = dig::ask(&world.client, &[], &name, "A");
    assert_eq!(first.data("A"), second.data("A"), "{}\n{}", first.text, second.text);
    assert_ne!(other.data("A"), second.data("A"));
    installation.stop(&mut connector);
}

fn a_name_written_in_capitals_is_the_same_name() {
    let world = World::new(ResolvConf::File);
    let (installation, mut connector) = start(&world);
    let lower = dig::ask(&world.client, &[], &format!("h001.eng.{}", bind::CORP_ZONE), "A");
    let upper = dig::ask(&world.client, &[], "H001.Eng.CORP.Example.COM", "A");
    assert_eq!(lower.data("A"), upper.data("A"), "{}\n{}", lower.text, upper.text);
    assert_eq!(upper.question, "H001.Eng.CORP.Example.COM. IN A", "the question comes back as it was asked");
    assert_eq!(lower.data("A").len(), 1);
    installation.stop(&mut connector);
}

fn search_domains_complete_short_names_behind_the_users_own() {
    for resolv_conf in [ResolvConf::File, ResolvConf::BindMount] {
        let world = World::new(resolv_conf);
        bind::corp(&world);
        bind::public(&world);
        web::corp(&world);
        let add_own = "echo 'search example.net lab.example.net' >>/etc/resolv.conf";
        world.on_client("sh", &["-c", add_own]).success();
        let (before, text_before) = (Snapshot::take(&world), world.client.resolv_conf());
        assert_ne!(world.on_client("getent", &["hosts", "wiki"]).code, 0, "a short name is unknown before");
        let mut settings = Settings::new(&world, BY_NAME);
        // One of the two stands in the user's list already, and keeps its place there.
        settings.before = format!("[dns]\nsearch_domains = [\"{}\", \"example.net\"]\n", bind::CORP_ZONE);
        let installation = Installation::new(&world, &settings);
        let mut connector = installation.start();
        let text = world.client.resolv_conf();
        let lists: Vec<&str> = text.lines().filter(|line| line.starts_with("search")).collect();
        assert_eq!(lists, ["search example.net lab.example.net corp.example.com"], "{text}");
        let page = world.on_client("curl", &["-sS", "-m", "10", "http://wiki/"]).success();
        assert!(page.contains(web::SECRET_PHRASE), "{page}");
        let own = world.on_client("getent", &["hosts", "public"]).success();
        assert!(own.contains("public.example.net"), "the user's own domain completes as before: {own}");
        installation.stop(&mut connector);
        assert_eq!(world.client.resolv_conf(), text_before);
        assert!(Snapshot::take(&world).differences(&before).is_none());
    }
}

fn browsers_are_told_to_ask_the_system_while_connected() {
    let world = World::new(ResolvConf::File);
    bind::public(&world);
    let ask = |kind| dig::ask(&world.client, &[], "use-application-dns.net", kind).status;
    let before = [ask("A"), ask("AAAA")];
    assert!(
        !before.contains(&"NXDOMAIN".to_owned()),
        "the network itself tells browsers nothing: {before:?}"
    );
    let (installation, mut connector) = start(&world);
    assert_eq!([ask("A"), ask("AAAA")], ["NXDOMAIN", "NXDOMAIN"]);
    let below = dig::ask(&world.client, &["+tcp"], "www.use-application-dns.net", "A");
    assert_eq!(below.status, "NXDOMAIN", "{}", below.text);
    installation.stop(&mut connector);
    assert_eq!([ask("A"), ask("AAAA")], before);
    assert!(!bind::public_queries(&world).contains("www.use-application-dns.net"));
}

/// The company's and the internet's DNS servers and a connector with the applications by name.
fn start(world: &World) -> (Installation<'_>, Running) {
    bind::corp(world);
    bind::public(world);
    let installation = Installation::new(world, &Settings::new(world, BY_NAME));
    let connector = installation.start();
    // The laptop asks the connector alone: a second server would be asked for protected names after a failure.
    let text = world.client.resolv_conf();
    let servers: Vec<&str> = text.lines().filter(|line| line.starts_with("nameserver")).collect();
    assert!(!servers.is_empty() && !servers.iter().any(|line| line.contains(PUBLIC_DNS)), "{text}");
    assert!(text.contains("options timeout:2 attempts:2"), "options stay: {text}");
    (installation, connector)
}
