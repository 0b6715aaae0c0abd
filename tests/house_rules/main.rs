//! The house rules as tests: who may import whom, what the pure crates may not call, and the size budget.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by a panic and tells the person by printing"
)]

mod deny;
mod measure;
mod source;

use std::collections::BTreeSet;

use measure::{Budget, percentile};
use source::{Source, repository_root};

/// The leaf crates, which do not know each other.
const LEAVES: [&str; 3] = ["dns", "netstack", "platform"];

/// The crates that are pure state machines: no sockets, no clock, no randomness of their own, no tokio.
const PURE: [&str; 2] = ["dns", "netstack"];

/// The one place where boringtun's own clock and randomness are let in (design: the exception, behind one file).
const WIREGUARD_EXCEPTION: &str = "netstack/src/wireguard";

#[test]
fn leaf_crates_do_not_depend_on_each_other() {
    for leaf in LEAVES {
        let dependencies = dependencies_of(leaf);
        for other in LEAVES.iter().filter(|other| **other != leaf) {
            assert!(!dependencies.contains(*other), "`{leaf}` depends on `{other}`: the root joins them");
        }
    }
}

#[test]
fn pure_crates_do_not_depend_on_sockets_or_runtimes() {
    let forbidden =
        ["tokio", "mio", "async-io", "socket2", "quinn-udp", "tun-rs", "rustix", "libc", "nix", "getrandom"];
    for leaf in PURE {
        let dependencies = dependencies_of(leaf);
        for name in forbidden {
            assert!(
                !dependencies.contains(name),
                "`{leaf}` depends on `{name}`, but it is a pure state machine"
            );
        }
    }
}

#[test]
fn pure_crates_neither_open_sockets_nor_ask_for_time_or_randomness() {
    let names = [
        "tokio",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "UnixDatagram",
        "OsRng",
        "ThreadRng",
        "thread_rng",
        "getrandom",
    ];
    let calls =
        ["Instant::now", "SystemTime::now", "thread::spawn", "thread::sleep", "rand::rng", "rand::random"];
    let mut found = Vec::new();
    for source in production_sources().into_iter().filter(|source| source.is_in(&PURE)) {
        if source.path.starts_with(WIREGUARD_EXCEPTION) {
            continue;
        }
        found.extend(names.iter().filter(|name| source.mentions(name)).map(|name| source.names(name)));
        found.extend(calls.iter().filter(|call| source.calls(call)).map(|call| source.names(call)));
    }
    assert_none("the pure crates are told the time, their randomness and their input", &found);
}

#[test]
fn dependencies_have_licences_and_sources_that_deny_toml_allows() {
    assert_none("deny.toml", &deny::denied());
}

#[test]
fn unsafe_code_exists_only_in_platform() {
    for path in ["src/lib.rs", "dns/src/lib.rs", "netstack/src/lib.rs"] {
        let text = source::read(path);
        assert!(text.contains("#![forbid(unsafe_code)]"), "`{path}` must say #![forbid(unsafe_code)]");
    }
    let found: Vec<String> = Source::all()
        .iter()
        .filter(|source| !source.path.starts_with("platform/") && source.mentions("unsafe"))
        .map(|source| source.names("unsafe"))
        .collect();
    assert_none("`unsafe` belongs to `platform`", &found);
}

#[test]
fn lower_root_modules_do_not_import_upper_ones() {
    // Top down as in the design: a module may import what stands after it, never what stands before it.
    let layers: &[(&str, &[&str])] = &[
        ("posture", &["api", "cli", "connector", "telemetry"]),
        ("dashboard", &["api", "cli", "connector", "session", "config", "status", "telemetry", "event"]),
        ("proxy", &["api", "cli", "connector", "session", "status"]),
        ("relay", &["api", "cli", "connector", "proxy", "session", "config", "status", "telemetry"]),
        (
            "dialer",
            &["api", "cli", "connector", "proxy", "relay", "session", "config", "status", "telemetry"],
        ),
        ("api", &["cli", "connector"]),
        ("monitoring", &["api", "cli", "connector", "gateway", "session", "config", "telemetry"]),
        ("personal", &["api", "cli", "connector", "proxy", "session", "status"]),
        ("http_port", &["api", "cli", "connector", "proxy", "session", "config", "status", "telemetry"]),
        ("session", &["api", "cli", "connector"]),
        ("siem", &["api", "cli", "connector", "proxy", "relay", "session"]),
        ("look_up", &["api", "cli", "connector", "session", "config", "status", "siem"]),
        ("config", &["api", "cli", "connector", "session"]),
        ("status", &["api", "cli", "connector", "session"]),
        ("telemetry", &["api", "cli", "connector", "session"]),
        ("error", &["api", "cli", "connector", "session", "config"]),
        ("event", &["api", "cli", "connector", "session", "config", "status", "telemetry"]),
    ];
    let mut found = Vec::new();
    for source in production_sources() {
        for &(module, forbidden) in layers {
            if !source.path.starts_with(&format!("src/{module}/"))
                && source.path != format!("src/{module}.rs")
            {
                continue;
            }
            let upward = forbidden.iter().filter(|upper| source.calls(&format!("crate::{upper}")));
            found.extend(upward.map(|upper| source.names(&format!("crate::{upper}"))));
        }
    }
    assert_none("imports go downwards", &found);
}

