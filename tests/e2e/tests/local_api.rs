//! The local API on TCP, as programs of the device, of other users and of Prometheus meet it.

use serde_json::Value;

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings};
use crate::process::{Finished, eventually, run};
use crate::servers::bind;
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

const API: &str = "http://127.0.0.1:8086";
/// As the guide has it.
const TOKEN: &str = "Authorization: Bearer your-secure-api-token";
/// Debian's user `nobody`.
const NOBODY: u32 = 65534;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "programs_with_the_token_steer_and_other_users_do_not",
            needs: &["curl", "named"],
            run: programs_with_the_token_steer_and_other_users_do_not,
        },
        Test {
            name: "a_page_signs_in_once_and_a_person_changes_settings",
            needs: &["curl", "named"],
            run: a_page_signs_in_once_and_a_person_changes_settings,
        },
        Test {
            name: "metrics_logs_and_the_archive_for_support_tell_what_they_may",
            needs: &["curl", "named", "tar"],
            run: metrics_logs_and_the_archive_for_support_tell_what_they_may,
        },
    ]
}

fn settings(world: &World, more: &str) -> Settings {
    let before = format!("[api]\nrequire_auth = true\ntoken = \"your-secure-api-token\"\n{more}");
    Settings { before, ..Settings::new(world, BY_NAME) }
}

fn curl(world: &World, uid: u32, arguments: &[&str]) -> Finished {
    let mut command = world.client.command_as(uid, "curl");
    run(command.args(["-sS", "-m", "15"]).args(arguments), SHORT)
}

/// The status of an answer, and its body.
fn ask(world: &World, uid: u32, arguments: &[&str]) -> (String, String) {
    let arguments = [&["-w", "\n%{http_code}"], arguments].concat();
    let answer = curl(world, uid, &arguments).success();
    let (body, status) = answer.rsplit_once('\n').unwrap_or(("", &answer));
    (status.to_owned(), body.to_owned())
}

fn programs_with_the_token_steer_and_other_users_do_not() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    let installation = Installation::new(&world, &settings(&world, "allowed_users = [\"root\"]\n"));
    let mut connector = installation.start();
    // the two commands of the integration guide
    let status = curl(&world, 0, &["-X", "GET", &format!("{API}/api/v1/status"), "-H", TOKEN]).success();
    let status: Value = serde_json::from_str(&status).expect("a status");
    assert_eq!(status["state"], "connected");
    installation.run(&["down"]).success();
    let status = curl(&world, 0, &["-X", "POST", &format!("{API}/api/v1/connect"), "-H", TOKEN]).success();
    let status: Value = serde_json::from_str(&status).expect("a status");
    assert!(
        ["connecting", "connected"].contains(&status["state"].as_str().unwrap_or_default()),
        "{status:#}"
    );
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);

    // another user of the device, with the token and without
    for arguments in [&["-H", TOKEN][..], &[]] {
        for (method, path) in [("GET", "status"), ("POST", "disconnect"), ("GET", "events"), ("GET", "logs")]
        {
            let url = format!("{API}/api/v1/{path}");
            let (status, body) = ask(&world, NOBODY, &[&["-X", method, &url], arguments].concat());
            assert_eq!(status, "403", "{method} {path}: {body}");
            assert!(!body.contains("hq"), "{body}");
        }
    }
    assert_eq!(ask(&world, 0, &[&format!("{API}/api/v1/status")]).0, "401", "no token");
    let log = eventually(SHORT, "the refusals are events", || {
        let mut follow = world.client.command("curl");
        follow.args(["-sS", "-m", "2", "-H", TOKEN, &format!("{API}/api/v1/events")]);
        Some(run(&mut follow, SHORT).stdout).filter(|events| events.contains("steering.refused"))
    });
    assert!(log.contains("\"uid\":\"65534\"") && log.contains("steering.done"), "{log}");
    assert_eq!(installation.status().expect("a status")["state"], "connected");
    installation.stop(&mut connector);
}

