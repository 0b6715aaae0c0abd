//! CONNECT: a tunnel through the proxy (RFC 9110, section 9.3.6).

use std::sync::Arc;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::{Request, Response};

use super::page::{self, Format};
use super::{Body, Connection, tunnel};
use crate::proxy::target::Target;

/// Opens the tunnel, or says why not.
pub(super) async fn answer(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
    target: Target,
    format: Format,
) -> Response<Body> {
    let far = match connection.client.shared.outbound.open(&target).await {
        Ok(far) => far,
        Err(refused) => {
            connection.client.count(&refused);
            return page::refusal(&refused, &target.to_string(), format);
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(tunnel::between_client_and(far, upgrade, connection));
    let mut response = Response::new(Either::Right(Full::new(Bytes::new())));
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Connection established"));
    response
}
