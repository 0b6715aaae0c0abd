//! The TOML of an imported configuration.

use std::fmt::Display;

use toml::Value;

use super::peer::Peer;
use super::{Imported, PresharedKeys};
use crate::config::Prefix;
use crate::config::keys::format_key;

const HEADER: &str = "\
# Imported from a wg-quick configuration. Each network is an application that allows everything:
# narrow `ports`, or name hosts instead (`host = \"wiki.corp.example.com\"`, `host = \"*.corp.example.com\"`).
";

/// The text of the file.
pub(super) fn render(imported: &Imported, preshared_keys: PresharedKeys) -> String {
    let mut text = String::from(HEADER);
    render_settings(imported, &mut text);
    for peer in &imported.peers {
        render_gateway(imported, peer, preshared_keys, &mut text);
    }
    for peer in &imported.peers {
        for (network, _) in &peer.networks {
            render_application(peer, *network, &mut text);
        }
    }
    text
}

fn render_settings(imported: &Imported, text: &mut String) {
    let keep_alive = keep_alive(&imported.peers);
    if imported.interface.mtu.is_some() || keep_alive.is_some() {
        text.push_str("\n[tunneling]\n");
    }
    if let Some(mtu) = imported.interface.mtu {
        push(text, "mtu", &Value::Integer(mtu));
    }
    if let Some(seconds) = keep_alive {
        push(text, "keep_alive", &Value::Integer(seconds.into()));
    }
    if !imported.interface.search_domains.is_empty() {
        text.push_str("\n[dns]\n");
        push(text, "search_domains", &list(&imported.interface.search_domains));
    }
}

/// One value for all gateways: the shortest that a peer asks for, since it serves the others as well.
fn keep_alive(peers: &[Peer]) -> Option<u16> {
    let given = || peers.iter().filter_map(|peer| peer.keep_alive);
    given().filter(|seconds| *seconds > 0).min().or_else(|| given().min())
}

fn render_gateway(imported: &Imported, peer: &Peer, preshared_keys: PresharedKeys, text: &mut String) {
    text.push_str("\n[[gateway]]\n");
    push(text, "name", &string(&peer.name));
    push(text, "public_key", &string(format_key(&peer.public_key)));
    push(text, "endpoint", &string(&peer.endpoint));
    push(text, "address", &list(&imported.interface.addresses));
    push(text, "allowed_ips", &list(peer.networks.iter().map(|(network, _)| network)));
    push(text, "private_key_file", &string(imported.key_file()));
    match (&peer.preshared_key, preshared_keys) {
        (Some(key), PresharedKeys::Written) => {
            push(text, "preshared_key", &string(format_key(key.reveal())));
        }
        (Some(_), PresharedKeys::LeftOut) => {
            text.push_str("# preshared_key = \"put it in, and keep others from reading this file\"\n");
        }
        (None, PresharedKeys::Written | PresharedKeys::LeftOut) => {}
    }
    if !peer.dns.is_empty() {
        push(text, "dns", &list(&peer.dns));
    }
}

fn render_application(peer: &Peer, network: Prefix, text: &mut String) {
    text.push_str("\n[[application]]\n");
    push(text, "name", &string(format!("{}-{network}", peer.name)));
    push(text, "host", &string(network));
    push(text, "ports", &list(["*"]));
    push(text, "gateway", &string(&peer.name));
}

fn push(text: &mut String, key: &str, value: &Value) {
    text.push_str(&format!("{key} = {value}\n"));
}

fn string(value: impl Display) -> Value {
    Value::String(value.to_string())
}

fn list(values: impl IntoIterator<Item = impl Display>) -> Value {
    Value::Array(values.into_iter().map(string).collect())
}
