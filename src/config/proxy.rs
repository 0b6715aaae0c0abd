//! `[proxy]`: the proxies of the device.

use super::host::NamePattern;
use super::origin::Setting;
use super::reader::{Complaint, Reader};
use super::secret::Secret;
use super::sections::read_domains;

/// `[proxy]`.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Whether the HTTP proxy runs.
    pub http_proxy: Setting<bool>,
    /// Its port.
    pub http_port: Setting<u16>,
    /// Whether the SOCKS5 proxy runs.
    pub socks_proxy: Setting<bool>,
    /// Its port.
    pub socks_port: Setting<u16>,
    /// Whether the proxies also connect to what is not protected.
    pub allow_direct: Setting<bool>,
    /// Whether the desktop's proxy settings are pointed at the PAC file.
    pub configure_browser: Setting<bool>,
    /// What the proxies never carry through the tunnel.
    pub exclude_domains: Vec<NamePattern>,
    /// Who clients must say they are.
    pub username: Option<Setting<String>>,
    /// What they must know; there is one if there is a user name.
    pub password: Option<Setting<Secret>>,
}

impl Proxy {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "proxy";
        let (username, password) = (reader.text(table, "username"), reader.secret(table, "password"));
        check_credentials(reader, username.is_some(), password.is_some());
        Self {
            http_proxy: reader.boolean(table, "http_proxy"),
            http_port: reader.integer(table, "http_port"),
            socks_proxy: reader.boolean(table, "socks_proxy"),
            socks_port: reader.integer(table, "socks_port"),
            allow_direct: reader.boolean(table, "allow_direct"),
            configure_browser: reader.boolean(table, "configure_browser"),
            exclude_domains: read_domains(reader, &[table]),
            username,
            password,
        }
    }
}

/// A user name and a password are of use only together.
fn check_credentials(reader: &mut Reader<'_>, has_username: bool, has_password: bool) {
    let (given, missing) = match (has_username, has_password) {
        (true, false) => ("username", "password"),
        (false, true) => ("password", "username"),
        (true, true) | (false, false) => return,
    };
    let Some(found) = reader.find("proxy", given) else { return };
    let message = format!("`proxy.{given}` has no effect without `proxy.{missing}`");
    reader.complain(found.origin, Complaint::new(message, format!("add `{missing}`, or leave both out")));
}
