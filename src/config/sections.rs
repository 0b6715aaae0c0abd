//! The plain tables of the configuration as typed settings.

use std::time::Duration;

use super::host::{HostError, NamePattern};
use super::origin::Setting;
use super::reader::{Complaint, Reader};
use super::secret::Secret;
use super::users;

/// `[general]`.
#[derive(Debug, Clone)]
pub struct General {
    /// Identifier of this installation; made up when absent.
    pub client_id: Option<Setting<String>>,
}

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address that the local service listens on.
    pub host: Option<Setting<String>>,
    /// How much is logged.
    pub log_level: Setting<LogLevel>,
    /// Where the log goes besides standard error.
    pub log_file: Option<Setting<String>>,
}

/// Levels of the log, the quietest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What is doubtful as well.
    Warn,
    /// What happens.
    Info,
    /// How it happens; may name hosts.
    Debug,
    /// Everything.
    Trace,
}

/// `[control_plane]`.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// Where the control plane is.
    pub url: Option<Setting<String>>,
    /// How often policies are asked for.
    pub check_interval: Setting<Duration>,
    /// How long one request may take.
    pub timeout: Setting<Duration>,
    /// A private certificate authority.
    pub ca_cert_path: Option<Setting<String>>,
}

/// `[auth]`. Words are as the contract lists them.
#[derive(Debug, Clone)]
pub struct Auth {
    /// `oidc` or `oauth2`.
    pub identity_provider: Setting<&'static str>,
    /// Identifier of this application at the provider.
    pub client_id: Option<Setting<String>>,
    /// Its secret, for providers that give one to native applications.
    pub client_secret: Option<Setting<Secret>>,
    /// The issuer.
    pub oauth_url: Option<Setting<String>>,
    /// Where the browser returns to.
    pub redirect_uri: Option<Setting<String>>,
    /// What is asked for.
    pub scope: Option<Setting<String>>,
    /// How long before its end a token is renewed.
    pub token_refresh_margin: Setting<Duration>,
    /// `encrypted_file`, `keychain` or `memory`.
    pub token_storage: Setting<&'static str>,
    /// Whether a second factor is required.
    pub require_mfa: Setting<bool>,
    /// How long a second factor is remembered.
    pub mfa_remember_period: Setting<Duration>,
    /// Idle time after which the person logs in again.
    pub session_timeout: Setting<Duration>,
    /// Longest session.
    pub max_session_duration: Setting<Duration>,
    /// `system`, `custom` or `none`.
    pub browser_type: Setting<&'static str>,
    /// The browser, when custom.
    pub custom_browser_path: Option<Setting<String>>,
}

/// `[device_assessment]`.
#[derive(Debug, Clone)]
pub struct DeviceAssessment {
    /// Whether the device is assessed.
    pub enabled: Setting<bool>,
    /// How often.
    pub interval: Setting<Duration>,
    /// Whether the system must be up to date.
    pub required_os_updates: Setting<bool>,
    /// Oldest version of the system.
    pub min_os_version: Option<Setting<String>>,
    /// Whether a firewall must be active.
    pub firewall_required: Setting<bool>,
    /// Whether an antivirus must be active.
    pub antivirus_required: Setting<bool>,
    /// Whether the disk must be encrypted.
    pub disk_encryption_required: Setting<bool>,
    /// Software that must be there.
    pub required_security_software: Vec<String>,
    /// A check of one's own.
    pub custom_assessment_script: Option<Setting<String>>,
    /// Whether the endpoint protection is asked.
    pub edr_integration: Setting<bool>,
    /// Which one it is.
    pub edr_vendor: Option<Setting<String>>,
    /// How it is asked.
    pub edr_check_command: Option<Setting<String>>,
    /// What a good answer looks like.
    pub edr_status_regex: Option<Setting<String>>,
    /// As whom it is asked.
    pub edr_run_as: Option<Setting<String>>,
}

/// `[tunneling]`.
#[derive(Debug, Clone)]
pub struct Tunneling {
    /// Size of packets inside the tunnel.
    pub mtu: Setting<Mtu>,
    /// Seconds between keep-alives; 0 sends none.
    pub keep_alive: Setting<u16>,
    /// Names or numbers of the users who may use the tunnel; empty means all.
    pub allowed_users: Vec<Setting<String>>,
    /// `auto`, `namespace` or `smoltcp`.
    pub stack: Setting<&'static str>,
    /// Whether super-packets and batches of datagrams are used where the system has them.
    pub offload: Setting<bool>,
}

/// Size of packets inside the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mtu {
    /// So many octets.
    Fixed(u16),
    /// What the path allows.
    Auto,
}

/// `[monitoring]`.
#[derive(Debug, Clone)]
pub struct Monitoring {
    /// Whether metrics are offered.
    pub prometheus: Setting<bool>,
    /// Where.
    pub prometheus_port: Setting<u16>,
    /// Whether a health check is offered.
    pub healthcheck: Setting<bool>,
    /// Where.
    pub healthcheck_port: Setting<u16>,
}

