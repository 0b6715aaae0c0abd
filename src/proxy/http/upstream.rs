//! A connection to a host that speaks HTTP, kept from one request of a client to its next.

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::MOST_BUFFERED;
use crate::proxy::outbound::{Basis, Opened, Outbound};
use crate::proxy::target::Target;

/// A connection to a host.
pub(super) struct Upstream {
    target: Target,
    basis: Basis,
    sender: SendRequest<Incoming>,
}

/// What became of a request.
pub(super) enum Sent {
    /// The host has answered.
    Answered(Response<Incoming>),
    /// Nothing of it has left: it can be sent on another connection.
    Unsent(Box<Request<Incoming>>),
    /// Nobody knows how far it came.
    Failed(hyper::Error),
}

impl Upstream {
    /// Begins to speak HTTP on a connection to `target`.
    pub(super) async fn new(target: Target, opened: Opened, outbound: Outbound) -> hyper::Result<Self> {
        let Opened { stream, basis } = opened;
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MOST_BUFFERED)
            .handshake(TokioIo::new(stream))
            .await?;
        let rests_on = basis.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection.with_upgrades() => if let Err(error) = ended {
                    tracing::debug!(%error, "an HTTP connection to a host ended badly");
                },
                () = outbound.withdrawn(&rests_on) => {}
            }
        });
        Ok(Self { target, basis, sender })
    }

    /// What the connection rests on.
    pub(super) fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Whether the next request to `target` may be sent here.
    pub(super) fn serves(&self, target: &Target) -> bool {
        self.target == *target && !self.sender.is_closed()
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(&mut self, request: Request<Incoming>) -> Sent {
        if self.sender.ready().await.is_err() {
            return Sent::Unsent(Box::new(request));
        }
        match self.sender.try_send_request(request).await {
            Ok(response) => Sent::Answered(response),
            Err(mut failed) => match failed.take_message() {
                Some(request) => Sent::Unsent(Box::new(request)),
                None => Sent::Failed(failed.into_error()),
            },
        }
    }
}
