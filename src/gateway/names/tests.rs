//! What a peer is told of names, with a server of names that the test answers for.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::gateway::config::Config;

const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// `wiki` (0), `all` (1, every name of corp) and `loopback` (2: wiki.corp and 127.0.0.1).
pub(crate) fn roster() -> Roster {
    roster_with("10.0.0.53")
}

fn roster_with(server: &str) -> Roster {
    let text = format!(
        r#"
listen = "127.0.0.1:51820"
private_key_file = "k"
dns = "{server}"
[[application]]
name = "wiki"
hosts = "wiki.corp"
ports = "tcp/443"
[[application]]
name = "all"
hosts = "*.corp"
ports = "tcp/22"
[[application]]
name = "loopback"
hosts = ["wiki.corp", "127.0.0.1"]
ports = "tcp/80"
[[peer]]
name = "ada"
public_key = "{KEY}"
allowed_ips = "10.99.0.2"
applications = ["wiki", "all"]
"#
    );
    Roster::new(Config::parse(Path::new("gateway.toml"), &text).unwrap())
}

struct World {
    roster: Roster,
    names: Names,
    server: UdpSocket,
}

impl World {
    async fn new() -> Self {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = server.local_addr().unwrap();
        let roster = roster_with(&address.to_string());
        let addresses = Arc::new(Mutex::new(Addresses::new(roster.config.pool, None, 0)));
        Self { names: Names { addresses, lookout: Lookout::default() }, roster, server }
    }

    /// What a peer with these applications is told, while the server answers with these records.
    async fn ask(&self, own: &[u32], name: &str, kind: RecordType, records: &[(&str, RData)]) -> Message {
        let peer = PeerFacts::new("ada", &[7; 32], own.to_vec());
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_str(&format!("{name}.")).unwrap(), kind));
        let bytes = query.to_vec().unwrap();
        let answer = self.names.answer(&self.roster, &peer, &bytes, Some(1232));
        tokio::select! {
            answer = answer => Message::from_vec(&answer.unwrap().payload).unwrap(),
            () = self.serve(records) => unreachable!("it serves for ever"),
        }
    }

    async fn serve(&self, records: &[(&str, RData)]) {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.server.recv_from(&mut buffer).await.unwrap();
            let mut answer = Message::from_vec(&buffer[..length]).unwrap().into_response();
            answer.metadata.response_code =
                if records.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
            for (name, data) in records {
                let name = Name::from_str(&format!("{name}.")).unwrap();
                answer.add_answer(Record::from_rdata(name, 120, data.clone()));
            }
            let soa = SOA::new(Name::root(), Name::root(), 1, 2, 3, 4, 5);
            answer.add_authority(Record::from_rdata(Name::from_str("corp.").unwrap(), 60, RData::SOA(soa)));
            self.server.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    }
}

fn a(address: &str) -> RData {
    RData::A(A(address.parse().unwrap()))
}

fn only(answer: &Message) -> IpAddr {
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 1), "{answer}");
    answer.answers[0].data.ip_addr().unwrap()
}

#[tokio::test]
async fn a_name_is_answered_with_an_address_of_the_gateway_and_the_records_ttl() {
    let world = World::new().await;
    let chain =
        [("wiki.corp", RData::CNAME(CNAME(Name::from_str("x.corp.").unwrap()))), ("x.corp", a("10.0.0.5"))];
    let answer = world.ask(&[0], "WIKI.corp", RecordType::A, &chain).await;
    let address = only(&answer);
    assert!(world.roster.config.is_own_inner(address), "{address}");
    assert_eq!(answer.answers[0].ttl, 120);
    let again = world.ask(&[0], "wiki.corp", RecordType::A, &[("wiki.corp", a("10.0.0.6"))]).await;
    assert_eq!(only(&again), address, "the name has its address, whatever stands behind it");
    let other = world.ask(&[0, 2], "wiki.corp", RecordType::A, &[("wiki.corp", a("10.0.0.5"))]).await;
    assert_ne!(only(&other), address, "other applications are another address");
    let six = RData::AAAA(AAAA("fd00::5".parse().unwrap()));
    let six = world.ask(&[0], "wiki.corp", RecordType::AAAA, &[("wiki.corp", six)]).await;
    assert!(only(&six).is_ipv6());
}

