//! `gateway.toml`: the enforcement point, its peers, and what each may reach.

mod application;
mod network;
mod peer;
pub(crate) mod schema;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub use application::Application;
pub use peer::Peer;

use crate::config::keys::{KeyFileError, read_private_key};
use crate::config::reader::Reader;
use crate::config::source::Source;
use crate::config::{ConfigError, Diagnostic, LogLevel, Prefix, Setting, Severity, unknown};

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Where datagrams of peers are expected; at least one.
    pub listen: Vec<SocketAddr>,
    /// Our private key; relative paths start at the file's folder.
    pub private_key_file: PathBuf,
    /// Where peers ask for names, inside the tunnel.
    pub names: (Ipv4Addr, Ipv6Addr),
    /// First addresses of the ranges that names are answered from: 16 and 48 bits long.
    pub pool: (Ipv4Addr, Ipv6Addr),
    /// DNS servers; empty: those of the system.
    pub dns: Vec<SocketAddr>,
    /// How allowed flows leave.
    pub egress: Egress,
    /// `auto`, `namespace` or `smoltcp`.
    pub stack: Setting<&'static str>,
    /// Size of packets inside the tunnel, in bytes.
    pub mtu: u16,
    /// Where the audit goes; standard output when absent.
    pub audit_file: Option<PathBuf>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// `[limits]`.
    pub limits: Limits,
    /// Where metrics and health checks are answered; nowhere when absent.
    pub metrics: Option<SocketAddr>,
    /// `[[peer]]`, in the order of the file.
    pub peers: Vec<Peer>,
    /// `[[application]]`, in the order of the file.
    pub applications: Vec<Application>,
    /// What the person should know, though the configuration can be used.
    pub warnings: Vec<Diagnostic>,
}

/// How allowed flows leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// They end here and are dialed from our own sockets.
    Userspace,
    /// They are forwarded and masqueraded by the kernel.
    Kernel,
}

/// `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flows of one peer at one time.
    pub flows_per_peer: u32,
    /// Of these, those that are not established yet.
    pub half_open_per_peer: u32,
    /// Bytes in the kernel's buffers of one peer's flows.
    pub buffer_bytes_per_peer: u64,
    /// DNS queries of one peer in a second.
    pub queries_per_second_per_peer: u32,
    /// Handshakes of all peers in a second before they must prove their address.
    pub handshakes_per_second: u32,
}

impl Config {
    /// Loads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first; the warnings found are among it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let source = Source::read(path).map_err(|error| ConfigError { diagnostics: vec![error] })?;
        Self::from_source(&source)
    }

    /// The same for the text of a file that was read already; `path` is how it is called.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::from_source(&Source::new(path, text.to_owned()))
    }

    fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let root = source.parse().map_err(|diagnostics| ConfigError { diagnostics })?;
        let mut problems = Vec::new();
        unknown::check(&schema::SCHEMA, source, &root, &mut problems);
        let mut reader = Reader { schema: &schema::SCHEMA, source, root: &root, overrides: &[], problems };
        let config = Self::read(&mut reader);
        let mut diagnostics = reader.problems;
        diagnostics.sort_by_key(|diagnostic| diagnostic.origin.line());
        if let Some(mut config) = config
            && diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning)
        {
            config.warnings = diagnostics;
            return Ok(config);
        }
        Err(ConfigError { diagnostics })
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let applications = application::read(reader);
        let peers = peer::read(reader, &applications);
        warn_of_readable_secrets(reader, &peers);
        let pool = network::read_pool(reader);
        let names = network::read_names(reader, pool);
        network::check_pool(reader, pool, &peers);
        let listen = network::read_listen(reader);
        let dns = network::read_servers(reader);
        let key = network::read_key_file(reader);
        Some(Self {
            path: reader.source.path.to_path_buf(),
            listen,
            private_key_file: key?,
            names,
            pool,
            dns,
            egress: read_egress(reader),
            stack: reader.choice("", "stack"),
            mtu: reader.integer("", "mtu").value,
            audit_file: reader.text("", "audit_file").map(|path| network::beside(reader, &path)),
            log_level: reader.choice("", "log_level").map(LogLevel::from_word).value,
            limits: Limits::read(reader),
            metrics: network::read_metrics(reader),
            peers,
            applications: applications.list,
            warnings: Vec::new(),
        })
    }

    /// The ranges that names are answered from, and the addresses they are asked at.
    #[must_use]
    pub fn inner_ranges(&self) -> [Prefix; 4] {
        let [v4, v6] = network::prefixes(self.pool);
        [v4, v6, Prefix::host(self.names.0.into()), Prefix::host(self.names.1.into())]
    }

    /// Whether an address is one that names are answered with, or asked at.
    #[must_use]
    pub fn is_own_inner(&self, address: IpAddr) -> bool {
        self.inner_ranges().iter().any(|range| range.contains(address))
    }
}

impl Limits {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            flows_per_peer: reader.integer("limits", "flows_per_peer").value,
            half_open_per_peer: reader.integer("limits", "half_open_per_peer").value,
            buffer_bytes_per_peer: reader.integer("limits", "buffer_bytes_per_peer").value,
            queries_per_second_per_peer: reader.integer("limits", "queries_per_second_per_peer").value,
            handshakes_per_second: reader.integer("limits", "handshakes_per_second").value,
        }
    }
}

fn read_egress(reader: &mut Reader<'_>) -> Egress {
    match reader.choice("", "egress").value {
        "kernel" => Egress::Kernel,
        _ => Egress::Userspace,
    }
}

fn warn_of_readable_secrets(reader: &mut Reader<'_>, peers: &[Peer]) {
    if peers.iter().all(|peer| peer.preshared_key.is_none()) || !reader.source.is_readable_by_all() {
        return;
    }
    let Some(rows) = reader.rows("peer") else { return };
    let warning = "`peer.preshared_key` is a secret in a file that every user can read";
    let warning = Diagnostic::warning(rows.origin, warning);
    reader.problems.push(warning.hint(format!("chmod 640 {}", reader.source.path.display())));
}

/// A key that is there already must be one.
fn is_content_error(path: &Path) -> Option<KeyFileError> {
    read_private_key(path).err().filter(|error| matches!(error, KeyFileError::Content { .. }))
}

#[cfg(test)]
mod tests;
