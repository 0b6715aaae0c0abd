//! Why the SIEM does not take events, in words for the person who looks after it.

use std::time::Duration;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What failed.
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
    /// How long to wait before it is tried again, where the SIEM said so.
    pub(super) retry_after: Option<Duration>,
    /// Nothing failed: the SIEM ended a connection that was not used.
    pub(super) is_quiet: bool,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, retry_after: None, is_quiet: false }
    }

    /// The end of a connection that carried nothing.
    pub(super) fn quiet() -> Self {
        Self { is_quiet: true, ..Self::new("the SIEM has closed a connection that was not used") }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
