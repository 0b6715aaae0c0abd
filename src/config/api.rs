//! `[api]`, and `host` of `[server]`: where the local API listens and who may use it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::origin::Setting;
use super::reader::{Complaint, Reader};
use super::secret::Secret;
use super::users;

/// `[api]`.
#[derive(Debug, Clone)]
pub struct Api {
    /// Whether the local API listens on TCP.
    pub enabled: Setting<bool>,
    /// On which address; `server.host`.
    pub host: IpAddr,
    /// On which port.
    pub port: Setting<u16>,
    /// Whether a token is asked for.
    pub require_auth: Setting<bool>,
    /// The token; made up when absent.
    pub token: Option<Setting<Secret>>,
    /// Names or numbers of the users who may use it; empty means all who may use the tunnel.
    pub allowed_users: Vec<Setting<String>>,
}

impl Api {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "api";
        let require_auth = reader.boolean(table, "require_auth");
        Self {
            enabled: reader.boolean(table, "enabled"),
            host: read_host(reader, require_auth.value),
            port: reader.integer(table, "port"),
            require_auth,
            token: reader.secret(table, "token"),
            allowed_users: users::read(reader, table),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port.value)
    }
}

/// Whoever can reach an address that is not loopback must at least know the token.
fn read_host(reader: &mut Reader<'_>, requires_token: bool) -> IpAddr {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let Some(host) = reader.text("server", "host") else { return loopback };
    let complaint = match parse_host(&host) {
        Some(address) if requires_token || address.is_loopback() => return address,
        Some(address) => Complaint::new(
            format!("`server.host` is `{address}`, which others can reach, and no token is asked for"),
            "set `require_auth = true` in `[api]`, or `host = \"127.0.0.1\"`",
        ),
        None => Complaint::new(
            format!(
                "`server.host` must be an address of this device, not `{}`",
                super::reader::shorten(&host)
            ),
            "leave it out, or write `host = \"127.0.0.1\"`",
        ),
    };
    reader.complain(host.origin, complaint);
    loopback
}

fn parse_host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn load(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("c.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_api_listens_on_loopback_unless_another_address_is_named() {
        let config = load("").unwrap();
        assert_eq!(config.api.address(), "127.0.0.1:8086".parse().unwrap());
        for (host, address) in
            [("localhost", "127.0.0.1:8086"), ("::1", "[::1]:8086"), ("0.0.0.0", "0.0.0.0:8086")]
        {
            let config = load(&format!("[server]\nhost = \"{host}\"\n")).unwrap();
            assert_eq!(config.api.address(), address.parse().unwrap());
        }
        assert!(load("[server]\nhost = \"laptop\"\n").unwrap_err().contains("must be an address"));
    }

    #[test]
    fn others_on_the_network_need_a_token() {
        let open = "[server]\nhost = \"0.0.0.0\"\n[api]\nrequire_auth = false\n";
        let error = load(open).unwrap_err();
        assert!(error.contains("c.toml:2: ") && error.contains("require_auth = true"), "{error}");
        assert!(load(&open.replace("0.0.0.0", "127.0.0.2")).is_ok());
    }

    #[test]
    fn users_of_the_api_are_listed_by_name_or_number() {
        let config = load("[api]\nallowed_users = [\"alice\", 1001]\n").unwrap();
        let users: Vec<&str> = config.api.allowed_users.iter().map(|user| user.value.as_str()).collect();
        assert_eq!(users, ["alice", "1001"]);
        assert!(load("[api]\nallowed_users = [true]\n").unwrap_err().contains("api.allowed_users"));
    }
}
