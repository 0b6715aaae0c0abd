//! `[[application]]` of `gateway.toml`: what peers may be given.

use std::collections::BTreeMap;

use crate::config::port::FORMS;
use crate::config::reader::{Complaint, Reader};
use crate::config::row::Row;
use crate::config::sections::host_complaint;
use crate::config::{Host, Origin, PortSpec};

/// Something behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name, unique.
    pub name: String,
    /// What it is reached by; at least one.
    pub hosts: Vec<Host>,
    /// What is allowed; at least one.
    pub ports: Vec<PortSpec>,
    /// What it is, for people.
    pub description: Option<String>,
}

/// Applications, and the number of each name: also of those in error, which have none.
#[derive(Default)]
pub(super) struct Applications {
    pub(super) list: Vec<Application>,
    pub(super) names: BTreeMap<String, (Origin, Option<usize>)>,
}

/// Reads every row. Those in error are left out; their names are kept, so that references to them are no errors too.
pub(super) fn read(reader: &mut Reader<'_>) -> Applications {
    let mut applications = Applications::default();
    let Some(rows) = reader.rows("application") else { return applications };
    for row in Row::all(reader, "application", &rows) {
        read_row(reader, &row, &mut applications);
    }
    applications
}

fn read_row<'a>(reader: &mut Reader<'a>, row: &Row<'a>, applications: &mut Applications) {
    let before = reader.problems.len();
    let name = row.required(reader, "name", "give the application a name, such as `name = \"wiki\"`");
    if let Some((name, origin)) = &name
        && let Some((first, _)) = applications.names.get(*name)
    {
        let message = format!("application `{name}` is there twice, first at {first}");
        reader.complain(origin.clone(), Complaint::new(message, "give each a name of its own"));
    }
    let hosts =
        row.required_list(reader, "hosts", HOSTS_HINT, |text| Host::parse(text).map_err(host_complaint));
    let ports = read_ports(reader, row);
    let description = row.text(reader, "description").map(|(text, _)| text.to_owned());
    let Some((name, origin)) = name else { return };
    let is_good = reader.problems.len() == before;
    let index = is_good.then_some(applications.list.len());
    applications.names.entry(name.to_owned()).or_insert((origin, index));
    if is_good {
        applications.list.push(Application { name: name.to_owned(), hosts, ports, description });
    }
}

const HOSTS_HINT: &str =
    "names, `*.name`, addresses or CIDR blocks, such as `hosts = [\"wiki.corp.example.com\"]`";

fn read_ports<'a>(reader: &mut Reader<'a>, row: &Row<'a>) -> Vec<PortSpec> {
    let ports = row.required_list(reader, "ports", FORMS, |text| {
        let mut ports = Vec::new();
        PortSpec::parse_into(text, &mut ports).map_err(|error| Complaint::new(error, FORMS))?;
        Ok(ports)
    });
    ports.concat()
}
