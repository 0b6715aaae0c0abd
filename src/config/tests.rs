//! The loader as a whole: fragments of the mission, precedence, secrets, size.

mod complaints;
mod hostile;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;

/// A gateway that works, `{}` being its name. The key is 32 times the octet 1.
const HQ: &str = r#"
[[gateway]]
name = "hq"
public_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
endpoint = "198.51.100.7:51820"
address = ["10.77.0.3/32"]
allowed_ips = ["10.77.0.0/16"]
private_key_file = "hq.key"
dns = ["10.77.0.53"]
"#;

const BRANCH: &str = r#"
[[gateway]]
name = "branch"
public_key = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
endpoint = ["branch.example.com:51820", "[2001:db8::7]:443"]
address = "10.78.0.3"
allowed_ips = ["10.78.0.0/16", "fd00:78::/48"]
private_key_file = "/var/lib/branch.key"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/openztna/c.toml"), text)
}

fn load(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// The complaints, without the folder.
fn complaints(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text);
    let errors = error.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|diagnostic| diagnostic.to_string().replace("/etc/openztna/", "")).collect()
}

/// The line of the first occurrence of `part`.
fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).unwrap() + 1
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn every_fragment_of_the_mission_loads_as_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mission");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 13);
    for file in files {
        let sources = Sources { file: file.clone(), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
        let table = config.settings.iter().filter(|setting| setting.origin != Origin::Default).count();
        assert!(table >= 2, "{} sets something", file.display());
    }
}

#[test]
fn the_example_of_first_light_is_typed() {
    let config = load(&format!(
        r#"{HQ}
[[application]]
name = "wiki"
host = "wiki.corp.example.com"
ports = ["tcp/80", "tcp/443"]
gateway = "hq"

[[application]]
name = "engineering"
host = "*.eng.corp.example.com"
ports = ["tcp/*", "udp/*", "icmp"]
"#
    ));
    let gateway = &config.gateways[0];
    assert_eq!((gateway.name.as_str(), gateway.public_key), ("hq", [1; 32]));
    assert_eq!(gateway.private_key_file, Path::new("/etc/openztna/hq.key"));
    assert_eq!(gateway.dns, ["10.77.0.53:53".parse().unwrap()]);
    assert_eq!(gateway.endpoints[0].to_string(), "198.51.100.7:51820");
    let [wiki, engineering] = config.applications.as_slice() else { panic!("two applications") };
    assert_eq!(wiki.hosts, [Host::Name(NamePattern::Exact("wiki.corp.example.com".into()))]);
    assert_eq!(wiki.ports, [PortSpec::Tcp { first: 80, last: 80 }, PortSpec::Tcp { first: 443, last: 443 }]);
    assert_eq!(engineering.hosts, [Host::Name(NamePattern::Wildcard("eng.corp.example.com".into()))]);
    assert_eq!(engineering.ports, ALL_PORTS);
    assert_eq!(engineering.gateway, 0, "the only gateway needs no naming");
    assert_eq!(*config.tunneling.mtu, Mtu::Fixed(1420));
    assert_eq!(*config.tunneling.keep_alive, 25);
    assert_eq!(*config.server.log_level, LogLevel::Info);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.not_effective.is_empty());
}

#[test]
fn what_is_included_is_one_application_on_everything() {
    let config = load(&format!(
        "{HQ}[split_tunneling]\ninclude_domains = [\"corp.example.com\", \"*.lab\"]\ninclude_ips = [\"10.77.8.0/24\", \"10.77.9.1\"]\nexclude_domains = [\"public.corp.example.com\"]\n[tunneling]\nexclude_domains = [\"*.local\"]\n"
    ));
    let [domains, ips] = config.applications.as_slice() else { panic!("two applications") };
    assert_eq!((domains.name.as_str(), ips.name.as_str()), ("include_domains", "include_ips"));
    assert_eq!(domains.hosts[0], Host::Name(NamePattern::Suffix("corp.example.com".into())));
    assert_eq!(domains.hosts[1], Host::Name(NamePattern::Wildcard("lab".into())));
    assert_eq!(ips.hosts[0].to_string(), "10.77.8.0/24");
    assert_eq!(ips.hosts[1], Host::Address([10, 77, 9, 1].into()));
    assert_eq!(domains.ports, ALL_PORTS);
    let excluded: Vec<String> = config.exclude_domains.iter().map(ToString::to_string).collect();
    assert_eq!(excluded, ["*.local", "public.corp.example.com"]);
}

