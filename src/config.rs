//! The configuration: file, environment and command line as typed settings, each with its origin.

mod api;
mod application;
mod assessment;
mod diagnostic;
mod effective;
mod endpoint;
pub(crate) mod gateway;
mod host;
pub mod json_schema;
pub mod keys;
mod logging;
mod not_effective;
mod origin;
mod outbound_proxy;
mod overrides;
pub(crate) mod port;
mod prefix;
mod proxy;
pub(crate) mod reader;
pub mod reference;
pub(crate) mod row;
pub(crate) mod schema;
mod secret;
pub(crate) mod sections;
mod siem_destination;
pub(crate) mod source;
pub(crate) mod unknown;
mod users;
mod zones;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use api::Api;
pub use application::Application;
pub use assessment::{CHECKS, status_pattern};
pub use diagnostic::{ConfigError, Diagnostic, Severity};
pub use effective::EffectiveSetting;
pub use endpoint::{Endpoint, EndpointError, EndpointHost, parse_dns_server};
pub use gateway::Gateway;
pub use host::{Host, HostError, NamePattern};
pub use logging::{Logging, SiemFormat};
pub use not_effective::NotEffective;
pub use origin::{Origin, Setting};
pub use outbound_proxy::OutboundProxy;
pub use overrides::VARIABLE_PREFIX;
pub use port::{ALL_PORTS, PortError, PortSpec};
pub use prefix::{Prefix, PrefixError};
pub use proxy::Proxy;
pub use secret::{MASK, Secret, SecretKey};
pub use sections::{
    Auth, ControlPlane, DeviceAssessment, General, LogLevel, Monitoring, Mtu, Server, Tunneling,
};
pub use siem_destination::{DestinationError, SiemDestination, SyslogTransport};
pub use zones::Zone;

use reader::{Complaint, Reader};
use source::Source;

/// Where settings come from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: PathBuf,
    /// The variables of the process; those that start with [`VARIABLE_PREFIX`] count.
    pub environment: Vec<(OsString, OsString)>,
    /// `table.key=value` arguments of the command line.
    pub arguments: Vec<String>,
}

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// `[[gateway]]`, in the order of the file.
    pub gateways: Vec<Gateway>,
    /// `[[application]]` in the order of the file, then what `[split_tunneling]` includes.
    pub applications: Vec<Application>,
    /// `dns.split_dns`.
    pub split_dns: Vec<Zone>,
    /// Names that are never protected.
    pub exclude_domains: Vec<NamePattern>,
    /// `[tunneling]`.
    pub tunneling: Tunneling,
    /// `dns.search_domains`.
    pub search_domains: Vec<String>,
    /// `[general]`.
    pub general: General,
    /// `[server]`.
    pub server: Server,
    /// `[control_plane]`.
    pub control_plane: ControlPlane,
    /// `[auth]`.
    pub auth: Auth,
    /// `[device_assessment]`.
    pub device_assessment: DeviceAssessment,
    /// `[proxy]`.
    pub proxy: Proxy,
    /// `[outbound_proxy]`.
    pub outbound_proxy: OutboundProxy,
    /// `[logging]`.
    pub logging: Logging,
    /// `[api]`.
    pub api: Api,
    /// `[monitoring]`.
    pub monitoring: Monitoring,
    /// What the person should know, though the configuration can be used.
    pub warnings: Vec<Diagnostic>,
    /// What was given, but has no effect in this version.
    pub not_effective: Vec<NotEffective>,
    /// Every plain setting in force, secrets masked.
    pub settings: Vec<EffectiveSetting>,
}

impl Sources {
    /// The file, and the environment of this process.
    #[must_use]
    pub fn of_process(file: PathBuf) -> Self {
        Self { file, environment: std::env::vars_os().collect(), arguments: Vec::new() }
    }
}

