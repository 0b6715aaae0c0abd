//! The HTTP proxy: CONNECT, plain HTTP in absolute form, and upgrades. hyper reads and writes the messages.

mod authorization;
mod connect;
mod forward;
mod headers;
mod page;
mod request_target;
mod tunnel;
mod upstream;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::shared::Client;
use page::Format;
use request_target::RequestTarget;
use upstream::Upstream;

/// How long the head of a request may take, and how long a connection may rest between two of them.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// Octets of a head, and of what is under way in each direction of a connection.
const MOST_BUFFERED: usize = 64 << 10;

/// The body of an answer: of the host behind the proxy, or a page of the proxy's own.
type Body = Either<Incoming, Full<Bytes>>;

/// One connection of a client.
struct Connection {
    client: Client,
    /// The connection to the last host, kept for the next request.
    upstream: Mutex<Option<Upstream>>,
}

/// Serves one connection until its end, or until its user may no longer use the proxies.
pub(super) async fn serve(stream: TcpStream, client: Client) {
    let was_allowed = client.is_allowed();
    let connection = Arc::new(Connection { client, upstream: Mutex::new(None) });
    let handler = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(connection, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MOST_BUFFERED)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = pin!(served);
    tokio::select! {
        ended = &mut served => if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended badly");
        },
        () = connection.client.revoked(), if was_allowed => {}
    }
}

async fn answer(connection: Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let client = &connection.client;
    client.permit.establish();
    let format = Format::of(request.headers());
    let settings = client.shared.outbound.settings();
    if !client.is_allowed() {
        let refused = client.refusal();
        client.count(&refused);
        return page::refusal(&refused, "", format);
    }
    if let Some(credentials) = &settings.credentials
        && !authorization::is_given(request.headers(), credentials)
    {
        return page::unauthorized(format);
    }
    let target = match RequestTarget::of(&request) {
        Ok(target) => target,
        Err(wrong) => return page::bad_request(wrong, settings.pac_port, format),
    };
    match target {
        RequestTarget::Connect(target) => connect::answer(connection, request, target, format).await,
        RequestTarget::Forward(target) => forward::answer(connection, request, target, format).await,
    }
}