#[test]
fn queues_are_bounded_and_nothing_is_left_unfinished() {
    let calls = [
        "unbounded_channel",
        "UnboundedSender",
        "mpsc::unbounded",
        "std::sync::mpsc::channel",
        "todo!",
        "unimplemented!",
        "dbg!",
    ];
    let mut found = Vec::new();
    for source in production_sources() {
        found.extend(calls.iter().filter(|call| source.calls(call)).map(|call| source.names(call)));
    }
    assert_none("every queue is bounded, and nothing is a stub", &found);
}

#[test]
fn files_are_named_by_their_subject_and_say_what_they_are_for() {
    let mut found = Vec::new();
    for source in Source::all() {
        let named_utils = source.path.split(['/', '.']).any(|part| part == "utils" || part == "util");
        if named_utils || source.path.ends_with("/mod.rs") {
            found.push(format!("{}: no `mod.rs` and nothing called utils", source.path));
        }
        if !source.text.starts_with("//!") {
            found.push(format!(
                "{}: the first line is a `//!` sentence that says what the file is for",
                source.path
            ));
        }
    }
    assert_none("one subject per file", &found);
}

#[test]
fn files_and_functions_stay_within_the_size_budget() {
    let budget = Budget { file_lines: 500, median_file_lines: 180, function_lines: 80 };
    let sources = production_sources();
    assert_none("the size budget", &measure::oversized(&sources, &budget));

    let mut files: Vec<usize> = sources.iter().map(|source| source.production_lines).collect();
    let mut functions: Vec<usize> =
        sources.iter().flat_map(|source| source.functions.iter().map(|function| function.lines)).collect();
    let (file, median, ninety) =
        (percentile(&mut files, 50), percentile(&mut functions, 50), percentile(&mut functions, 90));
    println!(
        "median file {file} lines; functions: median {median}, 90 % under {ninety}, {} in all",
        functions.len()
    );
    assert!(file < budget.median_file_lines, "the median file has {file} lines");
    assert!(median <= 10, "the median function has {median} lines");
    assert!(ninety < 35, "a tenth of the functions have {ninety} lines or more");
}

#[test]
fn the_repository_names_no_machine_of_its_makers() {
    // The checkout's own place, and homes and scratch folders, written in two halves so that this file is not found.
    let own = source::repository_root().display().to_string();
    let private = [["/root/", ".cargo"], ["/tmp/", "target"]].map(|halves| halves.concat());
    let private: Vec<String> = private.into_iter().chain((own.len() > 5).then_some(own)).collect();
    let mut found = Vec::new();
    for (path, text) in source::text_files() {
        for needle in &private {
            found.extend(text.contains(needle.as_str()).then(|| format!("{path}: contains `{needle}`")));
        }
    }
    assert_none("paths and hosts of one machine do not belong here", &found);
}

#[test]
fn a_planted_violation_is_found_and_tests_and_comments_are_not() {
    let planted = Source::parse(
        "dns/src/planted.rs",
        "//! Planted.\nuse std::net::{TcpStream as S};\n/// Instant::now\nfn long() {\n    Instant :: now();\n    todo!();\n}\n\
         #[cfg(test)]\nmod tests {\n    fn f() {\n        unsafe { SystemTime::now() }\n    }\n}\n"
            .to_owned(),
    );
    assert!(planted.mentions("TcpStream") && planted.calls("Instant::now") && planted.calls("todo!"));
    assert!(!planted.mentions("unsafe") && !planted.calls("SystemTime::now"));
    assert_eq!((planted.production_lines, planted.functions.len()), (7, 1));
    let budget = Budget { file_lines: 6, median_file_lines: 6, function_lines: 3 };
    assert_eq!(measure::oversized(&[&planted], &budget).len(), 2);
}

/// The sources that are shipped: no tests, benches, fuzz targets, examples or modules compiled only for tests.
fn production_sources() -> Vec<&'static Source> {
    let shipped: Vec<&Source> = Source::all().iter().filter(|source| !source.is_test_only()).collect();
    let test_modules: Vec<&String> = shipped.iter().flat_map(|source| &source.test_modules).collect();
    let is_test = |source: &Source| {
        let stem = source.path.trim_end_matches(".rs");
        test_modules.iter().any(|module| stem == *module || stem.starts_with(&format!("{module}/")))
    };
    shipped.into_iter().filter(|source| !is_test(source)).collect()
}

/// The names (package or renamed) under all dependency tables of a leaf but the development ones.
fn dependencies_of(leaf: &str) -> BTreeSet<String> {
    let text = source::read(&format!("{leaf}/Cargo.toml"));
    let manifest: toml::Table = text.parse().expect("a leaf's Cargo.toml");
    let mut names = BTreeSet::new();
    let mut tables: Vec<&toml::Table> = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    for table in tables {
        for key in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(key).and_then(toml::Value::as_table) else { continue };
            names.extend(dependencies.keys().cloned());
            let renamed =
                dependencies.values().filter_map(|value| value.get("package").and_then(toml::Value::as_str));
            names.extend(renamed.map(str::to_owned));
        }
    }
    assert!(repository_root().join(leaf).is_dir());
    names
}

fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}
