//! What the connector tells about itself: `GET /api/v1/status`. Every state is what was last proven.

mod device;
mod flows;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use device::{
    All, CheckReport, CheckState, Covers, DeviceReport, DeviceState, DeviceSummary, SystemReport,
};
pub use flows::{FlowList, FlowStatus, NameList, NameStatus};
pub use text::{Style, render};

/// The answer to `GET /api/v1/status`. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the connector.
    pub version: String,
    /// What was last proven.
    pub state: State,
    /// The colour of the icon.
    pub colour: Colour,
    /// The state in words.
    pub message: String,
    /// What the person can do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Since when the state holds.
    pub since: String,
    /// In the order of the configuration.
    pub gateways: Vec<GatewayStatus>,
    /// In the order of the configuration.
    pub applications: Vec<ApplicationStatus>,
    /// How names are resolved.
    pub dns: DnsStatus,
    /// What carries packets between programs and the connector; none while it is down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub carrier: Option<String>,
    /// What was changed on the system, as sentences, in order.
    pub system_changes: Vec<String>,
    /// The device's security.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<DeviceSummary>,
    /// The proxies, if any is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proxies: Option<ProxyStatus>,
    /// How events go to the company's SIEM.
    #[serde(default)]
    pub siem: SiemStatus,
    /// Packets that were dropped or refused: reason and how many.
    pub drops: BTreeMap<String, u64>,
    /// What the person should know.
    pub warnings: Vec<String>,
    /// Keys of the configuration without an effect in this version.
    pub not_effective: Vec<String>,
}

/// State of the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Off, because the person wants so, or not started yet. Nothing is protected or blocked.
    Disconnected,
    /// On, but no gateway has answered yet.
    Connecting,
    /// Every gateway that is in use answers.
    Connected,
    /// Some gateway answers, another does not, or the system is not as it should be.
    Degraded,
    /// On purpose: the device or the person may not use the applications.
    Blocked,
    /// No gateway answers any more, or the system does not let us; protected destinations are refused.
    Failed,
}

impl State {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Degraded => "degraded",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// Colours of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Connected and secure.
    Green,
    /// Connected with warnings.
    Yellow,
    /// Not connected, or security issues.
    Red,
    /// Disconnected.
    Gray,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Name in the configuration.
    pub name: String,
    /// What was last proven.
    pub state: GatewayState,
    /// The outer address in use; a name of the configuration while none is known.
    pub endpoint: String,
    /// All outer addresses that are tried, when there are several.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub endpoints: Vec<String>,
    /// Our public key, base64, to be entered at the gateway.
    pub public_key: String,
    /// When a reply last came through the tunnel.
    pub last_proven_at: Option<String>,
    /// How long that reply took.
    pub last_round_trip_ms: Option<f64>,
    /// Age of the session's keys.
    pub handshake_age_s: Option<u64>,
    /// Inside the tunnel.
    pub bytes_sent: u64,
    /// Inside the tunnel.
    pub bytes_received: u64,
    /// What the path to it carries.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_mtu: Option<PathMtu>,
    /// Why it is not up.
    pub error: Option<String>,
}

/// The largest packets that reach a gateway and come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMtu {
    /// Octets of a packet of the network, with all that the tunnel puts around it.
    pub outer: usize,
    /// Octets of a packet inside the tunnel.
    pub inner: usize,
    /// How it is known.
    pub known: PathMtuKnown,
}

/// How the path's MTU is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMtuKnown {
    /// It was not measured yet.
    Assumed,
    /// Packets of this size were answered.
    Probed,
    /// It was to be measured, but nobody behind the gateway answers.
    NoAnswer,
}

/// State of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// Not wanted.
    Disconnected,
    /// Wanted, no answer yet.
    Connecting,
    /// A reply came through the tunnel.
    Connected,
    /// It answered before, and does no more.
    Lost,
    /// It never answered in time, or its configuration does not work.
    Failed,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationStatus {
    /// Name in the configuration.
    pub name: String,
    /// The first few hosts.
    pub hosts: Vec<String>,
    /// How many hosts there are.
    pub host_count: usize,
    /// What is allowed, as in the configuration.
    pub ports: Vec<String>,
    /// Name of its gateway.
    pub gateway: String,
    /// `available`, `refused: ` and why, or `blocked: device`.
    pub state: String,
    /// Why it is blocked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Flows now.
    pub flows: u64,
    /// What was refused last.
    pub last_refusal: Option<Refusal>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Where a browser opens it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

/// A flow that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Reason code, such as `port_not_allowed`.
    pub reason: String,
    /// The reason in words.
    pub text: String,
    /// When.
    pub at: String,
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub destination: Option<String>,
}

/// The proxies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Where they are.
    pub ports: Vec<ProxyPort>,
    /// Connections now.
    pub connections: u64,
    /// Connections since the start.
    pub accepted: u64,
    /// Requests that a rule refused.
    pub refused: u64,
    /// Requests that failed for another reason.
    pub failed: u64,
}

/// A port of the proxies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPort {
    /// What is served there.
    pub serves: String,
    /// Where, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// Why not, if it is not; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DnsStatus {
    /// `systemd-resolved`, `resolvconf`, `resolv.conf` or `off`.
    pub mode: String,
    /// `active`, `yielded` or `failed`, as the mode has it.
    pub state: String,
    /// Address of our resolver.
    pub resolver: Option<String>,
    /// How many zones are ours.
    pub zones: usize,
    /// Whether zones were folded to their parents, since the system takes only so many.
    pub folded: bool,
    /// The servers of the physical links, which answer everything else.
    pub physical_servers: Vec<String>,
    /// Search domains of the configuration that do not complete short names, for want of room in the system's list or
    /// since another network's list would change its order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub search_left_out: Vec<String>,
    /// What the person should know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// How events go to the company's SIEM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiemStatus {
    /// `off`, `waiting` (nothing was tried, or there is nothing to send), `connected` or `failed`.
    pub state: String,
    /// Where they go.
    pub destination: Option<String>,
    /// Events that are kept and that the SIEM may not have.
    pub spooled: u64,
    /// Events that were sent since the start, some of them twice.
    pub sent: u64,
    /// Events that could not be kept since the start.
    pub lost: u64,
    /// Why the SIEM takes none.
    pub error: Option<String>,
    /// What the person can do.
    pub hint: Option<String>,
    /// Why they are kept in memory only.
    pub spool_error: Option<String>,
}
