//! `apps`: the applications, and whether each can be reached.

use std::process::ExitCode;

use anyhow::Context;
use axum::http::Method;
use serde::{Deserialize, Serialize};

use super::{control, output};
use crate::api::client;
use crate::error::Exit;
use crate::status::ApplicationStatus;

#[derive(Serialize, Deserialize)]
struct Applications {
    applications: Vec<ApplicationStatus>,
}

/// Shows them; `json` as the API has them.
pub(super) fn apps(json: bool) -> anyhow::Result<ExitCode> {
    let path = "/api/v1/applications";
    let all: Applications = control::ask(async |socket| client::request(socket, Method::GET, path).await)?;
    if json {
        output::line(&serde_json::to_string_pretty(&all).context("failed to write applications as JSON")?);
        return Ok(Exit::Success.into());
    }
    if all.applications.is_empty() {
        output::line("No application is configured");
    }
    for application in &all.applications {
        output::line(&shown(application));
    }
    Ok(Exit::Success.into())
}

fn shown(application: &ApplicationStatus) -> String {
    let ApplicationStatus { name, hosts, host_count, ports, gateway, state, .. } = application;
    let more = host_count.saturating_sub(hosts.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let about = application.description.as_ref().or(application.url.as_ref());
    let about = about.map(|about| format!("\n  {about}")).unwrap_or_default();
    format!("{name}: {state}\n  {}{more}, {}, by {gateway}{about}", hosts.join(", "), ports.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_shows_its_state_and_where_it_is() {
        let application = ApplicationStatus {
            name: "wiki".to_owned(),
            hosts: vec!["wiki.corp.example.com".to_owned()],
            host_count: 3,
            ports: vec!["tcp/443".to_owned()],
            gateway: "hq".to_owned(),
            state: "available".to_owned(),
            reason: None,
            flows: 0,
            last_refusal: None,
            description: Some("The wiki".to_owned()),
            url: None,
        };
        let expected = "wiki: available\n  wiki.corp.example.com and 2 more, tcp/443, by hq\n  The wiki";
        assert_eq!(shown(&application), expected);
    }
}
