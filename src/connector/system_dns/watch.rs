//! Waiting for a change of watched files, within the runtime.

use std::io;

use platform::dns_config::FileWatch;
use tokio::io::unix::AsyncFd;

/// A watch that may be missing: then nothing is ever noticed.
pub(in crate::connector) struct Watch(Option<AsyncFd<FileWatch>>);

impl Watch {
    /// Registers a watch with the runtime.
    pub(in crate::connector) fn new(watch: io::Result<FileWatch>) -> Self {
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; the watch owns its descriptor and never changes it"
        )]
        let watch = watch.and_then(AsyncFd::new);
        if let Err(error) = &watch {
            tracing::warn!("failed to watch the system's files: {error}");
        }
        Self(watch.ok())
    }

    /// Waits until one of the files has changed; without a watch for ever.
    pub(in crate::connector) async fn changed(&self) {
        let Some(watch) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut guard) = watch.readable().await else { return std::future::pending().await };
            let changed = watch.get_ref().drain();
            guard.clear_ready();
            match changed {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// Whether one of the files has changed since the last look.
    pub(super) fn has_changed(&self) -> bool {
        self.0.as_ref().is_some_and(|watch| watch.get_ref().drain().unwrap_or(false))
    }
}
