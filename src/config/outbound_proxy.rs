//! `[outbound_proxy]`: the company's proxy, and what is reached without it.

use super::endpoint::Endpoint;
use super::host::{Host, HostError, NamePattern};
use super::origin::Setting;
use super::reader::{Complaint, Reader};
use super::secret::Secret;
use super::sections::host_complaint;
use super::siem_destination::host_and_port;

/// Of a URL that names none (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// `[outbound_proxy]`.
#[derive(Debug, Clone)]
pub struct OutboundProxy {
    /// The corporate proxy.
    pub url: Option<Setting<Endpoint>>,
    /// User name there.
    pub username: Option<Setting<String>>,
    /// Password there.
    pub password: Option<Setting<Secret>>,
    /// What is reached without it: names with all below them, addresses, networks.
    pub bypass_domains: Vec<Host>,
}

impl OutboundProxy {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "outbound_proxy";
        Self {
            url: read_url(reader),
            username: reader.text(table, "username"),
            password: reader.secret(table, "password"),
            bypass_domains: read_bypass(reader),
        }
    }
}

fn read_url(reader: &mut Reader<'_>) -> Option<Setting<Endpoint>> {
    let Setting { value, origin } = reader.text("outbound_proxy", "url")?;
    let rest = value.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let endpoint = rest.and_then(|rest| host_and_port(rest, HTTP_PORT).ok());
    if endpoint.is_none() {
        let complaint = Complaint::new(
            "`outbound_proxy.url` is not the URL of an HTTP proxy", // it may hold a password
            "write `url = \"http://HOST:PORT\"`, and `username` and `password` on lines of their own",
        );
        reader.complain(origin.clone(), complaint);
    }
    Some(Setting { value: endpoint?, origin })
}

fn read_bypass(reader: &mut Reader<'_>) -> Vec<Host> {
    let mut hosts = Vec::new();
    reader.each("outbound_proxy", "bypass_domains", |text| {
        hosts.push(bypassed(text).map_err(host_complaint)?);
        Ok(())
    });
    hosts
}

fn bypassed(text: &str) -> Result<Host, HostError> {
    match Host::parse(text)? {
        Host::Name(_) => NamePattern::parse_domain(text).map(Host::Name),
        host @ (Host::Address(_) | Host::Network(_)) => Ok(host),
    }
}
