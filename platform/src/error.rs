//! What this crate answers when the operating system refuses: a sentence, its cause, and a hint where one can act.

use std::io;

/// Hint for every refusal that comes from a missing capability.
pub const HINT_NET_ADMIN: &str = "run as root, or give the program the capability CAP_NET_ADMIN";

/// An answer of the operating system that ends what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused or failed one operation.
    #[error("failed to {verb} {object}: `{value}`")]
    System {
        /// What was tried, e.g. `add`.
        verb: &'static str,
        /// On what kind of thing, e.g. `route`.
        object: &'static str,
        /// On which one, e.g. `10.0.0.0/8`.
        value: String,
        /// What the system said.
        source: io::Error,
        /// What a person can do about it.
        hint: Option<&'static str>,
    },
    /// Another instance works on the same state.
    #[error("another instance is running: process {holder} holds `{path}`")]
    Locked {
        /// The file that is locked.
        path: String,
        /// The process that holds the lock, or `?`.
        holder: String,
    },
}

impl Error {
    /// An error of one operation, without a hint.
    pub fn system(verb: &'static str, object: &'static str, value: impl ToString, source: io::Error) -> Self {
        Self::System { verb, object, value: value.to_string(), source, hint: None }
    }

    /// The same error with a hint for the person.
    #[must_use]
    pub fn with_hint(self, text: &'static str) -> Self {
        match self {
            Self::System { verb, object, value, source, hint: _ } => {
                Self::System { verb, object, value, source, hint: Some(text) }
            }
            Self::Locked { path, holder } => Self::Locked { path, holder },
        }
    }

    /// What a person can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::System { hint, .. } => *hint,
            Self::Locked { .. } => {
                Some("stop the other instance, or give this one its own OPENZTNA_STATE_DIR")
            }
        }
    }

    /// The system's own error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Locked { .. } => None,
        }
    }
}
