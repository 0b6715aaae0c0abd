//! Which of the modes fits this system, found out step by step.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use super::{DnsMode, Resolvconf, Resolved, SYSTEM_FILE, name_servers};
use crate::Error;

/// Where systemd-resolved keeps its own versions of resolv.conf.
const RESOLVED_DIR: &str = "/run/systemd/resolve";

/// The C library's order of asking (nsswitch.conf(5)).
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// The addresses of systemd-resolved's stubs (systemd-resolved.service(8)).
const STUBS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

/// The mode that was found, ready for use.
#[derive(Debug)]
pub enum ProbedMode {
    /// systemd-resolved, connected.
    Resolved(Box<Resolved>),
    /// The program resolvconf(8), which was found.
    Resolvconf(Resolvconf),
    /// The file.
    ResolvConf,
    /// Nothing is to be changed.
    Off,
}

/// What probing found and how.
#[derive(Debug)]
pub struct Probe {
    /// The mode to use.
    pub mode: ProbedMode,
    /// Each step as a sentence for the log.
    pub steps: Vec<String>,
}

/// Finds the mode: the wanted one, or with [`DnsMode::Auto`] systemd-resolved where programs ask it, else resolvconf where
/// it is in charge of the file, else the file itself.
///
/// Where resolvconf is wanted by name and not there, it is the file too.
///
/// # Errors
/// systemd-resolved is wanted by name and not there.
pub async fn probe(wanted: DnsMode) -> Result<Probe, Error> {
    let forced = |mode, text: &str| Probe { mode, steps: vec![text.to_owned()] };
    match wanted {
        DnsMode::Auto => Ok(choose().await),
        DnsMode::Resolved => {
            let resolved = Resolved::connect().await?;
            Ok(forced(ProbedMode::Resolved(Box::new(resolved)), "DNS mode is set to systemd-resolved"))
        }
        DnsMode::Resolvconf => Ok(match Resolvconf::find() {
            Some(found) => forced(ProbedMode::Resolvconf(found), "DNS mode is set to resolvconf"),
            None => forced(
                ProbedMode::ResolvConf,
                "DNS mode is set to resolvconf, which is not installed: using the file",
            ),
        }),
        DnsMode::ResolvConf => Ok(forced(ProbedMode::ResolvConf, "DNS mode is set to resolv.conf")),
        DnsMode::Off => {
            Ok(forced(ProbedMode::Off, "DNS mode is set to off: the system's DNS stays as it is"))
        }
    }
}

async fn choose() -> Probe {
    let (asked, sentence) = programs_ask_resolved(Path::new(SYSTEM_FILE), Path::new(NSSWITCH));
    let mut steps = vec![sentence.to_owned()];
    if !asked {
        return choose_keeper(steps);
    }
    match Resolved::connect().await {
        Ok(resolved) => {
            steps.push("systemd-resolved answers on the system bus: using it".to_owned());
            Probe { mode: ProbedMode::Resolved(Box::new(resolved)), steps }
        }
        Err(error) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            steps.push(format!("systemd-resolved cannot be reached ({reason}): using resolv.conf"));
            Probe { mode: ProbedMode::ResolvConf, steps }
        }
    }
}

/// Whoever keeps the file.
fn choose_keeper(mut steps: Vec<String>) -> Probe {
    let (mode, sentence) = match (Resolvconf::owns(Path::new(SYSTEM_FILE)), Resolvconf::find()) {
        (true, Some(found)) => {
            (ProbedMode::Resolvconf(found), "resolv.conf is made by resolvconf: using that program")
        }
        (true, None) => {
            (ProbedMode::ResolvConf, "resolv.conf was made by resolvconf, which is gone: using the file")
        }
        (false, _) => (ProbedMode::ResolvConf, "using resolv.conf"),
    };
    steps.push(sentence.to_owned());
    Probe { mode, steps }
}

/// Whether names of ordinary programs come to systemd-resolved, and why.
fn programs_ask_resolved(file: &Path, nsswitch: &Path) -> (bool, &'static str) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if name_servers(&text).iter().any(|server| STUBS.contains(&server.ip())) {
        return (true, "resolv.conf asks systemd-resolved's stub");
    }
    let is_resolved_file = file.canonicalize().is_ok_and(|real| real.starts_with(RESOLVED_DIR));
    if !is_resolved_file {
        return (false, "resolv.conf asks other servers than systemd-resolved");
    }
    // In its uplink version the servers of the links are asked directly, past all routing by domain.
    if library_asks_resolved(&std::fs::read_to_string(nsswitch).unwrap_or_default()) {
        (true, "resolv.conf is systemd-resolved's list of uplinks, but the C library asks it first")
    } else {
        (false, "resolv.conf is systemd-resolved's list of uplinks, and programs ask those directly")
    }
}

fn library_asks_resolved(nsswitch: &str) -> bool {
    let hosts = nsswitch.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let before_dns = |hosts: &str| {
        hosts.split_whitespace().take_while(|word| *word != "dns").any(|word| word == "resolve")
    };
    hosts.is_some_and(before_dns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stub_means_resolved_and_other_servers_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        for (text, expected) in [
            ("nameserver 127.0.0.53\noptions edns0 trust-ad\n", true),
            ("nameserver 192.0.2.53\nnameserver 127.0.0.54\n", true),
            ("nameserver 192.0.2.53\n", false),
            ("", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(programs_ask_resolved(&file, Path::new("/none")).0, expected, "{text}");
        }
        assert!(!programs_ask_resolved(Path::new("/none"), Path::new("/none")).0);
    }

    #[test]
    fn library_order_is_read() {
        assert!(library_asks_resolved("passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n"));
        assert!(!library_asks_resolved("hosts: files dns resolve\n"));
        assert!(!library_asks_resolved("#hosts: resolve\nhosts: files dns\n"));
        assert!(!library_asks_resolved(""));
    }
}
