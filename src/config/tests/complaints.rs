//! What is wrong is named with its line, its value and a hint.

use super::*;

#[test]
fn each_complaint_names_line_value_and_hint() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "[server]\nlog_levle = \"info\"",
            ":2: ",
            "unknown key `log_levle` in `[server]`",
            "did you mean `log_level`?",
        ),
        ("[sever]\nhost = \"x\"", ":1: ", "unknown table `[sever]`", "did you mean `[server]`?"),
        (
            "log_level = \"info\"",
            ":1: ",
            "unknown key `log_level` outside of any table",
            "belongs to `[server]`",
        ),
        (
            "[dns]\nlog_level = \"info\"",
            ":2: ",
            "unknown key `log_level` in `[dns]`",
            "belongs to `[server]`",
        ),
        ("server = 5", ":1: ", "`server` is not written as `[server]`", "on a line of its own"),
        ("[gateway]\nname = \"x\"", ":1: ", "`gateway` is not written as `[[gateway]]`", "[[gateway]]"),
        (
            "[server]\nlog_level = \"loud\"",
            ":2: ",
            "one of error, warn, info, debug, trace, not the text `loud`",
            "hint",
        ),
        ("[server]\nport = \"80\"", ":2: ", "from 1 to 65535, not the text `80`", "leave out the quotes"),
        (
            "[api]\nport = 70000",
            ":2: ",
            "`api.port` must be a whole number from 1 to 65535, not the number 70000",
            "hint",
        ),
        ("[api]\n\nenabled = 1", ":3: ", "`api.enabled` must be true or false, not the number 1", "hint"),
        (
            "[auth]\nclient_id = 5",
            ":2: ",
            "`auth.client_id` must be a text, not the number 5",
            "put it in quotes",
        ),
        ("[control_plane]\ncheck_interval = 0", ":2: ", "not the number 0", "hint"),
        ("[tunneling]\nmtu = 100", ":2: ", "from 576 to 9000", "hint"),
        (
            "[tunneling]\nprotocol = \"openvpn\"",
            ":2: ",
            "`tunneling.protocol = \"openvpn\"` is not supported",
            "wireguard",
        ),
        (
            "[proxy]\n\nusername = \"eve\"",
            ":3: ",
            "`proxy.username` has no effect without `proxy.password`",
            "add `password`",
        ),
        ("[proxy]\nexclude_domains = [\"a b\"]", ":2: ", "`a b` is not a host name", "labels"),
        ("[tunneling]\nprotocol = \"ipsec\"", ":2: ", "must be wireguard, not `ipsec`", "wireguard"),
        ("[tunneling]\nallowed_users = [true]", ":2: ", "user names or numbers", "hint"),
        (
            "[split_tunneling]\ninclude_ips = [\n\"10.0.0.0/8\",\n\"10.0.0.0/40\"]",
            ":4: ",
            "`10.0.0.0/40` is not an address",
            "10.77.0.0/16",
        ),
        ("[split_tunneling]\ninclude_domains = [\"a b\"]", ":2: ", "`a b` is not a host name", "labels"),
        ("[split_tunneling]\ninclude_domains = [5]", ":2: ", "an array of texts, not the number 5", "quotes"),
        (
            "[dns]\nservers = [\"dns.corp\"]",
            ":2: ",
            "`dns.corp` is not an address of a DNS server",
            "10.77.0.53",
        ),
        (
            "[dns]\nsplit_dns = [\n{ servers = [] }]",
            ":3: ",
            "`dns.split_dns.domain` is missing",
            "corp.example.com",
        ),
        (
            "[dns]\nsplit_dns = [\n{ domain = \"a\", server = [] }]",
            ":3: ",
            "unknown key `server`",
            "did you mean `servers`?",
        ),
        (
            "[dns]\nsplit_dns = \"corp\"",
            ":2: ",
            "`dns.split_dns` must be an array of tables",
            "split_dns = [{",
        ),
        (
            "[logging]\nsiem_http_headers = { a = 5 }",
            ":2: ",
            "`logging.siem_http_headers` must be a table of texts",
            "hint",
        ),
        (
            "[api]\nport = 1\n[server]\nport = 2",
            ":4: ",
            "`server.port` and `api.port` mean the same, but differ",
            "keep",
        ),
        (
            "[[application]]\nname = \"x\"\nhost = \"x.y\"\nports = [\"*\"]",
            ":1: ",
            "application `x` has no gateway",
            "[[gateway]]",
        ),
        ("a = 1\na = 2", ":2: ", "duplicate key", "hint"),
    ];
    for (text, line, message, hint) in cases {
        let all = complaints(text);
        let matching = |all: &[String]| {
            all.iter().any(|one| {
                one.contains(line) && one.contains(message) && one.contains(hint) && one.contains("hint: ")
            })
        };
        assert!(matching(&all), "{line} {message} {hint} in {all:#?} of\n{text}");
    }
}