#[test]
fn includes_need_one_gateway_and_wait_when_there_is_none() {
    let text = "[split_tunneling]\ninclude_domains = [\"corp\"]\n";
    let waiting = load(text);
    assert!(waiting.applications.is_empty());
    assert!(waiting.warnings[0].to_string().contains("has no effect until there is a gateway"));
    let all = complaints(&format!("{HQ}{BRANCH}{text}"));
    assert!(all[0].contains("does not say which gateway") && all[0].contains("hq, branch"), "{all:?}");
    let off = load(&format!("{HQ}{BRANCH}{text}enabled = false\n"));
    assert!(off.applications.is_empty());
    assert!(off.warnings[0].to_string().contains("`split_tunneling.enabled` is false"));
}

#[test]
fn split_dns_says_who_resolves_through_which_gateway() {
    let zone = "[dns]\nsplit_dns = [{ domain = \"Corp.Example.com.\", servers = [\"10.77.0.54\"] }, { domain = \"lab\" }]\n";
    let config = load(&format!("{HQ}{zone}"));
    assert_eq!(&*config.split_dns[0].domain, "corp.example.com");
    assert_eq!(config.split_dns[0].servers, ["10.77.0.54:53".parse().unwrap()]);
    assert_eq!(config.split_dns[1].servers, ["10.77.0.53:53".parse().unwrap()], "those of the gateway");
    assert!(config.applications.is_empty(), "split_dns grants nothing");
    let all = complaints(&format!("{HQ}{BRANCH}{zone}"));
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].contains("`split_dns` of `corp.example.com` does not say which gateway"));
    let named =
        zone.replace("\"lab\"", "\"lab\", gateway = \"hq\"").replace("com.\",", "com.\", gateway = \"hq\",");
    assert_eq!(load(&format!("{HQ}{BRANCH}{named}")).split_dns.len(), 2);
    let outside = complaints(&format!("{HQ}{}", zone.replace("10.77.0.54", "10.99.0.54")));
    assert!(outside[0].contains("DNS server `10.99.0.54` is outside `allowed_ips` of gateway `hq`"));
    let twice = complaints(&format!("{HQ}{}", zone.replace("\"lab\"", "\"corp.example.com\"")));
    assert!(twice[0].contains("zone `corp.example.com` is there twice"));
}

#[test]
fn shared_dns_servers_are_given_to_gateways_without_their_own() {
    let shared =
        "[dns]\nservers = [\"10.78.0.53\", \"10.78.0.54\"]\n[tunneling]\ndns_servers = [\"10.78.0.99\"]\n";
    let config = load(&format!("{HQ}{BRANCH}{shared}"));
    assert_eq!(config.gateways[0].dns, ["10.77.0.53:53".parse().unwrap()]);
    assert_eq!(config.gateways[1].dns, ["10.78.0.53:53".parse().unwrap(), "10.78.0.54:53".parse().unwrap()]);
    let weaker = load(&format!("{BRANCH}[tunneling]\ndns_servers = [\"10.78.0.99\"]\n"));
    assert_eq!(weaker.gateways[0].dns, ["10.78.0.99:53".parse().unwrap()]);
    let all = complaints(&format!("{BRANCH}[dns]\nservers = [\"10.78.0.53\", \"192.168.1.53\"]\n"));
    assert!(
        all[0].contains("DNS server `192.168.1.53` is outside `allowed_ips` of gateway `branch`"),
        "{all:?}"
    );
    let unused = load(&format!("{HQ}[dns]\nservers = [\"192.168.1.53\"]\n"));
    assert_eq!(unused.gateways[0].dns, ["10.77.0.53:53".parse().unwrap()], "its own come first");
}

