//! Open connections and names in use: `GET /api/v1/flows` and `GET /api/v1/dns`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::DnsStatus;

/// The answer to `GET /api/v1/flows`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowList {
    /// The first thousand.
    pub flows: Vec<FlowStatus>,
    /// How many there are.
    pub total: usize,
}

/// An open connection to an application. Octets are those behind the transport header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// The application that allows it.
    pub application: Option<String>,
    /// The gateway that carries it.
    pub gateway: Option<String>,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// The device's end.
    pub source: SocketAddr,
    /// The internal host.
    pub destination: SocketAddr,
    /// Its name, where one was asked for.
    pub host: Option<String>,
    /// From the device.
    pub bytes_sent: u64,
    /// To the device.
    pub bytes_received: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// How long nothing has passed.
    pub idle_s: u64,
}

/// The answer to `GET /api/v1/dns`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NameList {
    /// How names are resolved.
    #[serde(flatten)]
    pub dns: DnsStatus,
    /// Protected names that have an address, the first thousand.
    pub names: Vec<NameStatus>,
    /// How many there are.
    pub total: usize,
}

/// A protected name that was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameStatus {
    /// The name.
    pub name: String,
    /// The address that programs are given.
    #[serde(rename = "virtual")]
    pub virtual_address: IpAddr,
    /// The address behind the gateway.
    pub real: IpAddr,
    /// The gateway.
    pub gateway: Option<String>,
}