impl LogLevel {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        let levels = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
        levels.into_iter().find(|level| level.as_str() == word).unwrap_or(Self::Info)
    }
}

impl General {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self { client_id: reader.text("general", "client_id") }
    }
}

impl Server {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            host: reader.text("server", "host"),
            log_level: reader.choice("server", "log_level").map(LogLevel::from_word),
            log_file: reader.text("server", "log_file"),
        }
    }
}

impl ControlPlane {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "control_plane";
        Self {
            url: reader.text(table, "url"),
            check_interval: reader.seconds(table, "check_interval"),
            timeout: reader.seconds(table, "timeout"),
            ca_cert_path: reader.text(table, "ca_cert_path"),
        }
    }
}

impl Auth {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "auth";
        Self {
            identity_provider: reader.choice(table, "identity_provider"),
            client_id: reader.text(table, "client_id"),
            client_secret: reader.secret(table, "client_secret"),
            oauth_url: reader.text(table, "oauth_url"),
            redirect_uri: reader.text(table, "redirect_uri"),
            scope: reader.text(table, "scope"),
            token_refresh_margin: reader.seconds(table, "token_refresh_margin"),
            token_storage: reader.choice(table, "token_storage"),
            require_mfa: reader.boolean(table, "require_mfa"),
            mfa_remember_period: reader.seconds(table, "mfa_remember_period"),
            session_timeout: reader.seconds(table, "session_timeout"),
            max_session_duration: reader.seconds(table, "max_session_duration"),
            browser_type: reader.choice(table, "browser_type"),
            custom_browser_path: reader.text(table, "custom_browser_path"),
        }
    }
}

impl DeviceAssessment {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "device_assessment";
        Self {
            enabled: reader.boolean(table, "enabled"),
            interval: reader.seconds(table, "interval"),
            required_os_updates: reader.boolean(table, "required_os_updates"),
            min_os_version: reader.text(table, "min_os_version"),
            firewall_required: reader.boolean(table, "firewall_required"),
            antivirus_required: reader.boolean(table, "antivirus_required"),
            disk_encryption_required: reader.boolean(table, "disk_encryption_required"),
            required_security_software: reader.list(table, "required_security_software"),
            custom_assessment_script: reader.text(table, "custom_assessment_script"),
            edr_integration: reader.boolean(table, "edr_integration"),
            edr_vendor: reader.text(table, "edr_vendor"),
            edr_check_command: reader.text(table, "edr_check_command"),
            edr_status_regex: reader.text(table, "edr_status_regex"),
            edr_run_as: reader.text(table, "edr_run_as"),
        }
    }
}

impl Tunneling {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        check_protocol(reader);
        Self {
            mtu: read_mtu(reader),
            keep_alive: reader.integer("tunneling", "keep_alive"),
            allowed_users: users::read(reader, "tunneling"),
            stack: reader.choice("tunneling", "stack"),
            offload: reader.boolean("tunneling", "offload"),
        }
    }
}

impl Monitoring {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "monitoring";
        Self {
            prometheus: reader.boolean(table, "prometheus"),
            prometheus_port: reader.integer(table, "prometheus_port"),
            healthcheck: reader.boolean(table, "healthcheck"),
            healthcheck_port: reader.integer(table, "healthcheck_port"),
        }
    }
}

/// The names that are never protected: `tunneling.exclude_domains` and `split_tunneling.exclude_domains`.
pub(super) fn read_exclusions(reader: &mut Reader<'_>) -> Vec<NamePattern> {
    read_domains(reader, &["tunneling", "split_tunneling"])
}

/// The names of `exclude_domains` in these tables.
pub(super) fn read_domains(reader: &mut Reader<'_>, tables: &[&str]) -> Vec<NamePattern> {
    let mut patterns = Vec::new();
    for table in tables {
        reader.each(table, "exclude_domains", |text| {
            patterns.push(NamePattern::parse_domain(text).map_err(host_complaint)?);
            Ok(())
        });
    }
    patterns
}

pub(crate) fn host_complaint(error: HostError) -> Complaint {
    Complaint::new(&error, error.hint())
}

fn check_protocol(reader: &mut Reader<'_>) {
    let Some(protocol) = reader.text("tunneling", "protocol") else { return };
    let complaint = match protocol.to_ascii_lowercase().as_str() {
        "wireguard" => return,
        "openvpn" => Complaint::new(
            "`tunneling.protocol = \"openvpn\"` is not supported",
            "use `protocol = \"wireguard\"`, the only protocol that this connector speaks",
        ),
        other => Complaint::new(
            format!("`tunneling.protocol` must be wireguard, not `{}`", super::reader::shorten(other)),
            "use `protocol = \"wireguard\"`, or leave the key out",
        ),
    };
    reader.complain(protocol.origin, complaint);
}

fn read_mtu(reader: &mut Reader<'_>) -> Setting<Mtu> {
    if let Some(found) = reader.find("tunneling", "mtu")
        && found.value.as_str() == Some("auto")
    {
        return Setting { value: Mtu::Auto, origin: found.origin };
    }
    reader.integer::<u16>("tunneling", "mtu").map(Mtu::Fixed)
}
