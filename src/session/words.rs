//! The words of the session: message and hint of each state.

use super::{Link, Session};
use crate::status::State;

/// What is said where protected destinations are refused.
const BLOCKED: &str = "protected destinations are blocked";

/// What is said where gateways are silent: flows that exist are kept, since the gateway may come back.
const REFUSED: &str = "new connections to protected destinations are refused";

/// Message and hint of a state.
pub(super) fn describe(session: &Session, state: State) -> (String, Option<String>) {
    match state {
        State::Disconnected => disconnected(session),
        State::Connecting => connecting(session),
        State::Connected => (format!("Connected: {} answers", gateways(&session.names(Link::Proven))), None),
        State::Degraded => degraded(session),
        State::Blocked => blocked(session),
        State::Failed => failed(session),
    }
}

fn disconnected(session: &Session) -> (String, Option<String>) {
    if session.is_stopped {
        return ("Stopped: what was changed on the system is undone".to_owned(), None);
    }
    let hint = "run `openztna-client-connector up` to connect".to_owned();
    ("Disconnected: applications are not reachable through the connector".to_owned(), Some(hint))
}

fn connecting(session: &Session) -> (String, Option<String>) {
    let message = format!("Connecting: waiting for {}", gateways(&session.names(Link::Waiting)));
    (with_fault(session, message), fault_hint(session))
}

fn degraded(session: &Session) -> (String, Option<String>) {
    let mut message = format!("Connected: {} answers", gateways(&session.names(Link::Proven)));
    for (link, verb) in [
        (Link::Waiting, "has not answered yet"),
        (Link::Lost, "stopped answering"),
        (Link::TimedOut, "does not answer"),
    ] {
        let names = session.names(link);
        if !names.is_empty() {
            message = format!("{message}; {} {verb}", gateways(&names));
        }
    }
    let hint = fault_hint(session).or_else(|| is_unreachable(session).then(unreachable_hint));
    (with_fault(session, message), hint)
}

fn blocked(session: &Session) -> (String, Option<String>) {
    let Some(denial) = &session.denial else { return (BLOCKED.to_owned(), None) };
    (format!("{}: {BLOCKED}", denial.message), denial.hint.clone())
}

fn failed(session: &Session) -> (String, Option<String>) {
    if let Some(fault) = session.fault.as_ref().filter(|fault| fault.severity == super::Severity::Fatal) {
        return (format!("Not connected: {}", fault.what), fault.hint.clone());
    }
    if session.gateways.is_empty() {
        return (
            "No gateway is configured".to_owned(),
            Some("add a `[[gateway]]` to the configuration".to_owned()),
        );
    }
    let (lost, timed_out) = (session.names(Link::Lost), session.names(Link::TimedOut));
    let message = match (lost.is_empty(), timed_out.is_empty()) {
        (false, true) => format!("{} stopped answering", gateways(&lost)),
        (false, false) => {
            format!("{} stopped answering and {} does not answer", gateways(&lost), gateways(&timed_out))
        }
        (true, _) => format!("{} does not answer", gateways(&timed_out)),
    };
    (with_fault(session, format!("Not connected: {message}; {REFUSED}")), Some(unreachable_hint()))
}

fn is_unreachable(session: &Session) -> bool {
    !session.names(Link::Lost).is_empty() || !session.names(Link::TimedOut).is_empty()
}

fn unreachable_hint() -> String {
    "check this device's network and that UDP passes, then `endpoint` and `public_key` of the gateway, and that the \
     gateway knows our public key (it is in `status`); it is tried again by itself"
        .to_owned()
}

fn with_fault(session: &Session, message: String) -> String {
    match &session.fault {
        Some(fault) => format!("{message}; {}", fault.what),
        None => message,
    }
}

fn fault_hint(session: &Session) -> Option<String> {
    session.fault.as_ref().and_then(|fault| fault.hint.clone())
}

fn gateways(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("gateway {}", names.join(", "))
}