#[test]
fn each_complaint_about_gateways_and_applications_names_its_line() {
    let application =
        "\n[[application]]\nname = \"wiki\"\nhost = \"wiki.corp\"\nports = [\"tcp/443\"]\ngateway = \"hq\"\n";
    let good = format!("{HQ}{application}");
    load(&good);
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"",
            "\"AQEB\"",
            "not a WireGuard key: 3 bytes instead of 32",
            "wg pubkey",
        ),
        (
            "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"",
            "\"?\"",
            "not a WireGuard key: not base64",
            "wg pubkey",
        ),
        ("\"198.51.100.7:51820\"", "\"198.51.100.7\"", "`198.51.100.7` is not `host:port`", "51820"),
        ("\"198.51.100.7:51820\"", "51820", "`gateway.endpoint` must be a text or an array of texts", "hint"),
        (
            "[\"10.77.0.3/32\"]",
            "[\"10.77.0.3/99\"]",
            "`10.77.0.3/99` is not an address or a CIDR block",
            "10.77.0.3/32",
        ),
        (
            "[\"10.77.0.0/16\"]",
            "[\"10.99.0.0/16\"]",
            "DNS server `10.77.0.53` is outside `allowed_ips` of gateway `hq`",
            "add `10.77.0.53/32`",
        ),
        ("[\"10.77.0.53\"]", "[]", "no DNS server for `wiki.corp`", "dns"),
        ("\"tcp/443\"", "\"tpc/443\"", "`tpc/443` is not a port specification", "tcp/8000-8100"),
        ("\"wiki.corp\"", "\"wiki corp\"", "`wiki corp` is not a host name", "labels"),
        (
            "\"wiki.corp\"",
            "\"10.99.0.0/16\"",
            "`10.99.0.0/16` of application `wiki` is outside `allowed_ips`",
            "add",
        ),
        (
            "gateway = \"hq\"",
            "gateway = \"qh\"",
            "unknown gateway `qh` in application `wiki`",
            "did you mean `hq`?",
        ),
    ];
    for (from, to, message, hint) in cases {
        assert!(good.contains(from));
        let text = good.replace(from, to);
        let all = complaints(&text);
        assert_eq!(all.len(), 1, "{all:#?}");
        assert!(all[0].contains(message) && all[0].contains(hint), "{message} {hint} in {all:#?}");
    }
    for key in ["name", "public_key", "endpoint", "address", "allowed_ips", "private_key_file"] {
        let line = HQ.lines().find(|line| line.starts_with(key)).unwrap();
        let all = complaints(&HQ.replace(line, ""));
        assert!(
            all.iter().any(|one| one.starts_with(&format!("c.toml:2: `gateway.{key}` is missing\n  hint: "))),
            "{all:?}"
        );
    }
    for key in ["name", "host", "ports"] {
        let line = application.lines().find(|line| line.starts_with(key)).unwrap();
        let text = format!("{HQ}{}", application.replace(line, ""));
        let place = format!("c.toml:{}: `application.{key}` is missing", line_of(&text, "[[application]]"));
        assert!(complaints(&text).iter().any(|one| one.starts_with(&place)), "{:?}", complaints(&text));
    }
}

#[test]
fn every_error_is_reported_in_the_order_of_the_file() {
    let text = "[api]\nport = 0\n[server]\nlog_levle = 1\n[dns]\nservers = [\"x\"]\n";
    let lines: Vec<String> =
        complaints(text).iter().map(|one| one.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["c.toml:2", "c.toml:4", "c.toml:6"]);
}

#[test]
fn names_and_keys_of_gateways_are_unique() {
    let all = complaints(&format!("{HQ}{}", HQ.replace("AQEB", "BQEB")));
    assert!(all[0].contains("gateway `hq` is there twice, first at c.toml:3"), "{all:?}");
    let all = complaints(&format!("{HQ}{}", HQ.replace("\"hq\"", "\"other\"")));
    assert!(all[0].contains("has the same public key as `hq`"), "{all:?}");
    let twice = "[[application]]\nname = \"a\"\nhost = \"10.77.0.1\"\nports = [\"*\"]\n";
    let all = complaints(&format!("{HQ}{twice}{twice}"));
    assert!(all[0].contains("application `a` is there twice"), "{all:?}");
}

#[test]
fn a_gateway_in_error_gives_no_second_error_where_it_is_named() {
    let text = format!(
        "{}{}",
        HQ.replace("198.51.100.7:51820", "?"),
        "[split_tunneling]\ninclude_ips = [\"10.0.0.0/8\"]"
    );
    assert_eq!(complaints(&text).len(), 1, "{:?}", complaints(&text));
}