#[test]
fn environment_beats_the_file_and_arguments_beat_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "[server]\nlog_level = \"warn\"\n[tunneling]\nmtu = 1400\nkeep_alive = 10\n").unwrap();
    let sources = Sources {
        file: file.clone(),
        environment: environment(&[
            ("OPENZTNA_CLIENT_SERVER_LOG_LEVEL", "debug"),
            ("OPENZTNA_CLIENT_TUNNELING_MTU", "1300"),
            ("OPENZTNA_CLIENT_TUNNELING_ALLOWED_USERS", "alice, 1000"),
            ("OPENZTNA_CLIENT_SERVER_PORT", "9000"),
            ("OPENZTNA_CLIENT_LOG_LEVEL", "debug"),
            ("PATH", "/bin"),
        ]),
        arguments: vec!["tunneling.mtu=1280".to_owned()],
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(*config.server.log_level, LogLevel::Debug);
    assert_eq!(config.server.log_level.origin.to_string(), "environment OPENZTNA_CLIENT_SERVER_LOG_LEVEL");
    assert_eq!(*config.tunneling.mtu, Mtu::Fixed(1280));
    assert_eq!(config.tunneling.mtu.origin.to_string(), "command line --set tunneling.mtu");
    assert_eq!(config.tunneling.keep_alive.origin.to_string(), format!("{}:5", file.display()));
    assert_eq!(config.tunneling.stack.origin, Origin::Default);
    let users: Vec<&str> = config.tunneling.allowed_users.iter().map(|user| user.as_str()).collect();
    assert_eq!(users, ["alice", "1000"]);
    assert_eq!(*config.api.port, 9000, "an alias works from outside as well");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("did you mean `OPENZTNA_CLIENT_SERVER_LOG_LEVEL`?"), "{warnings:?}");
}

#[test]
fn wrong_values_from_outside_name_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "").unwrap();
    let sources = Sources {
        file,
        environment: environment(&[
            ("OPENZTNA_CLIENT_API_PORT", "many"),
            ("OPENZTNA_CLIENT_LOGGING_SIEM_HTTP_HEADERS", "hunter2"),
        ]),
        arguments: vec!["tunneling.mut=1".to_owned(), "tunneling.mtu".to_owned(), "dns.servers=x".to_owned()],
    };
    let text = Config::load(&sources).unwrap_err().to_string();
    for part in [
        "environment OPENZTNA_CLIENT_API_PORT: `api.port` must be",
        "environment OPENZTNA_CLIENT_LOGGING_SIEM_HTTP_HEADERS: the value is no TOML array or table",
        "command line --set tunneling.mut: unknown key `tunneling.mut`\n  hint: did you mean `tunneling.mtu`?",
        "command line --set tunneling.mtu: no value",
        "command line --set dns.servers: `x` is not an address",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("hunter2"));
}

#[test]
fn aliases_stand_for_their_key() {
    let config = load(
        "[server]\nport = 9001\n[general]\ncontrol_plane_url = \"https://cp\"\n[device_assessment]\ncheck_disk_encryption = true\n[tunneling]\nsplit_tunneling = false\n[split_tunneling]\nenabled = false",
    );
    assert_eq!(*config.api.port, 9001);
    assert_eq!(config.control_plane.url.unwrap().value, "https://cp");
    assert!(config.device_assessment.disk_encryption_required.value);
}

#[test]
fn secrets_are_masked_wherever_the_configuration_is_shown() {
    let text = format!(
        "{HQ}preshared_key = \"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\"\n[auth]\nclient_secret = \"hunter2\"\n[api]\ntoken = \"hunter2\"\n[outbound_proxy]\npassword = \"hunter2\"\n[logging]\nsiem_http_headers = {{ Authorization = \"hunter2\" }}\n"
    );
    let config = load(&text);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("AwMD") && !shown.contains("3, 3, 3"), "{shown}");
    assert_eq!(config.api.token.unwrap().reveal(), "hunter2");
    assert_eq!(config.gateways[0].preshared_key.as_ref().unwrap().reveal(), &[3; 32]);
    for wrong in [
        "[auth]\nclient_secret = [\"hunter2\"]",
        "[logging]\nsiem_http_headers = \"hunter2\"",
        "[api]\ntoken = hunter2",
    ] {
        assert!(!parse(wrong).unwrap_err().to_string().contains("hunter2"));
    }
}

