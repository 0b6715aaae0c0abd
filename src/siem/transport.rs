//! Ways to the SIEM: each takes events in order, and says how far they have arrived, as well as it can know.

mod answer;
mod datagrams;
mod file;
mod hec;
mod stream;

use std::time::Duration;

use super::dial::Dial;
use super::format::Numbered;
use super::problem::Problem;
use crate::config::{SiemDestination, SyslogTransport};

/// How long a SIEM may take nothing, or not answer, until it counts as gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open way.
pub(super) enum Transport {
    Datagrams(datagrams::Datagrams),
    Stream(Box<stream::Stream>),
    Hec(Box<hec::Hec>),
    File(file::RotatingFile),
}

impl Transport {
    /// Opens the way that the settings name.
    pub(super) async fn open(dial: &Dial<'_>) -> Result<Self, Problem> {
        let context = dial.settings.context.clone();
        Ok(match &dial.settings.destination {
            SiemDestination::Syslog { transport: SyslogTransport::Udp, endpoint } => {
                Self::Datagrams(datagrams::Datagrams::new(dial.datagrams(endpoint).await?, context))
            }
            SiemDestination::Syslog { transport: SyslogTransport::Tcp, endpoint } => {
                Self::Stream(Box::new(stream::Stream::new(dial.line(endpoint, false).await?, context)))
            }
            SiemDestination::Syslog { transport: SyslogTransport::Tls, endpoint } => {
                Self::Stream(Box::new(stream::Stream::new(dial.line(endpoint, true).await?, context)))
            }
            SiemDestination::Hec { is_tls, endpoint, path } => {
                Self::Hec(Box::new(hec::Hec::open(dial, *is_tls, endpoint, path).await?))
            }
            SiemDestination::File(path) => Self::File(file::RotatingFile::open(path, context)?),
        })
    }

    /// How many events it takes now.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Datagrams(_) | Self::File(_) => 256,
            Self::Stream(stream) => stream.room(),
            Self::Hec(hec) => hec.room(),
        }
    }

    /// Sends events, which follow those that were sent before. After a failure another way must be opened.
    pub(super) async fn send(&mut self, events: &[Numbered]) -> Result<(), Problem> {
        match self {
            Self::Datagrams(datagrams) => datagrams.send(events).await,
            Self::Stream(stream) => stream.send(events).await,
            Self::Hec(hec) => hec.send(events).await,
            Self::File(file) => file.send(events),
        }
    }

    /// The number before which the SIEM has everything; `settled` is for how long a stream must live after its peer's
    /// system has taken something: one that ends before may have lost it.
    pub(super) async fn confirmed(&mut self, settled: Duration) -> Result<Option<u64>, Problem> {
        match self {
            Self::Datagrams(datagrams) => Ok(datagrams.confirmed()),
            Self::Stream(stream) => stream.confirmed(settled),
            Self::Hec(hec) => hec.confirmed().await,
            Self::File(file) => Ok(file.confirmed()),
        }
    }

    /// Waits until it is worth to ask again what is confirmed, or until it ends. Nothing is lost when this is dropped.
    pub(super) async fn wait(&mut self) -> Result<(), Problem> {
        match self {
            Self::Datagrams(_) | Self::File(_) => std::future::pending().await,
            Self::Stream(stream) => stream.wait().await,
            Self::Hec(hec) => hec.wait().await,
        }
    }

    /// Whether somebody is known to take events.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Datagrams(_) | Self::File(_) | Self::Stream(_) => true,
            Self::Hec(hec) => hec.is_proven(),
        }
    }

    /// Events that the SIEM refuses for good, since this was last asked.
    pub(super) fn take_refused(&mut self) -> u64 {
        match self {
            Self::Datagrams(_) | Self::File(_) | Self::Stream(_) => 0,
            Self::Hec(hec) => hec.take_refused(),
        }
    }
}
