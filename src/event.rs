//! What happened that a security team or a person wants to know: kinds with stable ids, and the facts of each.

mod field;
mod kind;
mod stream;

use std::time::SystemTime;

pub use field::Field;
pub use kind::{Kind, Severity};
pub use stream::{Durable, Events};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// A UUID of version 7 (RFC 9562, section 5.7): later events have greater ids, and one that is sent twice keeps its.
    pub id: uuid::Uuid,
    /// When it happened.
    pub at: SystemTime,
    /// What happened.
    pub kind: Kind,
    /// How much it matters; usually [`Kind::severity`].
    pub severity: Severity,
    /// One sentence for a person, without a full stop.
    pub message: String,
    /// The facts, each field at most once, in the order of [`Field`].
    pub fields: Vec<(Field, String)>,
}

impl Event {
    /// An event that happens now, without facts yet.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            id: uuid::Uuid::now_v7(),
            at: SystemTime::now(),
            kind,
            severity: kind.severity(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    /// The same with another fact; one that is given twice is the later one.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl ToString) -> Self {
        let value = value.to_string();
        match self.fields.binary_search_by_key(&field, |(field, _)| *field) {
            Ok(place) => self.fields[place].1 = value,
            Err(place) => self.fields.insert(place, (field, value)),
        }
        self
    }

    /// The fact, if it is known.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<&str> {
        let place = self.fields.binary_search_by_key(&field, |(field, _)| *field).ok()?;
        Some(&self.fields[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_in_order_and_each_is_there_once() {
        let event = Event::new(Kind::AccessRefused, "refused")
            .with(Field::Reason, "port")
            .with(Field::Application, "wiki")
            .with(Field::Reason, "device");
        assert_eq!(event.fields.len(), 2);
        assert!(event.fields.is_sorted_by_key(|(field, _)| *field));
        assert_eq!(event.field(Field::Reason), Some("device"));
        assert_eq!(event.field(Field::User), None);
    }

    #[test]
    fn later_events_have_greater_ids() {
        let ids: Vec<_> = (0..1_000).map(|_| Event::new(Kind::SiemTest, "").id).collect();
        assert!(ids.is_sorted());
    }
}