#[test]
fn a_secret_in_a_file_that_others_can_read_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "[api]\ntoken = \"x\"\n").unwrap();
    let warnings = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Config::load(&Sources { file: file.clone(), ..Sources::default() }).unwrap().warnings
    };
    assert!(warnings(0o600).is_empty());
    let warned = warnings(0o644);
    assert_eq!(warned.len(), 1);
    assert!(
        warned[0]
            .to_string()
            .contains(":2: warning: `api.token` is a secret in a file that every user can read")
    );
}

#[test]
fn keys_without_effect_are_reported_one_by_one() {
    let config = load(
        "[tunneling]\nmtu = \"auto\"\nstack = \"auto\"\nkeep_alive = 20\n[dns]\nsearch_domains = [\"corp\"]\n[server]\nlog_level = \"info\"\nport = 1\nhost = \"127.0.0.1\"\n[api]\ntoken = \"x\"\n[auth]\nclient_id = \"x\"\n",
    );
    let keys: Vec<String> = config.not_effective.iter().map(|one| one.key.clone()).collect();
    assert_eq!(keys, ["auth.client_id"]);
    let text = config.not_effective[0].diagnostic().to_string();
    assert_eq!(text, "/etc/openztna/c.toml:14: warning: `auth.client_id` is not effective in this version");
}

#[test]
fn the_settings_in_force_name_value_and_origin() {
    let config = load(
        "[tunneling]\nmtu = 1400\n[split_tunneling]\nexclude_domains = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]\n[auth]\nclient_secret = \"x\"",
    );
    let show = |key: &str| {
        let setting = config.settings.iter().find(|setting| setting.key == key).unwrap();
        format!("{} ({})", setting.value, setting.origin)
    };
    assert_eq!(show("tunneling.mtu"), "1400 (/etc/openztna/c.toml:2)");
    assert_eq!(show("api.port"), "8086 (default)");
    assert_eq!(show("auth.client_secret"), "*** (/etc/openztna/c.toml:6)");
    assert_eq!(
        show("split_tunneling.exclude_domains"),
        "[\"a\", \"b\", \"c\", \"d\", \"e\", … 6 in all] (/etc/openztna/c.toml:4)"
    );
}

#[test]
fn a_private_key_with_wrong_content_is_an_error_and_a_readable_one_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let key = folder.path().join("hq.key");
    fs::write(&file, HQ).unwrap();
    let load = || Config::load(&Sources { file: file.clone(), ..Sources::default() });
    assert!(load().unwrap().warnings.is_empty(), "it is made at the first start");
    fs::write(&key, "nonsense").unwrap();
    let text = load().unwrap_err().to_string();
    assert!(text.contains(":8: failed to read private key") && !text.contains("nonsense"), "{text}");
    fs::write(&key, keys::format_key(&[8; 32])).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load().unwrap().warnings[0].to_string().contains("can be read by others"));
}

#[test]
fn a_file_that_is_absent_is_named_with_a_hint() {
    let sources = Sources { file: "/nonexistent/c.toml".into(), ..Sources::default() };
    let text = Config::load(&sources).unwrap_err().to_string();
    assert!(
        text.contains("failed to read configuration: `/nonexistent/c.toml`") && text.contains("hint: "),
        "{text}"
    );
}

#[test]
fn a_hundred_thousand_domains_load_at_once() {
    let mut text = format!("{HQ}[split_tunneling]\ninclude_domains = [\n");
    for index in 0..100_000 {
        text.push_str(&format!("  \"host{index}.department{}.corp.example.com\",\n", index % 100));
    }
    text.push_str("]\n");
    let start = Instant::now();
    let config = load(&text);
    let elapsed = start.elapsed();
    assert_eq!(config.applications.len(), 1);
    assert_eq!(config.applications[0].hosts.len(), 100_000);
    assert!(elapsed.as_secs() < 5, "generous, since the machine may be busy: {elapsed:?}");
}
