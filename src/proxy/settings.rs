//! What the proxies are to do, from the configuration.

use crate::access::Access;
use crate::config::{self, Config, NamePattern, Secret};
use crate::dialer::Host;

use super::pac;

/// What the proxies are to do. A change takes effect at once, without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where SOCKS is served on 127.0.0.1; 0 is any free port.
    pub socks_port: Option<u16>,
    /// Where the HTTP proxy is.
    pub http_port: Option<u16>,
    /// Where `/proxy.pac` is, if any proxy runs.
    pub pac_port: u16,
    /// Whether the proxies serve it there themselves; else the local API does.
    pub serves_pac: bool,
    /// Whether what is not protected is connected to as well.
    pub allow_direct: bool,
    /// Names that are never carried through the tunnel by the proxies.
    pub exclude: Vec<NamePattern>,
    /// What clients must know.
    pub credentials: Option<Credentials>,
    /// Who may use the proxies.
    pub access: Access,
    /// What browsers send to the proxies.
    pub rules: pac::Rules,
}

/// What clients must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
}

impl Settings {
    /// The proxies as configured, for those who may use the connector.
    #[must_use]
    pub fn new(config: &Config, access: Access) -> Self {
        let proxy = &config.proxy;
        let credentials = match (&proxy.username, &proxy.password) {
            (Some(username), Some(password)) => {
                Some(Credentials { username: username.value.clone(), password: password.value.clone() })
            }
            (None, _) | (_, None) => None,
        };
        Self {
            socks_port: proxy.socks_proxy.value.then_some(proxy.socks_port.value),
            http_port: proxy.http_proxy.value.then_some(proxy.http_port.value),
            pac_port: config.api.port.value,
            serves_pac: !config.api.enabled.value,
            allow_direct: proxy.allow_direct.value,
            exclude: proxy.exclude_domains.clone(),
            credentials,
            access,
            rules: rules(config),
        }
    }

    /// Whether a host that is not protected may be connected to.
    #[must_use]
    pub(super) fn allows_directly(&self, host: &Host) -> bool {
        self.allow_direct || matches!(host, Host::Name(name) if self.excludes(name))
    }

    /// The PAC file for these settings.
    #[must_use]
    pub(super) fn pac_script(&self) -> String {
        let proxies = pac::Proxies {
            socks_port: self.socks_port,
            http_port: self.http_port,
            allow_direct: self.allow_direct,
        };
        pac::script(&self.rules, &self.exclude, proxies)
    }

    /// Whether no proxy is to run.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.socks_port.is_none() && self.http_port.is_none()
    }

    /// Whether a name is left alone by the tunnel.
    #[must_use]
    pub(super) fn excludes(&self, name: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.covers(name))
    }
}

impl Credentials {
    /// Whether these are they. Takes as long for a wrong password as for the right one.
    #[must_use]
    pub(super) fn are(&self, username: &[u8], password: &[u8]) -> bool {
        same(self.username.as_bytes(), username) & same(self.password.reveal().as_bytes(), password)
    }
}

fn rules(config: &Config) -> pac::Rules {
    let hosts = || config.applications.iter().flat_map(|application| &application.hosts);
    let names = hosts().filter_map(|host| match host {
        config::Host::Name(pattern) => Some(pattern.clone()),
        config::Host::Address(_) | config::Host::Network(_) => None,
    });
    let zones = config.split_dns.iter().map(|zone| NamePattern::Suffix(zone.domain.clone()));
    pac::Rules {
        protected: names.chain(zones).collect(),
        unprotected: config.exclude_domains.clone(),
        networks: hosts().filter_map(config::Host::prefix).collect(),
        search: config.search_domains.clone(),
    }
}

/// Compares without telling by its time where two texts differ.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let different = expected.iter().zip(given).fold(0, |different, (a, b)| different | (a ^ b));
    expected.len() == given.len() && different == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_must_be_the_same_whole() {
        let credentials =
            Credentials { username: "eve".to_owned(), password: Secret::new("open".to_owned()) };
        assert!(credentials.are(b"eve", b"open"));
        for (username, password) in
            [("eve", "ope"), ("eve", "opens"), ("ev", "open"), ("", ""), ("eve", "Open")]
        {
            assert!(!credentials.are(username.as_bytes(), password.as_bytes()), "{username} {password}");
        }
    }
}
