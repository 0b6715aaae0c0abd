//! A client's connection: drives the handshake, opens what is asked for, and carries the flow.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::associate;
use super::handshake::{Command, Handshake, Request, Step, Version};
use super::reply::{Code, NOWHERE, encode};
use crate::proxy::outbound::Opened;
use crate::proxy::refusal::Refused;
use crate::proxy::shared::{Client, FLOW_LIMITS};
use crate::proxy::target::Target;
use crate::relay::{Early, relay};

/// How long a client may take to say what it wants. Programs do it at once; a person who types it is no client.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Octets that are read at once during the handshake.
const PIECE: usize = 512;

/// Serves one connection until its end, or until its user may no longer use the proxies.
pub(in crate::proxy) async fn serve(stream: TcpStream, client: Client) {
    let was_allowed = client.is_allowed();
    let served = async {
        if let Err(error) = serve_client(stream, &client).await {
            tracing::debug!(%error, "a SOCKS connection ended badly");
        }
    };
    tokio::select! {
        () = served => {}
        () = client.revoked(), if was_allowed => {}
    }
}

async fn serve_client(mut stream: TcpStream, client: &Client) -> io::Result<()> {
    let shaken = timeout(HANDSHAKE_LIMIT, shake_hands(&mut stream, client)).await;
    client.permit.establish();
    let Some((request, early)) = shaken.map_err(io::Error::from)?? else { return Ok(()) };
    if !client.is_allowed() {
        return refuse(stream, client, request.version, &client.refusal()).await;
    }
    match request.command {
        Command::Connect(target) => connect(stream, client, request.version, target, early).await,
        Command::UdpAssociate(port) => associate::serve(stream, client, port).await,
    }
}

/// What the client asks for and what it sent after that, or `None` if it was turned away.
async fn shake_hands(stream: &mut TcpStream, client: &Client) -> io::Result<Option<(Request, Vec<u8>)>> {
    let settings = client.shared.outbound.settings();
    let mut handshake = Handshake::new(settings.credentials.is_some());
    let mut step = handshake.poll();
    loop {
        step = match step {
            Step::Read => {
                let mut piece = [0; PIECE];
                let length = stream.read(&mut piece).await?;
                if length == 0 {
                    return Ok(None);
                }
                handshake.handle_input(&piece[..length]);
                handshake.poll()
            }
            Step::Write(octets) => {
                stream.write_all(&octets).await?;
                handshake.poll()
            }
            Step::Check { username, password } => {
                let credentials = settings.credentials.as_ref();
                let are_right = credentials.is_some_and(|credentials| credentials.are(&username, &password));
                handshake.handle_verdict(are_right)
            }
            Step::Refuse(octets) => {
                stream.write_all(&octets).await?;
                return Ok(None);
            }
            Step::Done(request) => return Ok(Some((request, handshake.into_rest()))),
        };
    }
}

async fn connect(
    mut stream: TcpStream,
    client: &Client,
    version: Version,
    target: Target,
    up: Vec<u8>,
) -> io::Result<()> {
    let outbound = &client.shared.outbound;
    let Opened { stream: far, basis } = match outbound.open(&target).await {
        Ok(far) => far,
        Err(refused) => return refuse(stream, client, version, &refused).await,
    };
    drop(target);
    stream.write_all(&encode(version, Code::Succeeded, NOWHERE)).await?;
    tokio::select! {
        _ = relay(stream, far, Early { up, down: Vec::new() }, FLOW_LIMITS) => {}
        () = outbound.withdrawn(&basis) => {}
    }
    Ok(())
}

async fn refuse(
    mut stream: TcpStream,
    client: &Client,
    version: Version,
    refused: &Refused,
) -> io::Result<()> {
    client.count(refused);
    tracing::debug!(reason = refused.words().reason, "a SOCKS request was not granted");
    stream.write_all(&encode(version, refused.socks_code(), NOWHERE)).await?;
    stream.shutdown().await
}
