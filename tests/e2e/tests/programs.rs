//! Programs as people use them, all by name and without proxy settings.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::connector::{BY_NAME, Installation, Settings};
use crate::process::{Running, run};
use crate::servers::{self, bind, postgres, ssh, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// MiB that scp carries where `OPENZTNA_E2E_SCP_MIB` says nothing: the bar's 100 take long on a busy CI machine.
const SCP_MIB: u64 = 20;

/// How long the copy may take on a busy machine.
const SCP_LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "curl_speaks_http_1_and_http_2_by_name",
            needs: &["curl", "named", "nginx", "openssl"],
            run: curl_speaks_http_1_and_http_2_by_name,
        },
        Test {
            name: "scp_carries_a_large_file_unchanged_both_ways",
            needs: &["named", "scp", "ssh", "ssh-keygen", "sshd", "sha256sum"],
            run: scp_carries_a_large_file_unchanged_both_ways,
        },
        Test {
            name: "psql_asks_the_database_by_name",
            needs: &["named", "psql"],
            run: psql_asks_the_database_by_name,
        },
        Test {
            name: "ping_udp_echo_and_iperf3_work_by_name",
            needs: &["iperf3", "named", "ping"],
            run: ping_udp_echo_and_iperf3_work_by_name,
        },
        Test {
            name: "programs_work_over_a_plain_tun_without_offloads",
            needs: &["curl", "iperf3", "named", "nginx", "openssl", "ping"],
            run: programs_work_over_a_plain_tun_without_offloads,
        },
    ]
}

fn curl_speaks_http_1_and_http_2_by_name() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    let (installation, mut connector) = start(&world);
    let page = world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
    assert!(page.contains(web::SECRET_PHRASE) && page.ends_with("HTTP/1.1"), "{page}");
    let certificate = web::certificate_path(&world);
    for host in ["wiki.corp.example.com", "h000.eng.corp.example.com"] {
        let url = format!("https://{host}/");
        let page = world
            .on_client("curl", &["-sS", "-m", "10", "--cacert", &certificate, "--http2", &url])
            .success();
        assert!(page.ends_with("HTTP/2.0"), "{page}");
    }
    installation.stop(&mut connector);
}

fn scp_carries_a_large_file_unchanged_both_ways() {
    let world = World::new(ResolvConf::File);
    ssh::start(&world);
    let (installation, mut connector) = start(&world);
    let mib = env::var("OPENZTNA_E2E_SCP_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(SCP_MIB);
    let folder = world.folder().display().to_string();
    let file = format!("{folder}/original");
    let mut random = Command::new("dd");
    random.args(["if=/dev/urandom", &format!("of={file}"), "bs=1M", &format!("count={mib}")]);
    run(&mut random, SCP_LIMIT).success();
    let remote = "root@host.eng.corp.example.com";
    for (from, to) in [
        (file.clone(), format!("{remote}:{folder}/uploaded")),
        (format!("{remote}:{folder}/uploaded"), format!("{folder}/downloaded")),
    ] {
        let mut command = world.client.command("scp");
        run(command.args(ssh::client_options(&world)).args([&from, &to]), SCP_LIMIT).success();
    }
    assert_eq!(fs::metadata(&file).map(|metadata| metadata.len()).ok(), Some(mib << 20));
    let sums = ["original", "uploaded", "downloaded"].map(|name| sha256(&format!("{folder}/{name}")));
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    installation.stop(&mut connector);
}

fn psql_asks_the_database_by_name() {
    let world = World::new(ResolvConf::File);
    postgres::start(&world);
    let (installation, mut connector) = start(&world);
    let mut command = world.client.command("psql");
    command.env("PGPASSWORD", postgres::PASSWORD).args(["-h", "host.eng.corp.example.com", "-U", "corp"]);
    command.args([
        "-d",
        "postgres",
        "-Atc",
        "select count(*), md5(string_agg(i::text, '')) from generate_series(1, 200000) i",
    ]);
    let row = run(&mut command, SHORT).success();
    assert!(row.starts_with("200000|"), "{row}");
    installation.stop(&mut connector);
}

fn ping_udp_echo_and_iperf3_work_by_name() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    servers::iperf3(&world);
    let (installation, mut connector) = start(&world);
    ping_echo_and_iperf3(&world);
    installation.stop(&mut connector);
}

fn programs_work_over_a_plain_tun_without_offloads() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    servers::udp_echo(&world);
    servers::iperf3(&world);
    bind::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.launch_with(&[("OPENZTNA_CLIENT_TUNNELING_OFFLOAD", "false")]);
    let status = installation.wait_for_state(&mut connector, "connected", crate::connector::CONNECT_LIMIT);
    let text = status.to_string();
    assert!(text.contains("offload"), "the status says that the fallback is in use: {status:#}");
    let page = world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
    assert!(page.contains(web::SECRET_PHRASE), "{page}");
    ping_echo_and_iperf3(&world);
    installation.stop(&mut connector);
}

fn ping_echo_and_iperf3(world: &World) {
    let host = "host.eng.corp.example.com";
    world.on_client("ping", &["-4", "-c", "3", "-i", "0.2", "-W", "5", host]).success();
    for length in ["0", "1", "1200", "4000"] {
        run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", length]), SHORT).success();
    }
    for direction in ["--omit=0", "--reverse", "--bidir"] {
        let arguments = ["-c", host, "-n", "30M", "--connect-timeout", "5000", direction];
        world.on_client("iperf3", &arguments).success();
    }
}

fn sha256(path: &str) -> String {
    let line = run(Command::new("sha256sum").arg(path), SCP_LIMIT).success();
    line.split(' ').next().unwrap_or_default().to_owned()
}

fn start(world: &World) -> (Installation<'_>, Running) {
    bind::corp(world);
    let installation = Installation::new(world, &Settings::new(world, BY_NAME));
    let connector = installation.start();
    (installation, connector)
}
