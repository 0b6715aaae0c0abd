//! Plain HTTP: the request is sent on to its host, and the answer back.

use std::io;
use std::sync::Arc;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::{Request, Response, StatusCode};

use super::page::{self, Format};
use super::upstream::{Sent, Upstream};
use super::{Body, Connection, headers, tunnel};
use crate::dialer::DialError;
use crate::proxy::outbound::Basis;
use crate::proxy::refusal::Refused;
use crate::proxy::target::Target;

/// Sends the request on, or says why not.
pub(super) async fn answer(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
    target: Target,
    format: Format,
) -> Response<Body> {
    let wants_upgrade = request.headers().contains_key(UPGRADE);
    let near = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    let (mut head, body) = request.into_parts();
    headers::prepare_request(&mut head, wants_upgrade);
    let (mut response, basis) = match send(&connection, Request::from_parts(head, body), &target).await {
        Ok(answered) => answered,
        Err(refused) => {
            connection.client.count(&refused);
            return page::refusal(&refused, &target.to_string(), format);
        }
    };
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_upgrade {
        let Some(near) = near else {
            return page::refusal(&unasked_upgrade(), &target.to_string(), format);
        };
        let far = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel::between(near, far, basis, connection));
    }
    headers::prepare_response(response.headers_mut(), is_upgrade);
    response.map(Either::Left)
}

/// Sends the request on the connection that is there, or on a new one.
async fn send(
    connection: &Connection,
    mut request: Request<Incoming>,
    target: &Target,
) -> Result<(Response<Incoming>, Basis), Refused> {
    // requests of one client come one after the other, so nobody else waits for it
    let mut kept = connection.upstream.lock().await;
    if let Some(mut upstream) = kept.take().filter(|upstream| upstream.serves(target)) {
        match upstream.send(request).await {
            Sent::Answered(response) => {
                let basis = upstream.basis().clone();
                *kept = Some(upstream);
                return Ok((response, basis));
            }
            Sent::Unsent(unsent) => request = *unsent,
            Sent::Failed(error) => return Err(failure(error)),
        }
    }
    let outbound = &connection.client.shared.outbound;
    let opened = outbound.open(target).await?;
    let mut upstream = Upstream::new(target.clone(), opened, outbound.clone()).await.map_err(failure)?;
    match upstream.send(request).await {
        Sent::Answered(response) => {
            let basis = upstream.basis().clone();
            *kept = Some(upstream);
            Ok((response, basis))
        }
        Sent::Unsent(_) => Err(DialError::from(io::Error::from(io::ErrorKind::ConnectionReset)).into()),
        Sent::Failed(error) => Err(failure(error)),
    }
}

fn failure(error: hyper::Error) -> Refused {
    DialError::Io(io::Error::other(error)).into()
}

fn unasked_upgrade() -> Refused {
    DialError::Io(io::Error::other("the host changed the protocol, though nobody had asked for it")).into()
}
