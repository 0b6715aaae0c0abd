//! The proxies beside the connection: they run as long as the program, and answer "disconnected" while it is that.

use crate::dialer::Dialer;
use crate::proxy::{Proxies, Report, Settings, State};
use crate::status::{ProxyPort, ProxyStatus};

use super::{Reach, Setup, supervisor};

/// Starts them as the configuration wants; a port that is taken is said in the status.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(setup: &Setup, dialer: Dialer) -> std::io::Result<Proxies> {
    Proxies::start(settings(setup), dialer)
}

/// What they are to do now.
pub(super) fn settings(setup: &Setup) -> Settings {
    Settings::new(&setup.config, supervisor::access(setup))
}

/// For `status`.
pub(super) fn status(report: &Report) -> ProxyStatus {
    let ports = report.ports.iter().map(|(kind, state)| {
        let (address, error) = match state {
            State::Listening(address) => (Some(address.to_string()), None),
            State::Failed { port, error } => (None, Some(format!("port {port}: {error}"))),
        };
        ProxyPort { serves: kind.to_string(), address, error }
    });
    ProxyStatus {
        ports: ports.collect(),
        connections: report.connections as u64,
        accepted: report.totals.accepted,
        refused: report.totals.refused,
        failed: report.totals.failed,
    }
}

/// What the person should know of them.
pub(super) fn warnings(setup: &Setup, report: &Report) -> Vec<String> {
    let failed = report.ports.iter().filter_map(|(kind, state)| match state {
        State::Listening(_) => None,
        State::Failed { port, error } => Some(format!(
            "{kind} cannot be served on port {port}: {error}; hint: stop the program that has the port, or choose \
             another one in the configuration"
        )),
    });
    let is_alone = setup.reach != Reach::Everything && settings(setup).is_off();
    let alone = is_alone.then(|| {
        "no TUN and no proxy: nothing can be reached; hint: set `socks_proxy` or `http_proxy` of `[proxy]`"
            .to_owned()
    });
    failed.chain(alone).collect()
}
