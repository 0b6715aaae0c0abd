//! The router on a real Unix socket: answers, refusals, problems, stale files, limits.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::ClientError;
use super::*;
use crate::status::{Colour, DnsStatus, State as SessionState};
use axum::extract::{Extension, Request};

fn example() -> Status {
    Status {
        version: "0.1.0".into(),
        state: SessionState::Connected,
        colour: Colour::Green,
        message: "Connected".into(),
        hint: None,
        since: "2026-01-02T03:04:05Z".into(),
        gateways: Vec::new(),
        applications: Vec::new(),
        dns: DnsStatus::default(),
        device: None,
        proxies: None,
        carrier: None,
        system_changes: Vec::new(),
        siem: crate::status::SiemStatus::default(),
        drops: BTreeMap::new(),
        warnings: Vec::new(),
        not_effective: Vec::new(),
    }
}

mod attacks;

/// An API that asks for the token `secret`, with everybody allowed.
pub(super) fn settings(address: Option<std::net::SocketAddr>) -> Settings {
    let config = vec![crate::config::EffectiveSetting {
        key: "api.port".to_owned(),
        value: "8086".to_owned(),
        origin: crate::config::Origin::Default,
        is_effective: true,
    }];
    let token = crate::config::Secret::new("secret".to_owned());
    let personal = crate::personal::Personal::default();
    let defaults = crate::config::Config::parse(Path::new("c.toml"), "").unwrap();
    let personal = personal.in_force(&defaults);
    let (metrics, health) = (None, None);
    Settings { address, metrics, health, require_auth: true, token, access: everybody(), config, personal }
}

/// A handle without a connector behind it; the receiver is where its commands come.
pub(super) fn handle(settings: Settings) -> (ControlHandle, mpsc::Receiver<Command>) {
    let (commands, received) = mpsc::channel(1);
    let (status, settings) =
        (watch::Sender::new(Arc::new(example())), watch::Sender::new(Arc::new(settings)));
    let (events, device) = (Events::default(), Assessor::resting());
    let handle = ControlHandle::new(status.subscribe(), commands, settings.subscribe(), events, device);
    std::mem::forget((status, settings)); // a sender that is dropped is the connector's end
    (handle, received)
}

/// Serves on a socket of its own while `test` runs; `command` plays the connector.
fn with_service<T>(
    access: Access,
    command: impl Fn(Command) + Send + 'static,
    test: impl AsyncFnOnce(&Path) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connector.sock");
        let (handle, mut received) = handle(Settings { access, ..settings(None) });
        let socket = ControlSocket::bind(&path).unwrap();
        let router = unix_router(handle);
        let (end, ended) = oneshot::channel::<()>();
        let service = tokio::spawn(socket.serve(router, async move { drop(ended.await) }));
        let connector = tokio::spawn(async move {
            while let Some(next) = received.recv().await {
                command(next);
            }
        });
        let result = test(&path).await;
        drop(end);
        service.await.unwrap();
        connector.abort();
        assert!(!path.exists(), "the socket is removed at the end");
        result
    })
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid()
}

fn everybody() -> Access {
    Access::new(own_uid(), None)
}