#[tokio::test]
async fn names_of_others_do_not_exist_and_those_above_a_granted_one_are_empty() {
    let world = World::new().await;
    let records = [("git.corp", a("10.0.0.5"))];
    for (own, name, code) in [
        (&[0][..], "git.corp", ResponseCode::NXDomain),
        (&[], "wiki.corp", ResponseCode::NXDomain),
        (&[1], "example.com", ResponseCode::NXDomain),
        (&[0], "corp", ResponseCode::NoError),
        (&[0, 1], "git.corp", ResponseCode::NoError),
    ] {
        for kind in [RecordType::A, RecordType::TXT, RecordType::HTTPS] {
            let answer = world.ask(own, name, kind, &records).await;
            assert_eq!(answer.metadata.response_code, code, "{own:?} {name} {kind}");
        }
    }
}

#[tokio::test]
async fn a_record_that_points_at_the_gateway_itself_is_left_out() {
    let world = World::new().await;
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "100.127.0.16"] {
        let records = [("wiki.corp", a(address))];
        let answer = world.ask(&[0], "wiki.corp", RecordType::A, &records).await;
        assert_eq!(
            (answer.metadata.response_code, answer.answers.len()),
            (ResponseCode::NoError, 0),
            "{address}"
        );
    }
    let both = [("wiki.corp", a("127.0.0.1")), ("wiki.corp", a("10.0.0.5"))];
    only(&world.ask(&[0], "wiki.corp", RecordType::A, &both).await);
    only(&world.ask(&[0, 2], "wiki.corp", RecordType::A, &both[..1]).await);
}

#[tokio::test]
async fn other_records_and_codes_are_passed_on() {
    let world = World::new().await;
    let text = RData::TXT(TXT::new(vec!["hello".to_owned()]));
    let answer = world.ask(&[0], "wiki.corp", RecordType::TXT, &[("wiki.corp", text.clone())]).await;
    assert_eq!(answer.answers[0].data, text);
    let answer = world.ask(&[1], "nothing.corp", RecordType::A, &[]).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities.len(), 1, "how long it may be believed comes with it");
    let answer = world.ask(&[0], "wiki.corp", RecordType::ANY, &[]).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
}

#[tokio::test]
async fn an_address_of_the_gateway_has_its_name_for_those_who_may_see_it() {
    let world = World::new().await;
    let records = [("wiki.corp", a("10.0.0.5"))];
    let IpAddr::V4(address) = only(&world.ask(&[0], "wiki.corp", RecordType::A, &records).await) else {
        panic!("an IPv4 address was asked for")
    };
    let [a, b, c, d] = address.octets();
    let name = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    let answer = world.ask(&[0], &name, RecordType::PTR, &[]).await;
    assert_eq!(answer.answers[0].data.to_string(), "wiki.corp.");
    let answer = world.ask(&[1], &name, RecordType::PTR, &[]).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn what_is_no_query_is_not_answered_and_long_answers_say_so() {
    let world = World::new().await;
    let peer = PeerFacts::new("ada", &[7; 32], vec![0]);
    for junk in [&b""[..], &[0; 12], b"\x12\x34\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00", &[0xff; 64]] {
        let reply = world.names.answer(&world.roster, &peer, junk, Some(1232)).await;
        let code = reply.map(|reply| Message::from_vec(&reply.payload).unwrap().metadata.response_code);
        assert!(code.is_none_or(|code| code == ResponseCode::FormErr), "{junk:?}: {code:?}");
    }
    let text = RData::TXT(TXT::new(vec!["x".repeat(250), "y".repeat(250), "z".repeat(250)]));
    let answer = world.ask(&[0], "wiki.corp", RecordType::TXT, &[("wiki.corp", text)]).await;
    assert!(answer.metadata.truncation && answer.answers.is_empty());
}
