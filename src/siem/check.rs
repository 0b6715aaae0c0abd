//! What a person asks by hand: does the SIEM take an event, and are the kept events as they were.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::chain::heads;
use super::dial::Dial;
use super::format::Numbered;
use super::problem::Problem;
use super::settings::Settings;
use super::spool;
use super::transport::Transport;
use crate::config::{Config, SiemDestination, SyslogTransport};
use crate::event::{Event, Kind};
use crate::look_up::NameService;

/// How long a confirmation may take.
const CONFIRMATION: Duration = Duration::from_secs(60);
/// How long a stream must live after its peer's system took the event.
const SETTLED: Duration = Duration::from_secs(1);

/// What came of a look through the kept events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was looked at, in sentences.
    pub lines: Vec<String>,
    /// What is not as it was, in sentences.
    pub findings: Vec<String>,
}

/// Sends a test event past the spool, and tells `say` of each step.
///
/// # Errors
/// Why the SIEM does not take it, or that none is configured.
pub async fn send_test(config: &Config, state_dir: &Path, say: &dyn Fn(&str)) -> Result<(), Problem> {
    let Some(settings) = Settings::of_destination(config, state_dir) else {
        return Err(Problem::new("no SIEM is configured")
            .hint("set `siem_destination` in `[logging]`, and `siem_integration = true`"));
    };
    say(&format!("destination: {} as {}", settings.destination, config.logging.siem_format.as_str()));
    if !config.logging.siem_integration.value {
        say("`siem_integration` is off: only this test event is sent");
    }
    let dial = Dial { settings: &settings, names: NameService::System, say };
    let mut transport = Transport::open(&dial).await?;
    let event = Event::new(Kind::SiemTest, "a person asked for this test event");
    let id = event.id;
    transport.send(&[Numbered { sequence: 0, event }]).await?;
    if transport.take_refused() > 0 {
        return Err(Problem::new("the SIEM answers, but refuses the event"));
    }
    say(&format!("sent: event siem.test (900) with the id {id}"));
    let start = Instant::now();
    while transport.confirmed(SETTLED).await?.is_none() {
        if start.elapsed() > CONFIRMATION {
            return Err(Problem::new("the SIEM does not confirm the event"));
        }
        tokio::time::timeout(SETTLED, transport.wait()).await.unwrap_or(Ok(()))?;
    }
    say(outcome(&settings));
    Ok(())
}

fn outcome(settings: &Settings) -> &'static str {
    match &settings.destination {
        SiemDestination::Syslog { transport: SyslogTransport::Udp, .. } => {
            "UDP confirms nothing: look for the event in the SIEM"
        }
        SiemDestination::Syslog { .. } if settings.proxy.is_some() => {
            "the proxy's system has acknowledged it: look for the event in the SIEM"
        }
        SiemDestination::Syslog { transport: SyslogTransport::Tcp | SyslogTransport::Tls, .. } => {
            "the SIEM's system has acknowledged it: look for the event in the SIEM"
        }
        SiemDestination::Hec { .. } => "the SIEM has taken it",
        SiemDestination::File(_) => "it is in the file",
    }
}

/// Looks through the kept events; `witnesses` are lines of the SIEM with the heads that it has.
///
/// # Errors
/// When they cannot be read.
pub fn verify(state_dir: &Path, witnesses: Option<&str>) -> io::Result<Verified> {
    let heads = witnesses.map(heads).unwrap_or_default();
    let verdict = spool::verify(&spool::folder(state_dir), &heads)?;
    let range = verdict.range.map_or("no events are kept".to_owned(), |(first, last)| {
        format!("{} events are kept, {first} to {last}", verdict.events)
    });
    let mut lines = vec![range];
    if witnesses.is_some() {
        let (all, proven, outside) = (heads.len(), verdict.proven, verdict.outside);
        lines.push(format!(
            "of {all} heads of the SIEM {proven} agree; {outside} are of events given up since"
        ));
    } else {
        lines.push(
            "without heads of the SIEM (--heads) only edits that did not make the whole chain anew are found"
                .to_owned(),
        );
    }
    let mut findings: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    let more = verdict.found - findings.len() as u64;
    findings.extend((more > 0).then(|| format!("and {more} more")));
    Ok(Verified { lines, findings })
}