/// Sends raw text and reads until the end.
async fn talk(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The service may cut the connection after its answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn status_comes_as_it_was_published() {
    let status = with_service(everybody(), |_| {}, async |path| client::get_status(path).await.unwrap());
    assert_eq!(status, example());
}

#[test]
fn status_comes_even_when_the_engine_does_not_answer() {
    let (keep, kept) = std::sync::mpsc::sync_channel(1);
    let hold = move |command| keep.send(command).unwrap();
    let status = with_service(everybody(), hold, async |path| client::get_status(path).await.unwrap());
    assert_eq!(status, example());
    assert!(matches!(kept.recv().unwrap(), Command::Refresh { .. }));
}

#[test]
fn commands_reach_the_connector_and_are_answered() {
    let obey = |command| match command {
        Command::Up { reply } => reply.send(Ok(())).unwrap(),
        Command::Refresh { reply } => reply.send(()).unwrap(),
        Command::Flows { .. } | Command::Names { .. } | Command::Personal { .. } => panic!("nobody asked"),
        Command::Down { reply } => {
            let error = CommandError { message: "busy".into(), hint: Some("wait".into()) };
            reply.send(Err(error)).unwrap();
        }
    };
    with_service(everybody(), obey, async |path| {
        assert_eq!(client::connect(path).await.unwrap(), example());
        let Err(ClientError::Problem(problem)) = client::disconnect(path).await else { panic!("a problem") };
        assert_eq!(
            (problem.status, problem.detail.as_str(), problem.hint.as_deref()),
            (409, "busy", Some("wait"))
        );
    });
}

#[test]
fn a_connector_that_drops_the_command_is_a_problem() {
    with_service(everybody(), drop, async |path| {
        let Err(ClientError::Problem(problem)) = client::connect(path).await else { panic!("a problem") };
        assert_eq!(problem.status, 503);
    });
}

#[test]
fn a_request_without_a_known_caller_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let access = Access::new(7, Some([1000].into()));
        let (handle, _received) = handle(Settings { access, ..settings(None) });
        let ask = async |caller: Option<Caller>| {
            let mut router = unix_router(handle.clone()).layer(Extension(Interface::Unix));
            if let Some(caller) = caller {
                router = router.layer(Extension(caller));
            }
            let request = Request::get("/api/v1/status").body(axum::body::Body::empty()).unwrap();
            hyper::service::Service::call(&hyper_util::service::TowerToHyperService::new(router), request)
                .await
                .unwrap()
                .status()
        };
        let (_, mut events) = handle.events.watch();
        assert_eq!(ask(None).await, StatusCode::FORBIDDEN);
        assert_eq!(ask(Some(Caller { uid: 1001 })).await, StatusCode::FORBIDDEN);
        assert_eq!(ask(Some(Caller { uid: 1000 })).await, StatusCode::OK);
        assert_eq!(ask(Some(Caller { uid: 0 })).await, StatusCode::OK);
        let event = events.recv().await.unwrap();
        assert_eq!(event.field(crate::event::Field::Uid), Some("1001"));
        assert!(events.try_recv().is_err(), "what was granted is no refusal");
    });
}

#[test]
fn wrong_requests_get_problem_documents() {
    with_service(
        everybody(),
        |_| {},
        async |path| {
            for (request, status) in [
                ("GET /api/v2/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
                ("DELETE /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"),
                ("GET /api/v1/connect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"),
            ] {
                let answer = talk(path, request).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
                assert!(
                    answer.contains("application/problem+json")
                        && answer.contains(&format!("\"status\":{status}"))
                );
            }
            let huge = format!("GET /api/v1/status HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
            assert!(talk(path, &huge).await.starts_with("HTTP/1.1 431"));
            assert!(talk(path, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
            assert!(client::get_status(path).await.is_ok(), "it still serves");
        },
    );
}

#[test]
fn a_caller_that_says_nothing_does_not_stop_the_others() {
    with_service(
        everybody(),
        |_| {},
        async |path| {
            let _silent = UnixStream::connect(path).await.unwrap();
            assert!(client::get_status(path).await.is_ok());
        },
    );
}

#[test]
fn stale_sockets_are_replaced_and_other_files_are_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("connector.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the stale file of a killed service");
    let socket = ControlSocket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let newer = ControlSocket::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists(), "the newer one is not ours to remove");
    drop(newer);
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, SocketError::Occupied(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let long = folder.path().join("x".repeat(200));
    assert!(ControlSocket::bind(&long).unwrap_err().hint().contains("shorter"));
}

#[test]
fn without_a_service_the_client_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("connector.sock");
    let ask = || runtime.block_on(client::get_status(&path));
    assert!(matches!(ask(), Err(ClientError::NotRunning)), "no file");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(matches!(ask(), Err(ClientError::NotRunning)), "a stale file");
}
