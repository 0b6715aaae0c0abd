//! What `gateway.toml` may say, and what is said about what it may not.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const OTHER_KEY: &str = "6KgXRyxvJDMqK+6n0PVWFCcnqgqkTcDvFVDBHP6wGVs=";

fn whole() -> String {
    format!(
        r#"
listen = ["0.0.0.0:51820", "[::]:51820"]
private_key_file = "gateway.key"
address = "10.99.0.1"
dns = "10.77.0.53"

[limits]
flows_per_peer = 100

[[application]]
name = "wiki"
hosts = ["wiki.corp.example.com", "*.wiki.corp.example.com"]
ports = ["tcp/80", "tcp/443"]

[[application]]
name = "metadata"
hosts = "169.254.169.254"
ports = "tcp/80"

[[peer]]
name = "ada-laptop"
public_key = "{KEY}"
preshared_key = "{KEY}"
allowed_ips = ["10.99.0.2/32", "fd99::2/128"]
applications = ["metadata", "wiki", "wiki"]
"#
    )
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/nonexistent/gateway.toml"), text).map_err(|error| error.to_string())
}

fn complaint(from: &str, to: &str) -> String {
    let text = whole();
    assert!(text.contains(from), "{from}");
    parse(&text.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn a_whole_configuration_is_read() {
    let config = parse(&whole()).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.private_key_file, Path::new("/nonexistent/gateway.key"));
    assert_eq!(config.names, ("10.99.0.1".parse().unwrap(), "fd7a:7a74:6e61::1".parse().unwrap()));
    assert_eq!(config.limits.flows_per_peer, 100);
    assert_eq!(config.peers[0].applications, [0, 1]);
    assert_eq!(config.applications[0].hosts.len(), 2);
    assert_eq!((config.egress, config.stack.value, config.mtu), (Egress::Userspace, "auto", 1420));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.is_own_inner("100.127.3.4".parse().unwrap()));
    assert!(config.is_own_inner("10.99.0.1".parse().unwrap()));
    assert!(!config.is_own_inner("10.99.0.2".parse().unwrap()));
}

#[test]
fn each_mistake_has_its_place_and_its_hint() {
    for (from, to, expected) in [
        ("listen =", "listn =", "did you mean `listen`?"),
        ("[limits]", "[limit]", "did you mean `[limits]`?"),
        ("flows_per_peer", "flow_per_peer", "did you mean `flows_per_peer`?"),
        ("hosts = [", "host = [", "did you mean `hosts`?"),
        ("= 100", "= 0", "must be a whole number from 1 to 65536"),
        ("\"wiki\", \"wiki\"]", "\"wikki\"]", "unknown application `wikki`\n  hint: did you mean `wiki`?"),
        ("10.99.0.2/32", "100.127.0.0/24", "overlaps `allowed_ips` of peer `ada-laptop`"),
        ("0.0.0.0:51820", "0.0.0.0", "`0.0.0.0` is not `address:port`"),
        ("name = \"metadata\"", "name = \"wiki\"", "application `wiki` is there twice, first at"),
        ("private_key_file = \"gateway.key\"\n", "", "`private_key_file` is missing"),
        ("dns = \"10.77.0.53\"", "pool = \"10.0.0.0/8\"", "is not a block of 16 bits"),
        (KEY, "hunter2", "`peer.public_key` is not a WireGuard key"),
    ] {
        let found = complaint(from, to);
        assert!(found.contains(expected), "{to}: {found}");
    }
}

#[test]
fn a_secret_is_not_shown_when_it_is_wrong() {
    let found = complaint(&format!("preshared_key = \"{KEY}\""), "preshared_key = 5");
    assert!(found.contains("`peer.preshared_key` must be a text"), "{found}");
    let found = complaint(&format!("preshared_key = \"{KEY}\""), "preshared_key = \"hunter2\"");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn two_peers_share_neither_name_nor_key_nor_address() {
    let second = |name: &str, key: &str, address: &str| {
        let peer =
            format!("[[peer]]\nname = \"{name}\"\npublic_key = \"{key}\"\nallowed_ips = \"{address}\"\n");
        parse(&(whole() + &peer + "applications = \"wiki\""))
    };
    assert!(second("bob", OTHER_KEY, "10.99.0.3/32").is_ok());
    assert!(second("bob", OTHER_KEY, "10.99.0.0/24").is_ok(), "a wider range is another one");
    for (name, key, address, expected) in [
        ("ada-laptop", OTHER_KEY, "10.99.0.3/32", "peer `ada-laptop` is there twice"),
        ("bob", KEY, "10.99.0.3/32", "the same public key as `ada-laptop`"),
        ("bob", OTHER_KEY, "10.99.0.2", "`10.99.0.2/32` belongs to peer `ada-laptop`"),
    ] {
        let error = second(name, key, address).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn ten_thousand_peers_are_read_in_good_time() {
    let mut text = whole();
    for index in 0..10_000u32 {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&index.to_be_bytes());
        let key = crate::config::keys::format_key(&key);
        let address = std::net::Ipv4Addr::from_bits(0x0a63_1000 + index);
        writeln!(
            text,
            "[[peer]]\nname = \"p{index}\"\npublic_key = \"{key}\"\nallowed_ips = \"{address}\"\napplications = \"wiki\""
        )
        .unwrap();
    }
    let start = std::time::Instant::now();
    assert_eq!(parse(&text).unwrap().peers.len(), 10_001);
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}
