//! The PAC file: a script by which a browser knows what goes to the proxies.

mod file;
mod server;

use std::collections::BTreeMap;

use crate::config::{NamePattern, Prefix};

pub use file::PacFile;
pub(super) use server::serve;

/// What browsers expect of a PAC file.
pub const PAC_TYPE: &str = "application/x-ns-proxy-autoconfig";

/// What browsers send to the proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Names that are reached through the tunnel.
    pub protected: Vec<NamePattern>,
    /// Names that are not, though a wider rule covers them; the nearer rule wins.
    pub unprotected: Vec<NamePattern>,
    /// Addresses that are reached through the tunnel.
    pub networks: Vec<Prefix>,
    /// Domains that complete a name without a dot.
    pub search: Vec<String>,
}

/// Where the proxies are, and what they do with what is not protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Of SOCKS5.
    pub socks_port: Option<u16>,
    /// Of HTTP.
    pub http_port: Option<u16>,
    /// Whether a browser may go on without the proxies when none of them answers.
    pub allow_direct: bool,
}

/// The script. What is `excluded` goes directly whatever the rules say; so does what no rule covers.
///
/// It is plain ECMAScript 3, asks no DNS, and takes as long for ten thousand names as for one.
#[must_use]
pub fn script(rules: &Rules, excluded: &[NamePattern], proxies: Proxies) -> String {
    let names = rules.protected.iter().map(|pattern| (pattern, true));
    let names = names.chain(rules.unprotected.iter().map(|pattern| (pattern, false)));
    let networks: Vec<String> = rules.networks.iter().map(network).collect();
    let search: Vec<String> = rules.search.iter().map(|domain| quote(domain.trim_end_matches('.'))).collect();
    format!(
        "// Made by OpenZTNA Client Connector from its configuration.\n\
         var proxies = {};\nvar excluded = {};\nvar rules = {};\nvar networks = [{}];\nvar search = [{}];\n{PROGRAM}",
        quote(&answer(proxies)),
        pac_names(excluded.iter().map(|pattern| (pattern, true))),
        pac_names(names),
        networks.join(","),
        search.join(","),
    )
}

/// Names as an object of the script: `=` for a name itself, `+` for it and all below, `*` for what is below. Every
/// character that means anything to a script, to HTML or to an old browser is escaped.
pub fn pac_names<'a>(names: impl Iterator<Item = (&'a NamePattern, bool)>) -> String {
    let mut object = BTreeMap::new();
    for (pattern, is_protected) in names {
        let sign = match pattern {
            NamePattern::Exact(_) => '=',
            NamePattern::Suffix(_) => '+',
            NamePattern::Wildcard(_) => '*',
        };
        object.insert(format!("{sign}{}", pattern.name()), u8::from(is_protected));
    }
    let entries: Vec<String> =
        object.iter().map(|(name, is_protected)| format!("{}:{is_protected}", quote(name))).collect();
    format!("{{{}}}", entries.join(","))
}

/// What the script answers for what is protected.
fn answer(proxies: Proxies) -> String {
    let socks = proxies.socks_port.map(|port| format!("SOCKS5 127.0.0.1:{port}"));
    let http = proxies.http_port.map(|port| format!("PROXY 127.0.0.1:{port}"));
    let direct = proxies.allow_direct.then(|| "DIRECT".to_owned());
    let ways: Vec<String> = socks.into_iter().chain(http).chain(direct).collect();
    ways.join("; ")
}

