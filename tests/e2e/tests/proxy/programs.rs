//! curl, ssh, proxychains, Python's clients and iperf3, all by name.

use std::fs;
use std::time::Duration;

use super::{Carrier, HTTP, SOCKS, start};
use crate::process::{Finished, Running, run};
use crate::servers::{self, START_LIMIT, bind, ssh, web};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_HOST, SHORT, World};

const NEEDS: &[&str] = &[
    "curl",
    "iperf3",
    "named",
    "nc",
    "nginx",
    "openssl",
    "proxychains4",
    "python3",
    "ssh",
    "ssh-keygen",
    "sshd",
    "tcpdump",
];

/// The system's Python, which has the system's packages; there may be another one in front of it.
pub(super) const PYTHON: &str = "/usr/bin/python3";

/// How long a transfer may take on a busy machine.
const TRANSFER_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "programs_reach_the_company_by_the_proxies_beside_a_tun",
            needs: NEEDS,
            run: || programs_reach_the_company(Carrier::Tun),
        },
        Test {
            name: "programs_reach_the_company_by_the_proxies_in_a_private_namespace",
            needs: NEEDS,
            run: || programs_reach_the_company(Carrier::Namespace),
        },
        Test {
            name: "programs_reach_the_company_by_the_proxies_over_the_stack_in_user_space",
            needs: NEEDS,
            run: || programs_reach_the_company(Carrier::Stack),
        },
    ]
}

fn programs_reach_the_company(carrier: Carrier) {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    ssh::start(&world);
    servers::udp_echo(&world);
    servers::iperf3(&world);
    websocket_server(&world);
    let (installation, mut connector) = start(&world, carrier, "");
    let uplink = Capture::start(&world, &world.client, "eth0", "uplink");
    curl_in_every_dialect(&world);
    refusals_say_why(&world);
    ssh_as_the_guide_says(&world);
    proxychains_and_iperf3(&world);
    python(&world);
    websocket(&world);
    let status = installation.status().expect("a status");
    assert!(status["proxies"]["accepted"].as_u64().is_some_and(|count| count > 10), "{status:#}");
    installation.stop(&mut connector);
    let uplink = uplink.stop();
    assert!(!uplink.packets("udp port 51820").is_empty(), "the capture sees what there is");
    for name in ["wiki.corp.example.com", "eng.corp.example.com", "corp.example.com"] {
        assert!(!uplink.contains_name(name), "`{name}` left in clear");
    }
    assert!(!uplink.contains(web::SECRET_PHRASE.as_bytes()), "payload left in clear");
}

fn curl(world: &World, proxy: &str, arguments: &[&str]) -> Finished {
    world.on_client("curl", &[&["-sS", "-m", "15", "-x", proxy], arguments].concat())
}

fn curl_in_every_dialect(world: &World) {
    let certificate = web::certificate_path(world);
    for scheme in ["socks5h", "socks4a", "http"] {
        let proxy = format!("{scheme}://{}", if scheme == "http" { HTTP } else { SOCKS });
        let page = curl(world, &proxy, &["http://wiki.corp.example.com/"]).success();
        assert!(page.contains(web::SECRET_PHRASE), "{scheme}: {page}");
        let page =
            curl(world, &proxy, &["--cacert", &certificate, "https://wiki.corp.example.com/"]).success();
        assert!(page.contains(web::SECRET_PHRASE) && page.ends_with("HTTP/2.0"), "{scheme}: {page}");
    }
    // One connection to the proxy, several hosts behind it.
    let urls = [
        "http://wiki.corp.example.com/",
        "http://h000.eng.corp.example.com/",
        "http://wiki.corp.example.com/",
    ];
    let pages = curl(world, &format!("http://{HTTP}"), &urls).success();
    assert_eq!(pages.matches(web::SECRET_PHRASE).count(), 3, "{pages}");
}

