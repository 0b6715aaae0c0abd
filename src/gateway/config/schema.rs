//! Every table and key of `gateway.toml`.

use crate::config::schema::{Key, Kind, LEVELS, Schema, Table, choice, list, number, required, secret, text};

/// The gateway's configuration.
pub(crate) static SCHEMA: Schema = Schema {
    title: "OpenZTNA gateway",
    tables: &[
        Table { name: "", keys: ROOT },
        Table { name: "limits", keys: LIMITS },
        Table { name: "metrics", keys: METRICS },
    ],
    rows: &[("peer", PEER), ("application", APPLICATION)],
};

/// RFC 791 section 3.1: every IPv4 host takes 576 octets; 1420 is what WireGuard leaves of Ethernet's 1500.
const MTU: Kind = Kind::Integer { min: 576, max: 9000 };

const ROOT: &[Key] = &[
    required(list("listen")),
    required(text("private_key_file")),
    list("address"),
    list("pool"),
    list("dns"),
    choice("egress", &["userspace", "kernel"], "userspace"),
    choice("stack", &["auto", "namespace", "smoltcp"], "auto"),
    number("mtu", MTU, 1420),
    text("audit_file"),
    choice("log_level", LEVELS, "info"),
];

const LIMITS: &[Key] = &[
    number("flows_per_peer", Kind::Integer { min: 1, max: 65_536 }, 4096),
    number("half_open_per_peer", Kind::Integer { min: 1, max: 4096 }, 256),
    number("buffer_bytes_per_peer", Kind::Integer { min: 1 << 20, max: 1 << 40 }, 512 << 20),
    number("queries_per_second_per_peer", Kind::Integer { min: 1, max: 10_000 }, 100),
    number("handshakes_per_second", Kind::Integer { min: 1, max: 100_000 }, 500),
];

const METRICS: &[Key] = &[text("listen")];

/// The keys of each `[[peer]]`.
pub(crate) const PEER: &[Key] = &[
    required(text("name")),
    required(text("public_key")),
    secret("preshared_key", Kind::Text),
    required(list("allowed_ips")),
    list("applications"),
];

/// The keys of each `[[application]]`.
pub(crate) const APPLICATION: &[Key] =
    &[required(text("name")), required(list("hosts")), required(list("ports")), text("description")];
