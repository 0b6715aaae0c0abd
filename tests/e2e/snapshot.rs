//! What the system looks like, as text, to be compared before and after.

use std::time::{Duration, Instant};

use crate::process::run;
use crate::world::namespace::Namespace;
use crate::world::{SHORT, World};

/// What the connector may change and must take back: links, addresses, routes, rules, names, processes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    parts: Vec<(&'static str, String)>,
}

impl Snapshot {
    /// Looks at the laptop.
    pub(crate) fn take(world: &World) -> Self {
        let client = &world.client;
        let mut parts: Vec<(&'static str, String)> = [
            ("links", "-o link show"),
            ("addresses", "-o addr show"),
            ("routes", "route show table all"),
            ("IPv6 routes", "-6 route show table all"),
            ("rules", "rule show"),
            ("IPv6 rules", "-6 rule show"),
        ]
        .map(|(name, words)| (name, ip(client, words)))
        .into();
        parts.push(("resolv.conf", client.resolv_conf()));
        parts.push(("its kind", resolv_conf_kind(client)));
        Self { parts }
    }

    /// What differs, as readable text; nothing if the system is as it was.
    pub(crate) fn differences(&self, before: &Self) -> Option<String> {
        let differing = self.parts.iter().zip(&before.parts).filter(|(now, then)| now != then);
        let text: String = differing
            .map(|((name, now), (_, then))| format!("{name} before:\n{then}\n{name} now:\n{now}\n"))
            .collect();
        (!text.is_empty()).then_some(text)
    }
}

/// Waits until the system is as before and nothing of the connector runs; panics with the difference after `limit`.
///
/// Returns how long that took.
#[track_caller]
pub(crate) fn assert_restored(world: &World, before: &Snapshot, limit: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let differences = Snapshot::take(world).differences(before);
        let left: Vec<String> = connector_processes(world);
        let elapsed = start.elapsed();
        match differences {
            None if left.is_empty() => return elapsed,
            differences if elapsed > limit => {
                panic!(
                    "not as before {limit:?} later:\n{}\nstill running: {left:?}",
                    differences.unwrap_or_default()
                )
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The command lines of the connector's processes on the laptop.
pub(crate) fn connector_processes(world: &World) -> Vec<String> {
    let processes = world.client.processes().into_iter().map(|(_, line)| line);
    processes.filter(|line| line.contains("openztna-client-connector")).collect()
}

fn ip(client: &Namespace, words: &str) -> String {
    run(client.command("ip").args(words.split_whitespace()), SHORT).success()
}

fn resolv_conf_kind(client: &Namespace) -> String {
    let format = ["-c", "%F %a %U:%G", "/etc/resolv.conf"];
    let kind = run(client.command("stat").args(format), SHORT).stdout;
    let target = run(client.command("readlink").arg("/etc/resolv.conf"), SHORT).stdout;
    format!("{} {}", kind.trim(), target.trim())
}