impl Config {
    /// Loads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first; the warnings found are among it.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let source = Source::read(&sources.file).map_err(|error| ConfigError { diagnostics: vec![error] })?;
        Self::from_source(&source, sources)
    }

    /// The same for the text of a file that was read already; `path` is how it is called.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let sources = Sources { file: path.to_owned(), ..Sources::default() };
        Self::from_source(&Source::new(path, text.to_owned()), &sources)
    }

    fn from_source(source: &Source, sources: &Sources) -> Result<Self, ConfigError> {
        let root = source.parse().map_err(|diagnostics| ConfigError { diagnostics })?;
        let mut problems = Vec::new();
        let mut given = overrides::from_environment(&sources.environment, &mut problems);
        given.extend(overrides::from_arguments(&sources.arguments, &mut problems));
        let overrides = overrides::parse(&given, &mut problems);
        unknown::check(&schema::CLIENT, source, &root, &mut problems);
        let mut reader =
            Reader { schema: &schema::CLIENT, source, root: &root, overrides: &overrides, problems };
        let config = Self::read(&mut reader);
        finish(config, reader.problems)
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        check_aliases(reader);
        warn_of_readable_secrets(reader);
        let mut gateways = gateway::read(reader);
        let split_dns = zones::read(reader, &mut gateways);
        let applications = application::read(reader, &gateways);
        zones::check_names(reader, &applications, &split_dns, &gateways);
        let device_assessment = DeviceAssessment::read(reader);
        assessment::check(reader, &device_assessment, &applications);
        Self {
            path: reader.source.path.to_path_buf(),
            gateways: gateways.list,
            applications,
            split_dns,
            exclude_domains: sections::read_exclusions(reader),
            tunneling: Tunneling::read(reader),
            search_domains: reader.list("dns", "search_domains"),
            general: General::read(reader),
            server: Server::read(reader),
            control_plane: ControlPlane::read(reader),
            auth: Auth::read(reader),
            device_assessment,
            proxy: Proxy::read(reader),
            outbound_proxy: OutboundProxy::read(reader),
            logging: Logging::read(reader),
            api: Api::read(reader),
            monitoring: Monitoring::read(reader),
            warnings: Vec::new(),
            not_effective: not_effective::collect(reader),
            settings: effective::collect(reader),
        }
    }
}

/// Warnings go with the configuration; one error and there is none.
fn finish(mut config: Config, mut diagnostics: Vec<Diagnostic>) -> Result<Config, ConfigError> {
    diagnostics.sort_by_key(|diagnostic| diagnostic.origin.line());
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(ConfigError { diagnostics });
    }
    config.warnings = diagnostics;
    Ok(config)
}

/// A key and its alias may both be there, but must agree.
fn check_aliases(reader: &mut Reader<'_>) {
    for (table, key) in schema::all() {
        let Some((of_table, of)) = key.alias_of else { continue };
        let (Some(one), Some(other)) =
            (reader.find_in_file(table, key.name), reader.find_in_file(of_table, of))
        else {
            continue;
        };
        if effective::show(one.value) != effective::show(other.value) {
            let message = format!("`{table}.{}` and `{of_table}.{of}` mean the same, but differ", key.name);
            reader.complain(one.origin, Complaint::new(message, format!("keep `{of_table}.{of}` only")));
        }
    }
}

fn warn_of_readable_secrets(reader: &mut Reader<'_>) {
    let plain = schema::all().filter(|(_, key)| key.secret);
    let mut secrets: Vec<(String, Origin)> = plain
        .filter_map(|(table, key)| {
            Some((format!("{table}.{}", key.name), reader.find_in_file(table, key.name)?.origin))
        })
        .collect();
    if let Some(rows) = reader.rows("gateway") {
        let rows = row::Row::all(reader, "gateway", &rows);
        let keys = rows.iter().filter_map(|row| row.find(reader, "preshared_key"));
        secrets.extend(keys.map(|found| ("gateway.preshared_key".to_owned(), found.origin)));
    }
    if secrets.is_empty() || !reader.source.is_readable_by_all() {
        return;
    }
    for (name, origin) in secrets {
        let warning =
            Diagnostic::warning(origin, format!("`{name}` is a secret in a file that every user can read"));
        reader.problems.push(warning.hint(format!("chmod 640 {}", reader.source.path.display())));
    }
}

#[cfg(test)]
mod tests;
