//! What the configuration says about the SIEM, ready to be used.

use std::path::{Path, PathBuf};

use super::format::Context;
use crate::config::{Config, Endpoint, EndpointHost, Host, Secret, Setting, SiemDestination};
use crate::event::Severity;

/// Holds the id of this device, if the configuration does not name one.
const DEVICE_ID_FILE: &str = "device-id";

/// How events are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub(super) destination: SiemDestination,
    pub(super) context: Context,
    /// What matters less is not kept.
    pub(super) level: Severity,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) tls: TlsFiles,
    /// The company's proxy, if the way to the SIEM is through it.
    pub(super) proxy: Option<Proxy>,
    /// The SIEM is behind the tunnel: sockets go into it, as any program's do.
    pub(super) is_protected: bool,
}

/// Files of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    pub(super) authority: Option<PathBuf>,
    /// What this device shows, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// The company's proxy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proxy {
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Option<(String, Secret)>,
}

impl Settings {
    /// Of a configuration; `None` when no events are to be sent.
    #[must_use]
    pub fn of(config: &Config, state_dir: &Path) -> Option<Self> {
        if !config.logging.siem_integration.value {
            return None;
        }
        Self::of_destination(config, state_dir)
    }

    /// The same, also where the integration is off, as long as a destination is named.
    pub(super) fn of_destination(config: &Config, state_dir: &Path) -> Option<Self> {
        let logging = &config.logging;
        let destination = logging.siem_destination.as_ref()?.value.clone();
        let is_protected =
            destination.endpoint().is_some_and(|endpoint| is_protected(config, &endpoint.host));
        let path =
            |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| PathBuf::from(&setting.value));
        let client = path(&logging.siem_client_certificate).zip(path(&logging.siem_client_key));
        let context = Context {
            format: logging.siem_format.value,
            hostname: hostname(),
            additional: logging.siem_additional_fields.clone(),
            device_id: device_id(config, state_dir),
        };
        Some(Self {
            proxy: proxy(config, &destination).filter(|_| !is_protected),
            destination,
            context,
            level: logging.siem_log_level.value,
            headers: logging.siem_http_headers.clone(),
            tls: TlsFiles { authority: path(&logging.siem_ca_file), client },
            is_protected,
        })
    }
}

fn proxy(config: &Config, destination: &SiemDestination) -> Option<Proxy> {
    let outbound = &config.outbound_proxy;
    let endpoint = outbound.url.as_ref()?.value.clone();
    let host = &destination.endpoint()?.host;
    let is_bypassed = outbound.bypass_domains.iter().any(|bypassed| covers(bypassed, host));
    let username = outbound.username.as_ref().map(|username| username.value.clone());
    let password = outbound.password.as_ref().map(|password| password.value.clone());
    let credentials = username.map(|username| (username, password.unwrap_or(Secret::new(String::new()))));
    (!is_bypassed).then_some(Proxy { endpoint, credentials })
}

fn covers(host: &Host, of: &EndpointHost) -> bool {
    match (host, of) {
        (Host::Name(pattern), EndpointHost::Name(name)) => pattern.covers(name),
        (Host::Address(_) | Host::Network(_), EndpointHost::Address(address)) => {
            host.prefix().is_some_and(|prefix| prefix.contains(*address))
        }
        (Host::Name(_), EndpointHost::Address(_))
        | (Host::Address(_) | Host::Network(_), EndpointHost::Name(_)) => false,
    }
}

/// Whether an application or a zone leads a host into the tunnel.
fn is_protected(config: &Config, host: &EndpointHost) -> bool {
    let by_application =
        config.applications.iter().flat_map(|application| &application.hosts).any(|of| covers(of, host));
    let EndpointHost::Name(name) = host else { return by_application };
    let is_below =
        |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let by_zone = config.split_dns.iter().any(|zone| is_below(&zone.domain));
    let is_excluded = config.exclude_domains.iter().any(|pattern| pattern.covers(name));
    (by_application || by_zone) && !is_excluded
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The configured one; else one that is made up once.
fn device_id(config: &Config, state_dir: &Path) -> String {
    if let Some(id) = &config.general.client_id {
        return id.value.clone();
    }
    let file = state_dir.join(DEVICE_ID_FILE);
    if let Ok(text) = std::fs::read_to_string(&file)
        && let Ok(id) = text.trim().parse::<uuid::Uuid>()
    {
        return id.to_string();
    }
    let id = uuid::Uuid::now_v7().to_string();
    if let Err(error) = platform::secret_file::replace(&file, format!("{id}\n").as_bytes()) {
        tracing::warn!("{error}: this device has another id after a restart");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[logging]\nsiem_integration = true\n{text}");
        let config = Config::parse(Path::new("c.toml"), &text).unwrap();
        Settings::of(&config, folder.path()).unwrap()
    }

    #[test]
    fn the_proxy_carries_what_is_not_bypassed() {
        let proxy = "[outbound_proxy]\nurl = \"http://proxy.example.com:8080\"\nusername = \"u\"\npassword = \"p\"\n\
                     bypass_domains = [\"internal.example.com\", \"*.local\", \"10.0.0.0/8\"]\n";
        for (host, is_proxied) in [
            ("siem.example.com", true),
            ("internal.example.com", false),
            ("siem.internal.example.com", false),
            ("siem.local", false),
            ("10.1.2.3", false),
            ("192.0.2.1", true),
        ] {
            let settings = settings(&format!("siem_destination = \"syslog+tls://{host}\"\n{proxy}"));
            assert_eq!(settings.proxy.is_some(), is_proxied, "{host}");
        }
        assert!(settings("siem_destination = \"syslog+tls://siem.example.com\"").proxy.is_none());
    }

    #[test]
    fn the_device_keeps_its_id_unless_it_is_given_one() {
        let folder = tempfile::tempdir().unwrap();
        let parse = |text: &str| Config::parse(Path::new("c.toml"), text).unwrap();
        let plain = parse("");
        let id = device_id(&plain, folder.path());
        assert_eq!(device_id(&plain, folder.path()), id);
        assert_eq!(device_id(&parse("[general]\nclient_id = \"laptop-7\""), folder.path()), "laptop-7");
        std::fs::write(folder.path().join(DEVICE_ID_FILE), "torn").unwrap();
        assert_ne!(device_id(&plain, folder.path()), id);
    }
}