fn refusals_say_why(world: &World) {
    let refused = curl(
        world,
        &format!("http://{HTTP}"),
        &["-i", "-H", "Accept: text/html", "http://wiki.corp.example.com:8080/"],
    );
    let page = refused.success();
    for part in
        ["403 Forbidden", "text/html", "wiki.corp.example.com:8080", "allows tcp/80, tcp/443, not tcp/8080"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let socks = format!("socks5h://{SOCKS}");
    for (url, code) in [
        ("http://wiki.corp.example.com:8080/", "(2)"),
        ("http://public.example.net/", "(2)"),
        ("http://nothing.eng.corp.example.com/", "(4)"),
        ("http://host.eng.corp.example.com:4/", "(5)"),
    ] {
        let finished = curl(world, &socks, &[url]);
        assert_eq!(finished.code, 97, "{url}: {}", finished.stderr);
        assert!(finished.stderr.contains(code), "{url}: {}", finished.stderr);
    }
}

fn ssh_as_the_guide_says(world: &World) {
    for proxy in [
        format!("nc -x {SOCKS} %h %p"),
        format!("nc -X 5 -x {SOCKS} %h %p"),
        format!("nc -X connect -x {HTTP} %h %p"),
    ] {
        let mut command = world.client.command("ssh");
        command.args(ssh::client_options(world)).args(["-o", &format!("ProxyCommand={proxy}")]);
        let said = run(command.args(["root@host.eng.corp.example.com", "echo", "hello"]), SHORT).success();
        assert_eq!(said, "hello", "{proxy}");
    }
}

fn proxychains_and_iperf3(world: &World) {
    let file = world.folder().join("proxychains.conf");
    fs::write(&file, format!("strict_chain\nproxy_dns\n[ProxyList]\nsocks5 {}\n", SOCKS.replace(':', " ")))
        .expect("a file");
    let file = file.display().to_string();
    let through = |program: &[&str], limit| {
        let mut command = world.client.command("proxychains4");
        run(command.args(["-q", "-f", &file]).args(program), limit).success()
    };
    let page = through(&["curl", "-sS", "-m", "15", "http://wiki.corp.example.com/"], SHORT);
    assert!(page.contains(web::SECRET_PHRASE), "{page}");
    for direction in ["--omit=0", "--reverse"] {
        let iperf3 = [
            "iperf3",
            "-c",
            "host.eng.corp.example.com",
            "-n",
            "30M",
            "--connect-timeout",
            "15000",
            direction,
        ];
        through(&iperf3, TRANSFER_LIMIT);
    }
}

fn python(world: &World) {
    python_runs(world, PYSOCKS, "TCP and UDP by PySocks");
    python_runs(world, HTTPX, "both proxies by httpx");
}

#[track_caller]
fn python_runs(world: &World, script: &str, what: &str) {
    let finished = world.on_client(PYTHON, &["-c", script]);
    assert_eq!(finished.code, 0, "{what}: {}{}", finished.stdout, finished.stderr);
}

const PYSOCKS: &str = r#"
import socket, socks
def through(kind):
    s = socks.socksocket(socket.AF_INET, kind)
    s.set_proxy(socks.SOCKS5, "127.0.0.1", 1080, rdns=True)
    s.settimeout(15)
    return s
s = through(socket.SOCK_STREAM)
s.connect(("wiki.corp.example.com", 80))
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
text = b""
while True:
    piece = s.recv(65536)
    if not piece: break
    text += piece
assert b"quarterly figures" in text, text
u = through(socket.SOCK_DGRAM)
for size in (0, 1, 1200, 4000, 9000):
    payload = bytes(i % 251 for i in range(size))
    u.sendto(payload, ("echo.eng.corp.example.com", 7))
    answer, source = u.recvfrom(65535)
    assert answer == payload, (size, len(answer))
"#;

const HTTPX: &str = r#"
import httpx
for proxy in ("http://127.0.0.1:8080", "socks5://127.0.0.1:1080"):
    with httpx.Client(proxies=proxy, timeout=15) as client:
        for _ in range(3):
            page = client.get("http://wiki.corp.example.com/")
            assert page.status_code == 200 and "quarterly figures" in page.text, page.text
        posted = client.post("http://wiki.corp.example.com/", content=(b"x" * 1000 for _ in range(5)))
        assert posted.status_code in (200, 405), posted.text
"#;

const WEBSOCKET_SERVER: &str = r#"
import asyncio, sys, websockets
async def serve(socket, path=None):
    await socket.send("welcome to the socket")
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(serve, sys.argv[1], 8765):
        await asyncio.Future()
asyncio.run(main())
"#;

fn websocket_server(world: &World) {
    world.start_once("websocket", || {
        let mut command = world.corp.command(PYTHON);
        let running =
            Running::start(command.args(["-c", WEBSOCKET_SERVER, CORP_HOST]), &world.log_path("websocket"));
        world.corp.wait_tcp(&format!("{CORP_HOST}:8765"), START_LIMIT);
        running
    });
}

/// The proxy passes the change of protocol on, and what comes after it.
fn websocket(world: &World) {
    let mut arguments = vec!["-i", "-N", "-m", "3", "--http1.1", "-x", "http://127.0.0.1:8080"];
    for header in [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        arguments.extend(["-H", header]);
    }
    arguments.push("http://host.eng.corp.example.com:8765/");
    let seen = world.on_client("curl", &arguments).stdout; // it ends by its time limit
    assert!(seen.starts_with("HTTP/1.1 101") && seen.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{seen}");
    assert!(seen.contains("welcome to the socket"), "{seen}");
}
