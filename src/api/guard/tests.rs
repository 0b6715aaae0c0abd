//! Each rule of the guard, alone.

use axum::http::HeaderName;

use super::*;
use crate::api::tests;

const HOST: (&str, &str) = ("host", "127.0.0.1:8086");
const TOKEN: (&str, &str) = ("authorization", "Bearer secret");
const ALICE: Caller = Caller { uid: 1000 };

fn client(caller: Option<Caller>) -> Client {
    Client { peer: "127.0.0.1:40000".parse().unwrap(), local: "127.0.0.1:8086".parse().unwrap(), caller }
}

fn guard(settings: Settings) -> Guard {
    let (handle, _) = tests::handle(settings);
    Guard::new(handle.settings, handle.sessions, handle.events)
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = axum::http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn ask(guard: &Guard, method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
    guard.verdict(&head(method, uri, headers), &client(Some(ALICE)), Instant::now())
}

#[test]
fn a_program_with_the_token_may_read_and_steer() {
    let guard = guard(tests::settings(None));
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &[HOST, TOKEN]), Ok(()));
    assert_eq!(ask(&guard, "POST", "/api/v1/connect", &[HOST, TOKEN]), Ok(()));
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &[("host", "localhost:8086"), TOKEN]), Ok(()));
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &[("host", "[::1]:8086"), TOKEN]), Ok(()));
}

#[test]
fn names_that_dns_leads_here_are_other_hosts() {
    let guard = guard(tests::settings(None));
    for host in
        ["evil.example:8086", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8086", "10.0.0.1:8086", ""]
    {
        assert_eq!(
            ask(&guard, "GET", "/api/v1/status", &[("host", host), TOKEN]),
            Err(Refusal::Host),
            "{host}"
        );
    }
    assert_eq!(ask(&guard, "GET", "/", &[]), Err(Refusal::Host), "no host");
    let two = [HOST, ("host", "evil.example:8086"), TOKEN];
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &two), Err(Refusal::Host));
    let absolute = "http://evil.example:8086/api/v1/status";
    assert_eq!(ask(&guard, "GET", absolute, &[HOST, TOKEN]), Err(Refusal::Host));
}

#[test]
fn an_address_of_the_device_is_its_host_when_it_listens_there() {
    let guard = guard(tests::settings(None));
    let remote = Client {
        peer: "192.0.2.9:40000".parse().unwrap(),
        local: "192.0.2.1:8086".parse().unwrap(),
        caller: None,
    };
    let ask = |headers: &[(&str, &str)]| {
        guard.verdict(&head("GET", "/api/v1/status", headers), &remote, Instant::now())
    };
    assert_eq!(ask(&[("host", "192.0.2.1:8086"), TOKEN]), Ok(()));
    assert_eq!(ask(&[("host", "192.0.2.1:8086")]), Err(Refusal::NoToken));
    assert_eq!(ask(&[("host", "localhost:8086"), TOKEN]), Err(Refusal::Host));
}

