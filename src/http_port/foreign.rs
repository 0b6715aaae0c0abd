//! Which host a request names, and which site it comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, header, request::Parts};

/// What is foreign about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// It names another host.
    Host,
    /// A page of another origin asks.
    Origin,
    /// A page of another site asks.
    Site,
}

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// Refuses what names another host, or comes from a page of another site. `local` is where the connection came to.
///
/// A name that leads here by DNS is another host (rebinding); `localhost` and addresses cannot be rebound. Browsers say
/// by `Origin` (RFC 6454) and `Sec-Fetch-Site` (W3C Fetch Metadata) which page asks; programs say nothing.
///
/// # Errors
/// What is foreign about it.
pub fn check(head: &Parts, local: SocketAddr) -> Result<(), Foreign> {
    if !is_own_host(head, local) {
        return Err(Foreign::Host);
    }
    if !is_own_origin(&head.headers, local) {
        return Err(Foreign::Origin);
    }
    let mut sites = head.headers.get_all(SEC_FETCH_SITE).iter();
    let is_other_site = sites.any(|site| site != "none" && site != "same-origin");
    if is_other_site && !is_visit(head) { Err(Foreign::Site) } else { Ok(()) }
}

fn is_own_host(head: &Parts, local: SocketAddr) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let is_own = |host: &[u8]| own_hosts(local).iter().any(|own| host.eq_ignore_ascii_case(own.as_bytes()));
    // a request in absolute form names the host twice
    is_own(host.as_bytes())
        && head.uri.authority().is_none_or(|authority| is_own(authority.as_str().as_bytes()))
}

fn is_own_origin(headers: &HeaderMap, local: SocketAddr) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        own_hosts(local)
            .iter()
            .any(|own| origin.as_bytes().eq_ignore_ascii_case(format!("http://{own}").as_bytes()))
    })
}

/// A person who follows a link to the page itself, which holds no data.
fn is_visit(head: &Parts) -> bool {
    let says = |name, value| head.headers.get(name).is_some_and(|given| given == value);
    head.uri.path() == "/" && says(SEC_FETCH_MODE, "navigate") && says(SEC_FETCH_DEST, "document")
}

/// How this host is called: as loopback, or by the very address that the connection came to.
fn own_hosts(local: SocketAddr) -> Vec<String> {
    let port = local.port();
    let called = |address: IpAddr| SocketAddr::new(address, port).to_string();
    let mut hosts = vec![called(local.ip().to_canonical())];
    if local.ip().to_canonical().is_loopback() {
        hosts.extend([called(Ipv4Addr::LOCALHOST.into()), called(Ipv6Addr::LOCALHOST.into())]);
        hosts.push(format!("localhost:{port}"));
    }
    hosts
}
