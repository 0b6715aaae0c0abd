//! What changed between two assessments, as events.

use super::evaluate::{Assessment, CheckResult};
use crate::event::{Event, Field, Kind, Severity};
use crate::status::{CheckState, DeviceState};

/// What is worth telling: another verdict, and each check that went another way.
#[must_use]
pub fn events(before: &Assessment, now: &Assessment) -> Vec<Event> {
    let mut events: Vec<Event> =
        now.checks.iter().filter_map(|result| check_changed(before, result)).collect();
    let (was, is) = ((before.state, before.message()), (now.state, now.message()));
    match now.state {
        DeviceState::Passed if was.0 != is.0 => events.push(Event::new(Kind::PosturePassed, is.1)),
        DeviceState::Failed if was != is => {
            let blocked = now.withheld.len();
            events.push(Event::new(Kind::PostureFailed, is.1).with(Field::Count, blocked));
        }
        DeviceState::Passed | DeviceState::Failed | DeviceState::Unknown | DeviceState::Off => {}
    }
    events
}

/// The first look at something is no change.
fn check_changed(before: &Assessment, now: &CheckResult) -> Option<Event> {
    let was = before.checks.iter().find(|result| result.check == now.check)?;
    if was.state == now.state || was.at.is_none() {
        return None;
    }
    let words = now.reason.clone().unwrap_or_else(|| now.seen.clone());
    let severity = match (now.state, now.is_required) {
        (CheckState::Passed, _) | (_, false) => Severity::Info,
        (CheckState::Failed | CheckState::Unknown, true) => Severity::Warn,
    };
    let event =
        Event { severity, ..Event::new(Kind::CheckChanged, format!("{}: {words}", now.check.title())) };
    let event = event.with(Field::Check, now.check.id()).with(Field::State, now.state.as_str());
    let event = event.with(Field::StateBefore, was.state.as_str());
    let event = match &now.reason {
        Some(reason) => event.with(Field::Reason, reason),
        None => event,
    };
    Some(match &now.fix {
        Some(fix) => event.with(Field::Fix, fix),
        None => event,
    })
}