fn a_page_signs_in_once_and_a_person_changes_settings() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    let installation = Installation::new(&world, &settings(&world, ""));
    let mut connector = installation.start();
    let url = installation.run(&["dashboard", "--print"]).success();
    let code = url.strip_prefix(&format!("{API}/#code=")).expect("a URL of the page").to_owned();
    let exchange = |uid: u32| {
        let body = format!("{{\"code\":\"{code}\"}}");
        let json = "Content-Type: application/json";
        curl(&world, uid, &["-i", "-H", json, "-d", &body, &format!("{API}/api/v1/session")]).success()
    };
    assert!(exchange(NOBODY).starts_with("HTTP/1.1 403"), "a code is for the user that asked for it");
    let answer = exchange(0);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap_or_default());
    assert!(exchange(0).starts_with("HTTP/1.1 403"), "a code is used once");

    let settings = format!("{API}/api/v1/settings");
    let change = |body: &str, fields: &[&str]| {
        let head =
            ["-X", "PUT", "-H", &cookie, "-H", "Content-Type: application/json", "-d", body, &settings];
        ask(&world, 0, &[&head[..], fields].concat())
    };
    let ours = ["-H", "X-OpenZTNA: dashboard"];
    assert_eq!(change("{\"socks_proxy\":false}", &[]).0, "403", "a page of ours says that it is");
    let (status, body) = change("{\"socks_proxy\":false}", &ours);
    assert_eq!(status, "200", "{body}");
    let is_served = |status: &Value| status["proxies"].to_string().contains("SOCKS");
    installation.wait_for_status(&mut connector, "the proxy has gone", SHORT, |status| !is_served(status));
    let (status, body) = change("{\"log_level\":\"trace\"}", &ours);
    assert_eq!(status, "409", "the file says debug: {body}");
    for wrong in ["{\"socks_proxy\":\"no\"}", "{\"unknown\":true}", "[]", "{", "{\"log_level\":null}"] {
        assert_eq!(change(wrong, &ours).0, "400", "{wrong}");
    }
    assert_eq!(ask(&world, NOBODY, &["-H", &cookie, &settings]).0, "401", "a cookie is for its user");
    installation.stop(&mut connector);
    let mut connector = installation.start();
    assert!(!is_served(&installation.status().expect("a status")), "what a person chose is kept");
    let local = ["-X", "PUT", "-H", TOKEN, "-H", "Content-Type: application/json", &settings];
    assert_eq!(ask(&world, 0, &[&local[..], &["-d", "{\"start_at_login\":false}"]].concat()).0, "200");
    installation.stop(&mut connector);
    let mut connector = installation.launch();
    installation.wait_for_state(&mut connector, "disconnected", CONNECT_LIMIT);
    installation.run(&["up"]).success();
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    installation.stop(&mut connector);
}

fn metrics_logs_and_the_archive_for_support_tell_what_they_may() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    let file = world.folder().join("logs/connector.log");
    let more = "[monitoring]\nprometheus = true\nhealthcheck = true\n";
    let installation = Installation::new(&world, &settings(&world, more));
    let mut connector =
        installation.launch_with(&[("OPENZTNA_CLIENT_SERVER_LOG_FILE", &file.to_string_lossy())]);
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);

    let page = curl(&world, NOBODY, &["http://127.0.0.1:9090/metrics"]).success();
    assert!(page.contains("openztna_state{state=\"connected\"} 1\n"), "{page}");
    assert!(page.contains("openztna_gateway_up{gateway=\"hq\"} 1\n"), "{page}");
    for path in ["live", "ready", "health"] {
        assert_eq!(ask(&world, NOBODY, &[&format!("http://127.0.0.1:8087/{path}")]).0, "200", "{path}");
    }
    assert_eq!(ask(&world, 0, &["-H", "Host: evil.example:9090", "http://127.0.0.1:9090/metrics"]).0, "421");

    let lines = installation.run(&["logs", "--level", "info"]).success();
    assert!(lines.contains("Connected: "), "{lines}");
    let written = std::fs::read_to_string(&file).expect("the log's file");
    assert!(written.contains("Connected: "), "{written}");

    let archive = installation.folder().join("bundle.tar.gz").to_string_lossy().into_owned();
    let listed = installation.run(&["bundle", "--output", &archive]).success();
    assert!(listed.contains("status.json") && listed.contains("log.json"), "{listed}");
    let text = run(world.client.command("tar").args(["-xzOf", &archive]), SHORT).success();
    for told in
        ["your-secure-api-token", "corp.example.com", "198.18.2.2", "\"hq\"", &world.gateway_keys.public]
    {
        assert!(!text.contains(told), "{told}: {text}");
    }
    assert!(text.contains("\"state\": \"connected\""), "{text}");

    installation.run(&["down"]).success();
    assert_eq!(ask(&world, 0, &["http://127.0.0.1:8087/ready"]).0, "503");
    assert_eq!(ask(&world, 0, &["http://127.0.0.1:8087/live"]).0, "200");
    installation.stop(&mut connector);
    let end = std::fs::read_to_string(&file).expect("the log's file");
    assert!(end.contains("Stopped: "), "the last line is kept: {end}");
}
