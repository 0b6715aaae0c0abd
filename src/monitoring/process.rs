//! Metrics of the process, by the names that all exporters use.

use std::fs;
use std::time::SystemTime;

use super::{Page, Type};

/// What `/proc/self` says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Facts {
    cpu_seconds: f64,
    resident_bytes: f64,
    started_at: f64,
    threads: f64,
}

/// Adds them; what the system does not say is left out.
pub(super) fn add(page: &mut Page) {
    let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    if let Some(facts) = facts(&text("stat"), &text("status"), &uptime, unix_time()) {
        let Facts { cpu_seconds, resident_bytes, started_at, threads } = facts;
        page.add_one("process_cpu_seconds_total", "CPU time spent", Type::Counter, cpu_seconds);
        page.add_one("process_resident_memory_bytes", "Memory in use", Type::Gauge, resident_bytes);
        page.add_one("process_start_time_seconds", "When it started, in Unix time", Type::Gauge, started_at);
        page.add_one("process_threads", "Threads", Type::Gauge, threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.add_one("process_open_fds", "Open file descriptors", Type::Gauge, open.count() as f64);
    }
}

/// Fields of proc_pid_stat(5), counted from one; the name in parentheses may hold spaces.
fn facts(stat: &str, status: &str, uptime: &str, now: f64) -> Option<Facts> {
    const USER: usize = 14;
    const SYSTEM: usize = 15;
    const THREADS: usize = 20;
    const START: usize = 22;
    /// `USER_HZ`, in which Linux counts for programs whatever its own clock is.
    const TICKS: f64 = 100.0;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<f64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(Facts {
        cpu_seconds: (field(USER)? + field(SYSTEM)?) / TICKS,
        resident_bytes: resident(status)?,
        started_at: (now - uptime + field(START)? / TICKS).floor(),
        threads: field(THREADS)?,
    })
}

/// `VmRSS` of proc_pid_status(5), which is in KiB.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1_024.0)
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let facts = facts(&stat, &status, &fs::read_to_string("/proc/uptime").unwrap(), unix_time()).unwrap();
        assert!(facts.threads >= 1.0 && facts.resident_bytes > 1e6);
        assert!(facts.started_at <= unix_time() && facts.started_at > unix_time() - 86_400.0);
        assert_eq!(super::facts("garbage", "", "", 0.0), None);
    }
}
