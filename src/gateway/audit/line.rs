//! One line of the audit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::gateway::roster::PeerFacts;

/// Whether it was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A flow that was carried.
    Allowed,
    /// Something that was not.
    Refused,
}

/// What is known of a flow that ended, or of something that was refused.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub time: SystemTime,
    /// Who.
    pub peer: Arc<PeerFacts>,
    /// Whether it was let through.
    pub verdict: Verdict,
    /// The application that allows it; `None` where none does.
    pub application: Option<Arc<str>>,
    /// `tcp`, `udp`, `icmp`, or a number.
    pub protocol: String,
    /// The peer's end inside the tunnel.
    pub source: SocketAddr,
    /// The other end as the peer addresses it.
    pub destination: SocketAddr,
    /// The name that this address stands for.
    pub name: Option<Arc<str>>,
    /// The address that was dialed.
    pub dialed: Option<IpAddr>,
    /// Bytes from the peer.
    pub up: u64,
    /// Bytes to the peer.
    pub down: u64,
    /// How long it lasted.
    pub duration: Duration,
    /// Why it ended, or was refused: a stable word.
    pub reason: &'static str,
    /// Refusals of this peer without a line of their own since the last one.
    pub left_out: u32,
}

/// The line; field names are part of the documented interface.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    peer: &'a str,
    key: &'a str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a str>,
    protocol: &'a str,
    source: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    destination: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialed: Option<IpAddr>,
    up: u64,
    down: u64,
    duration_ms: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u32,
}

impl Entry {
    /// The line without its end.
    pub(super) fn to_json(&self) -> String {
        let line = Line {
            time: timestamp(self.time),
            event: match self.verdict {
                Verdict::Allowed => "flow",
                Verdict::Refused => "refusal",
            },
            peer: &self.peer.name,
            key: &self.peer.key,
            verdict: self.verdict,
            application: self.application.as_deref(),
            protocol: &self.protocol,
            source: self.source.ip(),
            name: self.name.as_deref(),
            destination: self.destination.ip(),
            port: self.destination.port(),
            dialed: self.dialed,
            up: self.up,
            down: self.down,
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            reason: self.reason,
            left_out: self.left_out,
        };
        // Texts and numbers always have a form in JSON.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The line that says how many are missing.
pub(super) fn lost(count: u64) -> String {
    serde_json::json!({ "time": timestamp(SystemTime::now()), "event": "lost", "count": count }).to_string()
}

fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::gateway::audit) fn entry() -> Entry {
        Entry {
            time: SystemTime::UNIX_EPOCH,
            peer: Arc::new(PeerFacts::new("ada", &[7; 32], Vec::new())),
            verdict: Verdict::Allowed,
            application: Some("wiki".into()),
            protocol: "tcp".to_owned(),
            source: "10.99.0.2:40000".parse().unwrap(),
            destination: "100.127.0.16:443".parse().unwrap(),
            name: Some("wiki.corp".into()),
            dialed: Some("10.0.0.5".parse().unwrap()),
            up: 10,
            down: 2000,
            duration: Duration::from_millis(1500),
            reason: "closed",
            left_out: 0,
        }
    }

    #[test]
    fn a_line_says_who_what_and_why() {
        assert_eq!(
            entry().to_json(),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"flow\",\"peer\":\"ada\",\"key\":\"BwcHBwcH\",\
             \"verdict\":\"allowed\",\"application\":\"wiki\",\"protocol\":\"tcp\",\"source\":\"10.99.0.2\",\
             \"name\":\"wiki.corp\",\"destination\":\"100.127.0.16\",\"port\":443,\"dialed\":\"10.0.0.5\",\
             \"up\":10,\"down\":2000,\"duration_ms\":1500,\"reason\":\"closed\"}"
        );
        let refused = Entry { verdict: Verdict::Refused, application: None, left_out: 3, ..entry() };
        assert!(
            refused.to_json().contains("\"event\":\"refusal\"")
                && refused.to_json().contains("\"left_out\":3")
        );
        assert!(!refused.to_json().contains("\"application\""));
    }
}
