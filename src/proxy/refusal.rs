//! Why a proxy does not connect: as a code of SOCKS, a status of HTTP, and words for the person.

use hyper::StatusCode;
use netstack::counters::RefusalReason;

use super::socks::reply::Code;
use crate::dialer::{self, DialError};

/// Why a proxy does not connect.
#[derive(Debug)]
pub(super) enum Refused {
    /// The user may not use the proxies.
    User,
    /// The system did not say whose the connection is.
    OwnerUnknown,
    /// It is not protected, and `allow_direct` is off.
    NotProtected,
    /// It leads to this machine itself, or to what trusts its own machine or network.
    ThisMachine,
    /// The dialer says no, or could not.
    Dial(DialError),
}

/// A refusal for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// A stable code.
    pub(super) reason: &'static str,
    /// What happened.
    pub(super) title: &'static str,
    /// The application at the destination.
    pub(super) application: Option<String>,
    /// The rule, or what went wrong.
    pub(super) rule: String,
    /// What the person can do.
    pub(super) hint: String,
}

impl From<DialError> for Refused {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl Refused {
    /// Whether a rule says no, and not the network.
    pub(super) fn is_policy(&self) -> bool {
        self.socks_code() == Code::NotAllowed
    }

    /// The reply of SOCKS5.
    pub(super) fn socks_code(&self) -> Code {
        match self {
            Self::User | Self::NotProtected | Self::ThisMachine => Code::NotAllowed,
            Self::OwnerUnknown => Code::GeneralFailure,
            Self::Dial(error) => dial_code(error),
        }
    }

    /// The status of HTTP.
    pub(super) fn http_status(&self) -> StatusCode {
        match self {
            Self::OwnerUnknown | Self::Dial(DialError::Disconnected | DialError::Busy) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Dial(DialError::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial(DialError::Refused(refusal)) if is_out_of_reach(refusal) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            refused if refused.is_policy() => StatusCode::FORBIDDEN,
            Self::User | Self::NotProtected | Self::ThisMachine | Self::Dial(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The refusal for a person.
    pub(super) fn words(&self) -> Words {
        match self {
            Self::Dial(DialError::Refused(refusal)) => Words {
                reason: refusal.reason.code(),
                title: if is_out_of_reach(refusal) { "The gateway does not answer" } else { "Access denied" },
                application: refusal.application.clone(),
                rule: refusal.rule.clone(),
                hint: refusal.hint.clone(),
            },
            Self::User => denied(
                "user_not_allowed",
                "this user may not use the connector: `allowed_users` in `[tunneling]` names others",
                "ask your administrator for access",
            ),
            Self::OwnerUnknown => Words {
                reason: "owner_unknown",
                title: "Too many connections at one time",
                application: None,
                rule: "the system did not say whose this connection is, mostly for want of descriptors"
                    .to_owned(),
                hint: "close connections that are not needed, and try again".to_owned(),
            },
            Self::NotProtected => denied(
                "not_protected",
                "no application covers this destination, and `allow_direct` in `[proxy]` is off",
                "reach it without the proxy, or ask your administrator for access",
            ),
            Self::ThisMachine => denied(
                "this_machine",
                "the destination is this device itself, or an address that is never reached through a proxy",
                "reach it without the proxy",
            ),
            Self::Dial(error) => failure(error),
        }
    }
}

fn dial_code(error: &DialError) -> Code {
    match error {
        DialError::Refused(refusal) if is_out_of_reach(refusal) => Code::HostUnreachable,
        DialError::Refused(_) => Code::NotAllowed,
        DialError::NotFound | DialError::NameServerFailed | DialError::HostUnreachable => {
            Code::HostUnreachable
        }
        DialError::ConnectionRefused => Code::ConnectionRefused,
        DialError::NetworkUnreachable | DialError::Disconnected => Code::NetworkUnreachable,
        DialError::TimedOut => Code::TtlExpired,
        DialError::Busy | DialError::Io(_) => Code::GeneralFailure,
    }
}

/// No matter of rights: it may pass.
fn is_out_of_reach(refusal: &dialer::Refusal) -> bool {
    refusal.reason == RefusalReason::GatewayUnreachable
}

fn denied(reason: &'static str, rule: &str, hint: &str) -> Words {
    Words { reason, title: "Access denied", application: None, rule: rule.to_owned(), hint: hint.to_owned() }
}

fn failure(error: &DialError) -> Words {
    let (reason, title, hint) = match error {
        DialError::NotFound => ("not_found", "There is no such host", "check how the name is written"),
        DialError::NameServerFailed => (
            "name_server_failed",
            "The name could not be resolved",
            "try again; if it stays so, see `status`",
        ),
        DialError::ConnectionRefused => (
            "connection_refused",
            "The host refused the connection",
            "check the port, and whether the service runs",
        ),
        DialError::NetworkUnreachable => {
            ("network_unreachable", "The network is out of reach", "check this device's network")
        }
        DialError::HostUnreachable => {
            ("host_unreachable", "The host is out of reach", "check whether the host runs")
        }
        DialError::TimedOut => ("timed_out", "The host did not answer", "check whether the host runs"),
        DialError::Disconnected => (
            "disconnected",
            "The connector is disconnected",
            "run `openztna-client-connector up`, or see `openztna-client-connector status`",
        ),
        DialError::Busy => (
            "busy",
            "Too many connections at one time",
            "close connections that are not needed, and try again",
        ),
        DialError::Io(_) | DialError::Refused(_) => {
            ("failed", "The connection could not be opened", "try again")
        }
    };
    Words { reason, title, application: None, rule: error.to_string(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_failure_has_its_code_its_status_and_its_words() {
        let refusal = |reason| {
            let rule = "`wiki` allows tcp/443, not tcp/22".to_owned();
            let application = Some("wiki".to_owned());
            Refused::Dial(DialError::Refused(dialer::Refusal {
                application,
                rule,
                reason,
                hint: "ask".to_owned(),
            }))
        };
        let io = || DialError::Io(io::Error::from(io::ErrorKind::OutOfMemory));
        for (refused, code, status, reason) in [
            (refusal(RefusalReason::PortNotAllowed), 2, 403, "port_not_allowed"),
            (refusal(RefusalReason::GatewayUnreachable), 4, 504, "gateway_unreachable"),
            (Refused::User, 2, 403, "user_not_allowed"),
            (Refused::OwnerUnknown, 1, 503, "owner_unknown"),
            (Refused::NotProtected, 2, 403, "not_protected"),
            (Refused::ThisMachine, 2, 403, "this_machine"),
            (DialError::NotFound.into(), 4, 502, "not_found"),
            (DialError::NameServerFailed.into(), 4, 502, "name_server_failed"),
            (DialError::ConnectionRefused.into(), 5, 502, "connection_refused"),
            (DialError::NetworkUnreachable.into(), 3, 502, "network_unreachable"),
            (DialError::HostUnreachable.into(), 4, 502, "host_unreachable"),
            (DialError::TimedOut.into(), 6, 504, "timed_out"),
            (DialError::Disconnected.into(), 3, 503, "disconnected"),
            (DialError::Busy.into(), 1, 503, "busy"),
            (io().into(), 1, 502, "failed"),
        ] {
            let words = refused.words();
            assert_eq!(
                (refused.socks_code() as u8, refused.http_status().as_u16(), words.reason),
                (code, status, reason)
            );
            assert!(!words.rule.is_empty() && !words.hint.is_empty(), "{reason}");
        }
    }
}
