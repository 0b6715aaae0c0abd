//! What happens to the connector, put into events.

use super::engine::GatewayState;
use crate::config::Config;
use crate::event::{Event, Field, Kind, Severity};
use crate::session::View;
use crate::status::{Colour, DnsStatus};

/// The service started.
pub(super) fn started() -> Event {
    Event::new(Kind::ServiceStarted, concat!("the connector started, version ", env!("CARGO_PKG_VERSION")))
}

/// The service ends in order.
pub(super) fn stopped() -> Event {
    Event::new(Kind::ServiceStopped, "the connector ended in order")
}

/// The configuration was read again and is in force.
pub(super) fn reloaded() -> Event {
    Event::new(Kind::ConfigurationChanged, "the configuration was read again and is in force")
}

/// The configuration was read again and is wrong.
pub(super) fn rejected(error: &anyhow::Error) -> Event {
    Event::new(Kind::ConfigurationRejected, "the changed configuration is not in force, the former one is")
        .with(Field::Reason, format!("{error:#}"))
}

/// Another program changed the system's DNS.
pub(super) fn dns_tampered(dns: &DnsStatus) -> Event {
    Event::new(Kind::SystemTampered, "another program changed the system's DNS")
        .with(Field::Object, &dns.mode)
        .with(Field::State, &dns.state)
}

/// The session's state or its words changed.
pub(super) fn session_changed(before: &View, now: &View) -> Event {
    let severity = match now.colour {
        Colour::Green | Colour::Gray => Severity::Info,
        Colour::Yellow | Colour::Red => Severity::Warn,
    };
    let event = Event { severity, ..Event::new(Kind::SessionChanged, &now.message) };
    event.with(Field::State, now.state.as_str()).with(Field::StateBefore, before.state.as_str())
}

/// A gateway was proven or lost.
pub(super) fn gateway(config: &Config, id: u32, state: GatewayState) -> Event {
    let name = config.gateways.get(id as usize).map_or("", |gateway| gateway.name.as_str());
    let event = match state {
        GatewayState::Proven => Event::new(Kind::GatewayProven, format!("gateway `{name}` answers")),
        GatewayState::Trying | GatewayState::Lost => {
            Event::new(Kind::GatewayLost, format!("gateway `{name}` does not answer"))
        }
    };
    event.with(Field::Gateway, name)
}