fn network(prefix: &Prefix) -> String {
    let octets = match prefix.network().address {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    let octets: Vec<String> = octets.iter().map(ToString::to_string).collect();
    format!("[[{}],{}]", octets.join(","), prefix.length)
}

/// A text as a literal of the script, in ASCII.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok(plain @ (' '..='~')) if !matches!(plain, '"' | '\\' | '<' | '>' | '&' | '\'') => {
                quoted.push(plain)
            }
            Ok(_) | Err(_) => quoted.push_str(&format!("\\u{unit:04x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// The same for everybody. A name is looked up with each of its parents, the nearest first.
const PROGRAM: &str = r#"
function has(names, key) { return Object.prototype.hasOwnProperty.call(names, key); }
function find(names, host) {
  var rest = host, sign = "+";
  if (has(names, "=" + host)) { return names["=" + host]; }
  while (rest) {
    if (sign == "*" && has(names, "*" + rest)) { return names["*" + rest]; }
    if (has(names, "+" + rest)) { return names["+" + rest]; }
    var dot = rest.indexOf(".");
    rest = dot < 0 ? "" : rest.substring(dot + 1);
    sign = "*";
  }
  return 0;
}
function octets(host) {
  var found = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host), all = [], i;
  if (found) {
    for (i = 1; i < 5; i++) { all.push(Number(found[i])); }
    return all;
  }
  host = host.replace(/^\[/, "").replace(/\]$/, "");
  if (host.indexOf(":") < 0 || /[^0-9a-f:]/.test(host)) { return null; }
  var halves = host.split("::");
  var words = halves[0] ? halves[0].split(":") : [];
  var tail = halves.length > 1 && halves[1] ? halves[1].split(":") : [];
  while (halves.length > 1 && words.length + tail.length < 8) { words.push("0"); }
  words = words.concat(tail);
  if (words.length != 8) { return null; }
  for (i = 0; i < 8; i++) { var word = parseInt(words[i], 16); all.push(word >> 8, word & 255); }
  return all;
}
function within(address, network) {
  if (address.length != network[0].length) { return false; }
  for (var bit = 0; bit < network[1]; bit++) {
    if ((address[bit >> 3] ^ network[0][bit >> 3]) & (128 >> (bit & 7))) { return false; }
  }
  return true;
}
function isProtected(host) {
  var address = octets(host), i;
  if (address) {
    for (i = 0; i < networks.length; i++) { if (within(address, networks[i])) { return true; } }
    return false;
  }
  for (i = 0; i < search.length && host.indexOf(".") < 0; i++) {
    var whole = host + "." + search[i];
    if (!find(excluded, whole) && find(rules, whole)) { return true; }
  }
  return find(rules, host) == 1;
}
function FindProxyForURL(url, host) {
  host = host.toLowerCase().replace(/\.$/, "");
  return !find(excluded, host) && isProtected(host) ? proxies : "DIRECT";
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        let evil = NamePattern::Exact("\"};alert(1)//</script>\u{2028}\\é'".into());
        let object = pac_names([(&evil, true)].into_iter());
        assert!(object.is_ascii() && object.matches('"').count() == 2, "{object}");
        assert!(!object.contains(['<', '>', '&', '\'', '\u{2028}']), "{object}");
        let read: BTreeMap<String, u8> = serde_json::from_str(&object).unwrap();
        assert_eq!(read, BTreeMap::from([(format!("={}", evil.name()), 1)]));
    }

    #[test]
    fn each_kind_of_name_has_its_sign_and_exclusions_win() {
        let names = ["wiki.corp", "*.corp", "eng.corp"].map(|text| NamePattern::parse_host(text).unwrap());
        let domain = NamePattern::parse_domain("eng.corp").unwrap();
        let all = names.iter().map(|name| (name, true)).chain([(&domain, true), (&names[2], false)]);
        assert_eq!(pac_names(all), r#"{"*corp":1,"+eng.corp":1,"=eng.corp":0,"=wiki.corp":1}"#);
    }

    #[test]
    fn what_answers_is_listed_in_order() {
        let all = Proxies { socks_port: Some(1080), http_port: Some(8080), allow_direct: false };
        assert_eq!(answer(all), "SOCKS5 127.0.0.1:1080; PROXY 127.0.0.1:8080");
        assert_eq!(
            answer(Proxies { allow_direct: true, ..all }),
            "SOCKS5 127.0.0.1:1080; PROXY 127.0.0.1:8080; DIRECT"
        );
        assert_eq!(answer(Proxies { socks_port: None, ..all }), "PROXY 127.0.0.1:8080");
    }

    #[test]
    fn the_script_holds_the_rules() {
        let rules = Rules {
            networks: vec!["10.77.9.9/16".parse().unwrap(), "fd00::/8".parse().unwrap()],
            search: vec!["corp.example.com.".to_owned()],
            ..Rules::default()
        };
        let script = script(&rules, &[], Proxies::default());
        assert!(script.contains("var networks = [[[10,77,0,0],16],[[253,0,"), "{script}");
        assert!(script.contains("var search = [\"corp.example.com\"];"), "{script}");
        assert!(script.contains("function FindProxyForURL(url, host)"));
    }
}
