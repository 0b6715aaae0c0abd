//! BIND: the company's zone with a hundred names of every kind, and the internet's zone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::process::{Running, eventually};
use crate::servers::START_LIMIT;
use crate::world::namespace::Namespace;
use crate::world::{CORP_DNS, CORP_ECHO, CORP_HOST, CORP_WEB, PUBLIC_DNS, PUBLIC_WEB, World};

/// How many names of each kind the company's zone has.
pub(crate) const NAMES: usize = 100;

/// The zone of the company.
pub(crate) const CORP_ZONE: &str = "corp.example.com";

/// A name of the internet, which is never protected.
pub(crate) const PUBLIC_NAME: &str = "public.example.net";

/// Starts the company's server at `CORP_DNS:53`.
#[track_caller]
pub(crate) fn corp(world: &World) {
    world.start_once("bind-corp", || {
        start(world, &world.corp, "bind-corp", CORP_DNS, &[(CORP_ZONE, corp_zone())])
    });
}

/// Starts the internet's server at `PUBLIC_DNS:53`; it logs every query.
///
/// It knows `example.com` but nothing of the company's names, as on the real internet.
#[track_caller]
pub(crate) fn public(world: &World) {
    world.start_once("bind-public", || {
        let zones = [("example.net", public_zone()), ("example.com", empty_zone())];
        start(world, &world.wan, "bind-public", PUBLIC_DNS, &zones)
    });
}

/// What the internet's server was asked so far, one query a line.
pub(crate) fn public_queries(world: &World) -> String {
    fs::read_to_string(world.folder().join("bind-public/queries")).unwrap_or_default()
}

/// Address `i` of the hosts with a name of their own.
pub(crate) fn host_address(i: usize) -> String {
    format!("10.77.16.{}", i + 1)
}

/// Starts a server with these zones on any host of the world, without a look whether one runs.
#[track_caller]
pub(crate) fn start(
    world: &World,
    host: &Namespace,
    name: &str,
    address: &str,
    zones: &[(&str, String)],
) -> Running {
    let folder = world.folder().join(name);
    fs::create_dir(&folder).expect("a folder for BIND");
    for (zone, text) in zones {
        fs::write(folder.join(zone), text).expect("a zone file");
    }
    let file = folder.join("named.conf");
    fs::write(&file, configuration(&folder, address, zones)).expect("named.conf");
    let mut command = host.command("named");
    let running = Running::start(command.arg("-f").arg("-c").arg(&file), &world.log_path(name));
    // It listens before its zones are loaded, and answers SERVFAIL until then.
    eventually(START_LIMIT, "BIND has loaded its zones", || {
        running.log().contains("all zones loaded").then_some(())
    });
    let server = if address.contains(':') { format!("[{address}]:53") } else { format!("{address}:53") };
    host.wait_tcp(&server, START_LIMIT);
    running
}

fn configuration(folder: &Path, address: &str, zones: &[(&str, String)]) -> String {
    let folder = folder.display();
    let (v4, v6) = if address.contains(':') { ("none", address) } else { (address, "none") };
    let mut text = format!(
        "options {{ directory \"{folder}\"; listen-on port 53 {{ {v4}; }}; listen-on-v6 {{ {v6}; }};\n\
         recursion no; dnssec-validation no;\n\
         pid-file \"{folder}/named.pid\"; session-keyfile \"{folder}/session.key\"; }};\n\
         controls {{ }};\n\
         logging {{ channel queries {{ file \"{folder}/queries\"; }}; category queries {{ queries; }};\n\
         category default {{ default_stderr; }}; }};\n"
    );
    for (zone, _) in zones {
        let _ = writeln!(text, "zone \"{zone}\" {{ type primary; file \"{zone}\"; }};");
    }
    text
}

/// Per number: `h` a host (A, mostly AAAA, MX, TXT, SRV below it), `c` → `d` → `h` a chain, `b` a text over 4 KiB.
fn corp_zone() -> String {
    let mut text = format!(
        "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A {CORP_DNS}\nwiki A {CORP_WEB}\n\
         h2 A {CORP_WEB}\necho.eng A {CORP_ECHO}\nhost.eng A {CORP_HOST}\nmail.eng A {CORP_HOST}\n\
         wiki.eng A {CORP_WEB}\nshort.eng 1 A {CORP_HOST}\n"
    );
    // an answer of some 1,100 bytes: one datagram by EDNS, and more than a narrow path carries
    let strings: String = (0..4).map(|j| format!(" \"{j:0>250}\"")).collect();
    let _ = writeln!(text, "long.eng TXT{strings}");
    for i in 0..NAMES {
        let address = host_address(i);
        let _ = writeln!(text, "h{i:03}.eng A {address}");
        if i % 2 == 0 {
            let _ = writeln!(text, "h{i:03}.eng AAAA fd77:0:0:10::{:x}", i + 1);
        }
        let _ = writeln!(
            text,
            "h{i:03}.eng MX {} mail.eng\nh{i:03}.eng TXT \"text of host {i}\" \"and more\"",
            i % 7
        );
        let _ = writeln!(text, "_ldap._tcp.h{i:03}.eng SRV {} 100 389 h{i:03}.eng", i % 5);
        let _ = writeln!(text, "c{i:03}.eng CNAME d{i:03}.eng\nd{i:03}.eng {} CNAME h{i:03}.eng", 60 + i);
        let strings: String = (0..18).map(|j| format!(" \"{:0>240}\"", i * 100 + j)).collect();
        let _ = writeln!(text, "b{i:03}.eng TXT{strings}");
    }
    text
}

fn public_zone() -> String {
    format!(
        "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A {PUBLIC_DNS}\npublic A {PUBLIC_WEB}\n\
         public TXT \"a public text\"\npublic MX 10 public\nalias CNAME public\n\
         _sip._udp SRV 0 5 5060 public\nh000.eng.corp A {PUBLIC_WEB}\n"
    )
}

fn empty_zone() -> String {
    "$TTL 300\n@ SOA ns1.example.net. hostmaster 1 3600 600 86400 60\n@ NS ns1.example.net.\n".to_owned()
}
