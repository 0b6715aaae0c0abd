//! A connector beside other things in one process, on a thread of its own.

use std::path::PathBuf;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use platform::dns_config::DnsMode;
use tokio::sync::oneshot;

use super::{prepare, reach, supervisor};
use crate::config::Config;

/// How it is to run.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// The configuration file; neither the environment nor managed settings change what it says.
    pub config: PathBuf,
    /// Where its state, its socket and its lock are.
    pub state_dir: PathBuf,
    /// How the system's DNS is told about our resolver.
    pub dns_mode: DnsMode,
    /// No TUN is wanted: programs come by the proxies only.
    pub no_tun: bool,
}

/// A running connector; it is told to end when this is dropped.
#[derive(Debug)]
pub struct Service {
    end: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts it. It may not be connected yet: its status tells.
    ///
    /// # Errors
    /// Wrong configuration, another instance, or a state folder that cannot be used.
    pub fn start(options: ServiceOptions) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(&options.config)
            .with_context(|| format!("failed to read file: `{}`", options.config.display()))?;
        let config = Config::parse(&options.config, &text)?;
        let (setup, lock) = prepare(config, options.state_dir, options.dns_mode, reach(options.no_tun))?;
        let (end, ended) = oneshot::channel::<()>();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(supervisor::supervise(setup, async {
                let _ = ended.await; // the sender's end is the end
                "the end"
            }));
            runtime.shutdown_background();
            drop(lock);
            result
        };
        let thread = std::thread::Builder::new().name("connector".to_owned()).spawn(work);
        Ok(Self { end, thread: thread.context("failed to start the connector")? })
    }

    /// Ends it in order, and waits until what it changed is undone.
    ///
    /// # Errors
    /// What it ended with.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow!("failed to end the connector: it had crashed"))?
    }
}