#[test]
fn pages_of_other_sites_are_refused_with_and_without_a_token() {
    for require_auth in [true, false] {
        let guard = guard(Settings { require_auth, ..tests::settings(None) });
        let status =
            |headers: &[_]| ask(&guard, "GET", "/api/v1/status", &[&[HOST, TOKEN], headers].concat());
        assert_eq!(status(&[("origin", "http://127.0.0.1:8086"), ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(status(&[("sec-fetch-site", "none")]), Ok(()));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8086"] {
            assert_eq!(status(&[("origin", origin)]), Err(Refusal::Origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "whatever"] {
            assert_eq!(status(&[("sec-fetch-site", site)]), Err(Refusal::Site), "{site}");
        }
    }
}

#[test]
fn a_person_may_follow_a_link_to_the_page_but_no_page_may_embed_it() {
    let guard = guard(tests::settings(None));
    let visit = [
        HOST,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(ask(&guard, "GET", "/", &visit), Ok(()));
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &visit), Err(Refusal::Site));
    let frame = [
        HOST,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe"),
    ];
    assert_eq!(ask(&guard, "GET", "/", &frame), Err(Refusal::Site));
}

#[test]
fn tokens_do_not_belong_into_urls() {
    let guard = guard(tests::settings(None));
    assert_eq!(ask(&guard, "GET", "/api/v1/status?token=secret", &[HOST, TOKEN]), Err(Refusal::TokenInUrl));
}

#[test]
fn a_body_states_its_length_and_is_json() {
    let guard = guard(tests::settings(None));
    let put = |headers: &[_]| ask(&guard, "PUT", "/api/v1/settings", &[&[HOST, TOKEN], headers].concat());
    let length = ("content-length", "7");
    assert_eq!(put(&[length, ("content-type", "application/json; charset=utf-8")]), Ok(()));
    for wrong in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
    {
        assert_eq!(put(&[length, ("content-type", wrong)]), Err(Refusal::NotJson), "{wrong}");
    }
    assert_eq!(put(&[length]), Err(Refusal::NotJson));
    assert_eq!(put(&[("transfer-encoding", "chunked")]), Err(Refusal::NoLength));
    assert_eq!(put(&[length, ("transfer-encoding", "chunked")]), Err(Refusal::NoLength));
}

#[test]
fn only_users_who_may_steer_get_through_even_with_the_token() {
    let access = Access::new(7, Some([1000].into()));
    let guard = guard(Settings { access, ..tests::settings(None) });
    let ask =
        |caller, path| guard.verdict(&head("GET", path, &[HOST, TOKEN]), &client(caller), Instant::now());
    assert_eq!(ask(Some(ALICE), "/api/v1/status"), Ok(()));
    for path in ["/api/v1/status", "/proxy.pac", "/api/v1/session", "/whatever"] {
        assert_eq!(ask(Some(Caller { uid: 1001 }), path), Err(Refusal::User));
        assert_eq!(ask(None, path), Err(Refusal::User), "nobody knows whose it is");
    }
    assert_eq!(ask(None, "/health"), Ok(()));
    assert_eq!(ask(Some(Caller { uid: 1001 }), "/app/main.js"), Ok(()), "it holds no data");
}

#[test]
fn without_a_token_nothing_is_told_unless_it_is_not_asked_for() {
    let strict = guard(tests::settings(None));
    assert_eq!(ask(&strict, "GET", "/api/v1/status", &[HOST]), Err(Refusal::NoToken));
    let open = guard(Settings { require_auth: false, ..tests::settings(None) });
    assert_eq!(ask(&open, "GET", "/api/v1/status", &[HOST]), Ok(()));
    assert_eq!(
        ask(&open, "POST", "/api/v1/connect", &[HOST]),
        Err(Refusal::OtherUser),
        "nobody named this user"
    );
    assert_eq!(ask(&open, "POST", "/api/v1/connect", &[HOST, TOKEN]), Ok(()));
    let access = Access::new(7, Some([1000].into()));
    let named = guard(Settings { require_auth: false, access, ..tests::settings(None) });
    assert_eq!(ask(&named, "POST", "/api/v1/connect", &[HOST]), Ok(()));
}

#[test]
fn wrong_tokens_are_counted_and_then_none_is_looked_at() {
    let guard = guard(tests::settings(None));
    let wrong = [HOST, ("authorization", "Bearer sekret")];
    let answers: Vec<_> = (0..20).map(|_| ask(&guard, "GET", "/api/v1/status", &wrong)).collect();
    assert_eq!(answers[0], Err(Refusal::WrongToken));
    assert_eq!(answers[19], Err(Refusal::TooManyTokens));
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &[HOST, TOKEN]), Err(Refusal::TooManyTokens));
    let root = client(Some(Caller { uid: 0 }));
    let of_root = guard.verdict(&head("GET", "/api/v1/status", &[HOST, TOKEN]), &root, Instant::now());
    assert_eq!(of_root, Ok(()), "other users are not concerned");
    let later = Instant::now() + Duration::from_secs(60);
    let head = head("GET", "/api/v1/status", &[HOST, TOKEN]);
    assert_eq!(guard.verdict(&head, &client(Some(ALICE)), later), Ok(()));
}

#[test]
fn a_user_asks_so_often_and_no_more() {
    let guard = guard(tests::settings(None));
    let now = Instant::now();
    let head = head("GET", "/api/v1/status", &[HOST, TOKEN]);
    let ask = |caller, now| guard.verdict(&head, &client(Some(caller)), now);
    let granted = (0..2_000).filter(|_| ask(ALICE, now).is_ok()).count();
    assert_eq!(granted, REQUESTS.0 as usize);
    assert_eq!(ask(ALICE, now), Err(Refusal::TooOften));
    assert_eq!(ask(Caller { uid: 0 }, now), Ok(()));
    assert_eq!(ask(ALICE, now + Duration::from_secs(1)), Ok(()));
}

#[test]
fn a_page_has_its_cookie_and_says_that_it_is_ours() {
    let guard = guard(tests::settings(None));
    let now = Instant::now();
    let code = guard.sessions.code(ALICE, now).unwrap();
    let cookie = guard.sessions.exchange(&code, ALICE, now).unwrap();
    let cookie = format!("other=1; openztna_session={cookie}");
    let cookie = ("cookie", cookie.as_str());
    assert_eq!(ask(&guard, "GET", "/api/v1/status", &[HOST, cookie]), Ok(()));
    assert_eq!(ask(&guard, "POST", "/api/v1/connect", &[HOST, cookie]), Err(Refusal::NoPageField));
    assert_eq!(ask(&guard, "POST", "/api/v1/connect", &[HOST, cookie, ("x-openztna", "dashboard")]), Ok(()));
    let of_bob = client(Some(Caller { uid: 1001 }));
    let stolen = guard.verdict(&head("GET", "/api/v1/status", &[HOST, cookie]), &of_bob, now);
    assert_eq!(stolen, Err(Refusal::NoToken));
    assert_eq!(
        ask(&guard, "GET", "/api/v1/status", &[HOST, ("cookie", "openztna_session=x")]),
        Err(Refusal::NoToken)
    );
}

#[test]
fn refusals_become_events_but_not_a_storm_of_them() {
    let guard = guard(tests::settings(None));
    let (_, mut live) = guard.events.watch();
    let head = head("GET", "/api/v1/status", &[("host", "evil.example")]);
    for _ in 0..100 {
        guard.report(Refusal::Host, &head, &client(Some(ALICE)), Instant::now());
    }
    guard.report(Refusal::TooOften, &head, &client(Some(Caller { uid: 0 })), Instant::now());
    let event = live.try_recv().unwrap();
    assert_eq!(event.kind, Kind::SteeringRefused);
    assert_eq!(event.field(Field::Uid), Some("1000"));
    assert_eq!(event.field(Field::Reason), Some("other_host"));
    let rest = std::iter::from_fn(|| live.try_recv().ok()).count();
    assert_eq!(rest as u32 + 1, EVENTS.0);
}
