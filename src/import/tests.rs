//! Tests of the import against files as they are met.

use super::*;
use crate::config::Config;
use crate::config::keys::format_key;

const PATH: &str = "hq.conf";

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wg-quick").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn imported(text: &str) -> Imported {
    convert(Path::new(PATH), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The configuration that comes out, loaded.
fn loaded(imported: &Imported) -> Config {
    let text = imported.to_toml(PresharedKeys::Written);
    Config::parse(Path::new("/nonexistent/c.toml"), &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The lines and messages of what is wrong, each with a hint.
fn complaints(text: &str) -> Vec<String> {
    let error = convert(Path::new(PATH), text).unwrap_err();
    assert!(error.diagnostics.iter().all(|diagnostic| diagnostic.hint.is_some()));
    let said = |diagnostic: &Diagnostic| format!("{}: {}", diagnostic.origin, diagnostic.message);
    error.diagnostics.iter().map(said).collect()
}

fn shown(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_debian_client_becomes_one_gateway_and_one_application() {
    let imported = imported(&fixture("debian.conf"));
    let config = loaded(&imported);
    let [gateway] = config.gateways.as_slice() else { panic!("{config:?}") };
    assert_eq!(gateway.name, "hq");
    assert_eq!(gateway.private_key_file, Path::new("/nonexistent/hq.key"));
    assert_eq!(shown(&gateway.endpoints), ["198.51.100.7:51820"]);
    assert_eq!(shown(&gateway.addresses), ["10.77.0.3/24"]);
    assert_eq!(shown(&gateway.allowed_ips), ["10.77.0.0/24"]);
    let [application] = config.applications.as_slice() else { panic!("{config:?}") };
    assert_eq!((application.name.as_str(), application.gateway), ("hq-10.77.0.0/24", 0));
    assert_eq!(shown(&application.hosts), ["10.77.0.0/24"]);
    assert_eq!(application.ports, crate::config::ALL_PORTS);
    let [port] = imported.warnings.as_slice() else { panic!("{:?}", imported.warnings) };
    assert!(port.to_string().starts_with("hq.conf:5: warning: `ListenPort` was left out"));
}

#[test]
fn a_road_warrior_with_two_peers_keeps_keys_networks_dns_and_mtu() {
    let imported = imported(&fixture("road-warrior.conf"));
    let config = loaded(&imported);
    let names: Vec<&str> = config.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    assert_eq!(names, ["hq-1", "hq-2"]);
    assert_eq!(shown(&config.gateways[0].allowed_ips), ["10.77.0.0/16", "fd00:77::/48", "192.0.2.10/32"]);
    assert_eq!(shown(&config.gateways[0].dns), ["10.77.0.53:53"]);
    assert_eq!(shown(&config.gateways[0].addresses), ["10.77.0.3/32", "fd00:77::3/128"]);
    assert_eq!(shown(&config.gateways[1].endpoints), ["[2001:db8::7]:51820"]);
    assert!(config.gateways[0].preshared_key.is_some() && config.gateways[1].preshared_key.is_none());
    assert!(config.gateways[1].dns.is_empty());
    assert_eq!(config.applications.len(), 4);
    assert_eq!(config.applications[3].gateway, 1);
    assert_eq!(config.search_domains, ["corp.example.com"]);
    let text = imported.to_toml(PresharedKeys::Written);
    assert!(text.contains("\n[tunneling]\nmtu = 1380\nkeep_alive = 25\n"), "{text}");
    let warnings = shown(&imported.warnings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("hq.conf:5: warning: DNS server `9.9.9.9` is outside"), "{warnings:?}");
}

#[test]
fn windows_line_ends_and_byte_order_mark_do_not_matter() {
    let windows = fixture("windows.conf");
    assert!(windows.starts_with('\u{feff}') && windows.contains("\r\n"));
    let unix = windows.trim_start_matches('\u{feff}').replace('\r', "");
    let text = imported(&windows).to_toml(PresharedKeys::Written);
    assert_eq!(text, imported(&unix).to_toml(PresharedKeys::Written));
    assert_eq!(shown(&loaded(&imported(&windows)).gateways[0].dns), ["10.77.0.53:53"]);
}

#[test]
fn a_full_tunnel_is_refused_with_line_and_hint() {
    let error = convert(Path::new(PATH), &fixture("full-tunnel.conf")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("hq.conf:10: `0.0.0.0/0` would send all traffic into the tunnel"), "{text}");
    assert!(text.contains("hq.conf:10: `::/0` would send all traffic into the tunnel"), "{text}");
    assert!(text.contains("hint: name the networks or hosts that are to be protected"), "{text}");
}

#[test]
fn commands_and_unknown_keys_are_refused_each_with_its_line() {
    let refused = [
        (4, "PostUp"),
        (5, "PostDown"),
        (6, "PreUp"),
        (7, "PreDown"),
        (8, "Table"),
        (9, "SaveConfig"),
        (10, "FwMark"),
    ];
    let mut expected: Vec<String> =
        refused.iter().map(|(line, key)| format!("hq.conf:{line}: `{key}` cannot be imported")).collect();
    expected.push("hq.conf:11: unknown key `Adress`".to_owned());
    assert_eq!(complaints(&fixture("commands.conf")), expected);
}

#[test]
fn each_wrong_value_is_named_by_line() {
    for (from, to, expected) in [
        ("10.77.0.0/24", "0.0.0.0/1, 128.0.0.0/1", "9: `0.0.0.0/1` is more than any internal network"),
        ("10.77.0.0/24", "2000::/3", "9: `2000::/3` is more than any internal network"),
        ("10.77.0.0/24", "wiki", "9: `wiki` is not an address or a CIDR block"),
        ("10.77.0.0/24", "", "7: `AllowedIPs` is missing"),
        ("Endpoint", "#", "7: `Endpoint` is missing"),
        ("198.51.100.7:51820", "198.51.100.7", "10: `198.51.100.7` is not `host:port`"),
        ("PublicKey", "#", "7: `PublicKey` is missing"),
        ("PublicKey = ", "PublicKey = x", "8: `PublicKey` is not a WireGuard key: not base64"),
        ("PrivateKey = ", "PrivateKey = x", "3: `PrivateKey` is not a WireGuard key: not base64"),
        ("PrivateKey", "#", "2: `PrivateKey` is missing"),
        ("Address", "#", "2: `Address` is missing"),
        ("10.77.0.3/24", "10.77.0.3/33", "4: `10.77.0.3/33` is not an address or a CIDR block"),
        ("ListenPort = 51820", "MTU = 9001", "5: `MTU` must be between 576 and 9000"),
        ("ListenPort = 51820", "Address 10.0.0.1", "5: this line is no `key = value`"),
        (
            "ListenPort = 51820",
            "DNS = *.corp",
            "5: `DNS` holds what is neither an address nor a search domain",
        ),
        ("ListenPort = 51820", "[Route]", "5: this is no section of wg-quick"),
        ("= 25", "= soon", "11: `PersistentKeepalive` must be `off` or between 0 and 65535"),
        ("PersistentKeepalive = 25", "Endpoint = vpn:1", "11: `Endpoint` is there twice"),
        ("[Interface]", "", "1: there is no `[Interface]`"),
    ] {
        let text = fixture("debian.conf");
        assert!(text.contains(from), "{from}");
        let complaints = complaints(&text.replace(from, to));
        assert!(complaints.contains(&format!("hq.conf:{expected}")), "{expected}: {complaints:?}");
    }
    assert_eq!(complaints(""), ["hq.conf:1: there is no `[Interface]`", "hq.conf:1: there is no `[Peer]`"]);
}

#[test]
fn one_server_and_one_network_belong_to_one_peer() {
    let text = fixture("debian.conf");
    let (_, peer) = text.split_once("[Peer]").unwrap();
    let complaints = complaints(&format!("{text}[Peer]{peer}"));
    assert_eq!(
        complaints.last_chunk::<2>().unwrap(),
        &[
            "hq.conf:13: another peer has the same `PublicKey`".to_owned(),
            "hq.conf:14: `10.77.0.0/24` is another peer's as well".to_owned(),
        ]
    );
}

#[test]
fn networks_that_overlap_between_peers_are_warned_of() {
    let text = fixture("road-warrior.conf").replace("10.78.0.0/16", "10.77.5.0/24");
    let warnings = shown(&imported(&text).warnings);
    let expected = "hq.conf:19: warning: `10.77.5.0/24` overlaps `10.77.0.0/16` of another peer";
    assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
}

#[test]
fn no_key_is_in_what_is_printed() {
    let imported = imported(&fixture("road-warrior.conf"));
    let private = format_key(imported.private_key.reveal());
    let preshared = format_key(imported.peers[0].preshared_key.as_ref().unwrap().reveal());
    let printed = imported.to_toml(PresharedKeys::LeftOut);
    for text in [&printed, &imported.to_toml(PresharedKeys::Written), &format!("{imported:?}")] {
        assert!(!text.contains(&private), "{text}");
    }
    assert!(!printed.contains(&preshared) && printed.contains("\n# preshared_key = "), "{printed}");
    let config = Config::parse(Path::new("c.toml"), &printed).unwrap();
    assert!(config.gateways[0].preshared_key.is_none());
}

#[test]
fn no_key_is_in_a_complaint() {
    let text = fixture("road-warrior.conf");
    for from in ["privatekey=", "PresharedKey = ", "PublicKey = "] {
        for to in [format!("{from}x"), "Unknown = ".to_owned(), String::new()] {
            let Err(error) = convert(Path::new(PATH), &text.replace(from, &to)) else { continue };
            let said = error.to_string();
            let lines = text.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value.trim());
            let keys: Vec<&str> = lines.filter_map(|value| value.get(..43)).collect();
            assert_eq!(keys.len(), 4);
            assert!(keys.iter().all(|key| !said.contains(key)), "{said}");
        }
    }
}

#[test]
fn the_gateway_is_named_after_the_file() {
    for (path, name) in [
        ("/etc/wireguard/wg0.conf", "wg0"),
        ("my office.conf", "my-office"),
        ("-", "-"),
        ("", "gateway"),
        ("a\"b\nc.conf", "a-b-c"),
    ] {
        assert_eq!(gateway_name(Path::new(path)), name, "{path}");
        let imported = convert(Path::new(path), &fixture("debian.conf")).unwrap();
        assert_eq!(loaded(&imported).gateways[0].name, name);
    }
}
