//! The kinds of events. Their ids and names are relied upon by rules of SIEMs: they never change and are never reused.

use serde::{Deserialize, Serialize};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Of interest to who looks for a cause.
    Debug,
    /// As it should be.
    Info,
    /// Somebody should look.
    Warn,
    /// Something does not work, or was attacked.
    Error,
}

impl Severity {
    /// The word of `[logging] siem_log_level`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $id:literal $name:literal $severity:ident,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Each kind, in the order of the ids.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable number.
            #[must_use]
            pub fn id(self) -> u16 {
                match self { $(Self::$variant => $id,)* }
            }

            /// The stable name: what it is about, a dot, what happened.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How much it usually matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

kinds! {
    /// The service started.
    ServiceStarted = 100 "service.started" Info,
    /// The service ends in order.
    ServiceStopped = 101 "service.stopped" Info,
    /// The session's state changed; [`super::Field::State`] has the new one.
    SessionChanged = 110 "session.changed" Info,
    /// A gateway answers.
    GatewayProven = 120 "gateway.proven" Info,
    /// A gateway does not answer any more.
    GatewayLost = 121 "gateway.lost" Warn,
    /// The device was assessed, and all that is required holds.
    PosturePassed = 200 "posture.passed" Info,
    /// The device was assessed, and something that is required does not hold.
    PostureFailed = 201 "posture.failed" Warn,
    /// One check changed.
    CheckChanged = 202 "posture.check_changed" Info,
    /// A flow to an application began.
    AccessAllowed = 300 "access.allowed" Info,
    /// A flow to an application was refused.
    AccessRefused = 301 "access.refused" Warn,
    /// A flow to an application ended.
    AccessEnded = 302 "access.ended" Info,
    /// Flows lost their right and were reset.
    AccessRevoked = 303 "access.revoked" Warn,
    /// What is allowed changed.
    PolicyChanged = 400 "policy.changed" Info,
    /// The configuration was read again and is in force.
    ConfigurationChanged = 500 "configuration.changed" Info,
    /// The configuration was read again and is wrong; the former one stays in force.
    ConfigurationRejected = 501 "configuration.rejected" Error,
    /// Somebody steered the connector.
    Steered = 510 "steering.done" Info,
    /// Somebody tried to steer or read the connector and may not.
    SteeringRefused = 511 "steering.refused" Warn,
    /// Something of ours on the system was changed by another, and was put back or given up.
    SystemTampered = 600 "tamper.system" Warn,
    /// The spool of events has a gap or was edited.
    SpoolTampered = 601 "tamper.spool" Error,
    /// A test event that a person asked for.
    SiemTest = 900 "siem.test" Info,
    /// Events could not be kept; [`super::Field::Count`] says how many.
    EventsLost = 901 "siem.events_lost" Error,
    /// The head of the chain of events so far.
    ChainHead = 902 "siem.chain_head" Info,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_ids_ascend() {
        assert!(Kind::ALL.is_sorted_by(|a, b| a.id() < b.id()));
        assert!(Kind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
