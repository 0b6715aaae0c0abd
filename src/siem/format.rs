//! An event as one line of text: Common Event Format, Log Event Extended Format, or JSON.
//!
//! docs/events.md is the schema that others rely on. Pure: the same event gives the same line.

mod cef;
mod json;
mod leef;
mod names;
mod text;

use std::time::{Duration, SystemTime};

pub(super) use json::text as write_json_text;

use crate::config::SiemFormat;
use crate::event::{Event, Field, Severity};

/// The maker, as every format names it.
const VENDOR: &str = "OpenZTNA";
/// The product, likewise.
const PRODUCT: &str = "Client Connector";

/// What all events of a device share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) format: SiemFormat,
    /// The device's name.
    pub(super) hostname: String,
    /// What is sent only where it is asked for, and is asked for.
    pub(super) additional: Vec<Field>,
    /// Id of this device.
    pub(super) device_id: String,
}

/// An event of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Its place in the row of all events of this device, from one.
    pub(super) sequence: u64,
    pub(super) event: Event,
}

impl Context {
    /// Adds the event's line to `out`, without a line break anywhere.
    pub(super) fn write(&self, numbered: &Numbered, out: &mut String) {
        match self.format {
            SiemFormat::Cef => cef::write(self, numbered, out),
            SiemFormat::Leef => leef::write(self, numbered, out),
            SiemFormat::Json => json::write(self, numbered, out),
        }
    }

    /// The facts that are sent, in order.
    fn fields<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = (Field, &'a str)> {
        let is_sent = |field: &Field| !is_additional(*field) || self.additional.contains(field);
        let wants_id = self.additional.contains(&Field::DeviceId) && event.field(Field::DeviceId).is_none();
        let own = wants_id.then_some((Field::DeviceId, &*self.device_id));
        let of_event = event.fields.iter().map(|(field, value)| (*field, value.as_str()));
        own.into_iter().chain(of_event.filter(move |(field, value)| is_sent(field) && !value.is_empty()))
    }
}

/// Whether a fact is sent only where `siem_additional_fields` names it: it says who a person is and what they use, or
/// is of no use to machines.
pub(super) fn is_additional(field: Field) -> bool {
    matches!(field, Field::Application | Field::DeviceId | Field::Fix | Field::Uid | Field::User)
}

/// From 0 to 10, as CEF and LEEF count.
fn weight(severity: Severity) -> u8 {
    match severity {
        Severity::Debug => 1,
        Severity::Info => 3,
        Severity::Warn => 6,
        Severity::Error => 8,
    }
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
