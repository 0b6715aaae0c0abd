//! Addresses of the configuration and of names, put together and followed.

use std::time::{Duration, Instant};

use super::*;

/// Any moment.
pub(super) fn start() -> Instant {
    Instant::now()
}

fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect()
}

#[test]
fn candidates_stand_in_the_order_of_the_configuration_and_each_once() {
    let found =
        Found { addresses: ["192.0.2.1", "2001:db8::1"].map(|a| a.parse().unwrap()).into(), error: None };
    let names =
        Names::from([("vpn.example.com".into(), found), ("gone.example.com".into(), Found::default())]);
    let endpoints = endpoints(&[
        "198.51.100.7:1",
        "gone.example.com:2",
        "vpn.example.com:3",
        "192.0.2.1:3",
        "vpn.example.com:4",
    ]);
    let expected = ["198.51.100.7:1", "192.0.2.1:3", "[2001:db8::1]:3", "192.0.2.1:4", "[2001:db8::1]:4"];
    assert_eq!(addresses(&endpoints, &names), expected.map(|address| address.parse().unwrap()));
    assert!(can_move(&endpoints) && !can_move(&endpoints[..1]));
}

/// The next command for the engine: which gateway, and where it may be.
async fn told(engine: &mut mpsc::Receiver<Command>) -> (u32, Vec<SocketAddr>) {
    let command = tokio::time::timeout(Duration::from_secs(30), engine.recv()).await;
    match command.expect("a command in time") {
        Some(Command::SetEndpoints(id, addresses)) => (id, addresses),
        _ => panic!("another command"),
    }
}

#[tokio::test]
async fn a_name_is_looked_up_told_kept_and_known_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let gateways = vec![endpoints(&["192.0.2.1:9"]), endpoints(&["localhost:51820", "192.0.2.2:7"])];
    let (commands, mut engine) = mpsc::channel(16);
    let first = Endpoints::start(gateways.clone(), folder.path(), commands.clone());
    assert_eq!(first.addresses(&gateways[1]), ["192.0.2.2:7".parse().unwrap()]);
    first.network_changed(NameService::System);
    let (id, addresses) = told(&mut engine).await;
    assert_eq!((id, addresses.last()), (1, Some(&"192.0.2.2:7".parse().unwrap())));
    assert!(addresses[0].ip().is_loopback() && addresses[0].port() == 51820, "{addresses:?}");
    assert_eq!((first.addresses(&gateways[1]), first.problem(&gateways[1])), (addresses.clone(), None));
    first.unanswered(1);
    drop(first);
    let second = Endpoints::start(gateways.clone(), folder.path(), commands);
    assert_eq!(second.addresses(&gateways[1]), addresses, "before any look-up");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_a_problem_and_keeps_its_last_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let gateways = vec![endpoints(&["localhost:51820"])];
    let known: [IpAddr; 1] = ["192.0.2.1".parse().unwrap()];
    let names =
        std::collections::BTreeMap::from([("localhost", &known[..]), ("former.example.com", &known[..])]);
    store::Store::new(folder.path()).save(&names).unwrap();
    let (commands, _engine) = mpsc::channel(16);
    let kept = Endpoints::start(gateways.clone(), folder.path(), commands);
    kept.network_changed(NameService::Servers(Vec::new()));
    let mut names = kept.names.clone();
    let failed = names.wait_for(|names| names["localhost"].error.is_some());
    assert!(tokio::time::timeout(Duration::from_secs(30), failed).await.expect("in time").is_ok());
    assert!(kept.problem(&gateways[0]).is_some_and(|problem| problem.contains("`localhost`")));
    assert_eq!(kept.addresses(&gateways[0]), ["192.0.2.1:51820".parse().unwrap()]);
}
