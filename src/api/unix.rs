//! The router on a Unix socket, with the kernel's word on who is calling.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Caller, Interface};
use crate::http_port::{KeepOpen, serve_connection as serve_http};

/// Connections at a time. A person has one or two; beyond that callers wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 32;

/// Wait after an `accept` that failed for want of memory or descriptors, so that it is not tried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something that is no socket has the name.
    #[error("failed to create control socket: `{}` is another kind of file", .0.display())]
    Occupied(PathBuf),
    /// The system refused.
    #[error("failed to create control socket: `{}`: {error}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl SocketError {
    /// What the person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Occupied(_) => "move the file away",
            Self::System { error, .. } if error.kind() == io::ErrorKind::InvalidInput => {
                "a socket's path has at most 107 octets: set OPENZTNA_STATE_DIR to a shorter one"
            }
            Self::System { .. } => "set OPENZTNA_STATE_DIR to a folder that can be written",
        }
    }
}

/// The listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Listens at `path`. The caller holds the single-instance lock of the folder, so a socket that is there already
    /// is stale and is replaced. The socket takes everybody (0666): the folder and the caller's user decide.
    ///
    /// # Errors
    /// When another kind of file is there, or the system refuses. Must be called within a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let system = |error| SocketError::System { path: path.to_owned(), error };
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(system)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(system)?;
        let metadata = fs::symlink_metadata(path).map_err(system)?;
        Ok(Self { listener, path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }

    /// Serves until `ended` completes; then open connections are cut.
    pub async fn serve(self, router: Router, ended: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(ended);
        loop {
            // Finished connections give their memory back.
            while connections.try_join_next().is_some() {}
            let permit = tokio::select! {
                () = &mut ended => return,
                Ok(permit) = Arc::clone(&permits).acquire_owned() => permit,
            };
            let accepted = tokio::select! {
                () = &mut ended => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let router = router.clone();
                    connections.spawn(async move {
                        serve_connection(stream, router).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection on the control socket");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let is_ours = |metadata: fs::Metadata| (metadata.dev(), metadata.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // A file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::Occupied(path.to_owned()));
    }
    fs::remove_file(path).map_err(|error| SocketError::System { path: path.to_owned(), error })
}

async fn serve_connection(stream: UnixStream, router: Router) {
    let caller = match stream.peer_cred() {
        Ok(credentials) => Caller { uid: credentials.uid() },
        Err(error) => {
            tracing::warn!(%error, "failed to learn who is calling");
            return;
        }
    };
    let open = KeepOpen::default();
    let router =
        router.layer(Extension(caller)).layer(Extension(Interface::Unix)).layer(Extension(open.clone()));
    serve_http(stream, router, open).await;
}
