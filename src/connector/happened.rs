//! What happens to the connector, put into events.

use super::engine::GatewayState;
use crate::config::Config;
use crate::event::{Event, Field, Kind, Severity};
use crate::session::View;
use crate::status::Colour;

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
