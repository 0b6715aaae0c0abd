//! Local forwarders that ask us what we ask them: found by a question with a name that nobody else knows.
//!
//! A forwarder on this device that reads its servers from `/etc/resolv.conf` finds our resolver there, once we have
//! written the file. A probe goes to each such server; if its name comes back to us as a query, the server is a loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Probes go out this long after the servers were set: a forwarder needs a moment to read the file again.
const DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(8)];
/// Under a top-level domain that never exists (RFC 6761, section 6.4).
const SUFFIX: [&str; 3] = ["openztna-loop-probe", "invalid", ""];
/// Length of a probe's own label in bytes.
const LABEL: usize = 16;

/// The probes under way.
#[derive(Default)]
pub(super) struct LoopProbe {
    servers: Vec<(SocketAddr, [u8; LABEL])>,
    due: Vec<Instant>,
}

impl LoopProbe {
    /// Plans probes of those servers that are on this device.
    pub(super) fn plan(&mut self, servers: &[SocketAddr], now: Instant) {
        let local = servers.iter().filter(|server| server.ip().is_loopback());
        self.servers = local.filter_map(|server| Some((*server, random_label()?))).collect();
        self.due.clear();
        if !self.servers.is_empty() {
            self.due.extend(DELAYS.iter().rev().map(|delay| now + *delay));
        }
    }

    /// When the next probes are due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.last().copied()
    }

    /// The probes that are due now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.due.pop();
        self.servers.iter().map(|(server, label)| (*server, query(label))).collect()
    }

    /// The server whose probe this query is; it is not probed any more.
    pub(super) fn recognise(&mut self, query: &[u8]) -> Option<SocketAddr> {
        if self.servers.is_empty() {
            return None;
        }
        let label = query.get(13..13 + LABEL)?.to_ascii_lowercase();
        let at = self.servers.iter().position(|(_, own)| label == *own)?;
        Some(self.servers.swap_remove(at).0)
    }
}

/// A query for the address of the probe's name (RFC 1035, section 4.1).
fn query(label: &[u8; LABEL]) -> Vec<u8> {
    let mut message = vec![label[0], label[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, LABEL as u8];
    message.extend_from_slice(label);
    for part in SUFFIX {
        message.push(part.len() as u8);
        message.extend_from_slice(part.as_bytes());
    }
    message.extend_from_slice(&[0, 1, 0, 1]);
    message
}

fn random_label() -> Option<[u8; LABEL]> {
    let mut bytes = [0; LABEL];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.map(|byte| b'a' + byte % 26))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_comes_back_names_its_server_once() {
        let (mut probe, now) = (LoopProbe::default(), Instant::now());
        let (local, far): (SocketAddr, SocketAddr) =
            ("127.0.0.1:53".parse().unwrap(), "192.0.2.1:53".parse().unwrap());
        probe.plan(&[far, local], now);
        assert!(probe.take_due(now).is_empty());
        let due = probe.poll_timeout().unwrap();
        let sent = probe.take_due(due);
        assert_eq!(sent.len(), 1);
        assert_eq!(probe.recognise(b"short"), None);
        assert_eq!(probe.recognise(&sent[0].1), Some(local));
        assert_eq!(probe.recognise(&sent[0].1), None);
    }

    #[test]
    fn servers_elsewhere_need_no_probe() {
        let mut probe = LoopProbe::default();
        probe.plan(&["192.0.2.1:53".parse().unwrap()], Instant::now());
        assert_eq!(probe.poll_timeout(), None);
    }
}
