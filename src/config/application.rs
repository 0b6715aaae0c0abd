//! `[[application]]`, and the applications that `include_domains` and `include_ips` stand for.

use super::assessment;
use super::diagnostic::Diagnostic;
use super::gateway::{Gateways, Reference, check_duplicate};
use super::host::{Host, NamePattern};
use super::origin::{Origin, Setting};
use super::port::{ALL_PORTS, FORMS, PortSpec};
use super::reader::{Complaint, Reader};
use super::row::Row;
use super::sections::host_complaint;

/// Something that may be reached.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its name, unique.
    pub name: String,
    /// What it is reached by; at least one.
    pub hosts: Vec<Host>,
    /// What is allowed; at least one.
    pub ports: Vec<PortSpec>,
    /// Index in [`Config::gateways`](super::Config::gateways).
    pub gateway: usize,
    /// What it is, for people.
    pub description: Option<String>,
    /// Where a browser opens it.
    pub url: Option<String>,
    /// Posture checks that it asks for.
    pub requires: Vec<String>,
    /// Where it is configured.
    pub origin: Origin,
}

/// Reads every application. Those in error are left out.
pub(super) fn read(reader: &mut Reader<'_>, gateways: &Gateways) -> Vec<Application> {
    let mut applications = Vec::new();
    let mut names: Vec<Setting<String>> = Vec::new();
    if let Some(rows) = reader.rows("application") {
        for row in Row::all(reader, "application", &rows) {
            applications.extend(read_row(reader, &row, gateways, &mut names));
        }
    }
    if reader.boolean("split_tunneling", "enabled").value {
        applications.extend(included_domains(reader, gateways));
        applications.extend(included_ips(reader, gateways));
    } else {
        warn_disabled(reader);
    }
    check_addresses(reader, &applications, gateways);
    applications
}

fn read_row<'a>(
    reader: &mut Reader<'a>,
    row: &Row<'a>,
    gateways: &Gateways,
    names: &mut Vec<Setting<String>>,
) -> Option<Application> {
    let name = row.required(reader, "name", "give the application a name, such as `name = \"wiki\"`");
    if let Some((name, origin)) = &name {
        check_duplicate(reader, "application", name, origin, names.iter());
        names.push(Setting { value: (*name).to_owned(), origin: origin.clone() });
    }
    let host = read_host(reader, row);
    let ports = read_ports(reader, row);
    let user = name
        .as_ref()
        .map_or_else(|| "this application".to_owned(), |(name, _)| format!("application `{name}`"));
    let gateway = read_gateway(reader, row, gateways, &user);
    let description = row.text(reader, "description").map(|(text, _)| text.to_owned());
    let url = row.text(reader, "url").map(|(text, _)| text.to_owned());
    let requires = row.list(reader, "requires", assessment::known);
    Some(Application {
        name: name?.0.to_owned(),
        hosts: vec![host?],
        ports,
        gateway: gateway?,
        description,
        url,
        requires,
        origin: row.origin.clone(),
    })
}

fn read_host<'a>(reader: &mut Reader<'a>, row: &Row<'a>) -> Option<Host> {
    let hint = "a name, `*.name`, an address or a CIDR block, such as `host = \"wiki.corp.example.com\"`";
    let (text, origin) = row.required(reader, "host", hint)?;
    match Host::parse(text) {
        Ok(host) => Some(host),
        Err(error) => {
            reader.complain(origin, host_complaint(error));
            None
        }
    }
}

fn read_ports<'a>(reader: &mut Reader<'a>, row: &Row<'a>) -> Vec<PortSpec> {
    let ports = row.required_list(reader, "ports", FORMS, |text| {
        let mut ports = Vec::new();
        PortSpec::parse_into(text, &mut ports).map_err(|error| Complaint::new(error, FORMS))?;
        Ok(ports)
    });
    ports.concat()
}

fn read_gateway<'a>(
    reader: &mut Reader<'a>,
    row: &Row<'a>,
    gateways: &Gateways,
    user: &str,
) -> Option<usize> {
    let name = row.text(reader, "gateway");
    match gateways.resolve(reader, user, name, row.origin.clone()) {
        Reference::Index(index) => Some(index),
        Reference::Broken => None,
        Reference::Waits => {
            let complaint = Complaint::new(format!("{user} has no gateway"), "add a `[[gateway]]`");
            reader.complain(row.origin.clone(), complaint);
            None
        }
    }
}

fn included_domains(reader: &mut Reader<'_>, gateways: &Gateways) -> Option<Application> {
    let mut hosts = Vec::new();
    reader.each("split_tunneling", "include_domains", |text| {
        hosts.push(Host::Name(NamePattern::parse_domain(text).map_err(host_complaint)?));
        Ok(())
    });
    included(reader, gateways, "include_domains", hosts)
}

fn included_ips(reader: &mut Reader<'_>, gateways: &Gateways) -> Option<Application> {
    let mut hosts = Vec::new();
    reader.each("split_tunneling", "include_ips", |text| {
        hosts.push(Host::parse_address(text).map_err(host_complaint)?);
        Ok(())
    });
    included(reader, gateways, "include_ips", hosts)
}

/// One application for the whole list: everything on these hosts, through the only gateway.
fn included(
    reader: &mut Reader<'_>,
    gateways: &Gateways,
    key: &str,
    hosts: Vec<Host>,
) -> Option<Application> {
    let origin = reader.find("split_tunneling", key)?.origin;
    if hosts.is_empty() {
        return None;
    }
    let user = format!("`split_tunneling.{key}`");
    match gateways.resolve(reader, &user, None, origin.clone()) {
        Reference::Index(gateway) => Some(Application {
            name: key.to_owned(),
            hosts,
            ports: ALL_PORTS.to_vec(),
            gateway,
            description: None,
            url: None,
            requires: Vec::new(),
            origin,
        }),
        Reference::Broken => None,
        Reference::Waits => {
            warn_waiting(reader, &user, origin);
            None
        }
    }
}

/// What names no gateway loads all the same, and takes effect when there is one.
pub(super) fn warn_waiting(reader: &mut Reader<'_>, user: &str, origin: Origin) {
    let warning = Diagnostic::warning(origin, format!("{user} has no effect until there is a gateway"));
    reader.problems.push(warning.hint("add a `[[gateway]]`"));
}

fn warn_disabled(reader: &mut Reader<'_>) {
    for key in ["include_domains", "include_ips"] {
        if let Some(found) = reader.find("split_tunneling", key) {
            let message =
                format!("`split_tunneling.{key}` has no effect, since `split_tunneling.enabled` is false");
            reader.problems.push(Diagnostic::warning(found.origin, message));
        }
    }
}

/// Addresses that the gateway would not let through are an error.
fn check_addresses(reader: &mut Reader<'_>, applications: &[Application], gateways: &Gateways) {
    for application in applications {
        let Some(gateway) = gateways.list.get(application.gateway) else { continue };
        for prefix in
            application.hosts.iter().filter_map(Host::prefix).filter(|prefix| !gateway.allows(*prefix))
        {
            let message = format!(
                "`{prefix}` of application `{}` is outside `allowed_ips` of gateway `{}`",
                application.name, gateway.name
            );
            let hint = format!("add `{prefix}` to `allowed_ips` of the gateway");
            reader.complain(application.origin.clone(), Complaint::new(message, hint));
        }
    }
}
