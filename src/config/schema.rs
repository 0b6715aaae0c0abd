//! Every table and key of the configuration: type, range, default, alias, secret or not.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    /// A whole number within `min..=max`.
    Integer {
        min: i64,
        max: i64,
    },
    /// A whole number within `min..=max`, or this word.
    IntegerOr {
        min: i64,
        max: i64,
        word: &'static str,
    },
    Text,
    /// One of these words, upper or lower case.
    Choice(&'static [&'static str]),
    /// A text or an array of texts.
    List,
    /// A table of texts.
    Headers,
    /// An array of tables with the keys of [`SPLIT_DNS`].
    Zones,
}

impl Kind {
    /// The words of a choice; none for other kinds.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Choice(words) => words,
            Self::Boolean
            | Self::Integer { .. }
            | Self::IntegerOr { .. }
            | Self::Text
            | Self::List
            | Self::Headers
            | Self::Zones => &[],
        }
    }

    /// The least and the greatest number; zeros for other kinds.
    pub(crate) fn range(self) -> (i64, i64) {
        match self {
            Self::Integer { min, max } | Self::IntegerOr { min, max, .. } => (min, max),
            Self::Boolean | Self::Text | Self::Choice(_) | Self::List | Self::Headers | Self::Zones => (0, 0),
        }
    }
}

/// The value of a key that nobody gave. Lists and tables are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    None,
    Boolean(bool),
    Integer(i64),
    Text(&'static str),
}

/// One key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) preset: Preset,
    pub(crate) secret: bool,
    /// Each row must have it.
    pub(crate) required: bool,
    /// Another name of this `(table, key)`.
    pub(crate) alias_of: Option<(&'static str, &'static str)>,
}

/// One table `[name]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
}

/// The tables and keys of one kind of configuration file.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What the file configures, for the JSON Schema.
    pub(crate) title: &'static str,
    /// The plain tables, in the order in which they are documented; the one without a name holds the keys of the root.
    pub(crate) tables: &'static [Table],
    /// The arrays of tables: name, and the keys of each row.
    pub(crate) rows: &'static [(&'static str, &'static [Key])],
}

impl Schema {
    /// The key of a table, if there is one of that name.
    pub(crate) fn find(&self, table: &str, name: &str) -> Option<&'static Key> {
        let table = self.tables.iter().find(|candidate| candidate.name == table)?;
        table.keys.iter().find(|key| key.name == name)
    }

    /// Each key with its table, in the order of the documentation.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static Key)> {
        self.tables.iter().flat_map(|table| table.keys.iter().map(move |key| (table.name, key)))
    }

    /// The aliases of a key.
    pub(crate) fn aliases(
        &self,
        table: &str,
        name: &str,
    ) -> impl Iterator<Item = (&'static str, &'static Key)> {
        self.all().filter(move |(_, key)| key.alias_of == Some((table, name)))
    }
}

/// How a key is called in messages; keys of the root have no table.
pub(crate) fn full_name(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Longest time span that is accepted, in seconds: ten years, far from any overflow.
const MAX_SECONDS: i64 = 10 * 365 * 86_400;
const SECONDS: Kind = Kind::Integer { min: 1, max: MAX_SECONDS };
const PORT: Kind = Kind::Integer { min: 1, max: 65_535 };
/// Levels of the log, the quietest first.
pub(crate) const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
/// RFC 791 section 3.1: every IPv4 host takes 576 octets; 9000 is the usual jumbo frame.
const MTU: Kind = Kind::IntegerOr { min: 576, max: 9000, word: "auto" };

pub(crate) const fn key(name: &'static str, kind: Kind, preset: Preset) -> Key {
    Key { name, kind, preset, secret: false, required: false, alias_of: None }
}

pub(crate) const fn flag(name: &'static str, preset: bool) -> Key {
    key(name, Kind::Boolean, Preset::Boolean(preset))
}

pub(crate) const fn number(name: &'static str, kind: Kind, preset: i64) -> Key {
    key(name, kind, Preset::Integer(preset))
}

pub(crate) const fn text(name: &'static str) -> Key {
    key(name, Kind::Text, Preset::None)
}

pub(crate) const fn text_or(name: &'static str, preset: &'static str) -> Key {
    key(name, Kind::Text, Preset::Text(preset))
}

pub(crate) const fn choice(name: &'static str, words: &'static [&'static str], preset: &'static str) -> Key {
    key(name, Kind::Choice(words), Preset::Text(preset))
}

pub(crate) const fn list(name: &'static str) -> Key {
    key(name, Kind::List, Preset::None)
}

pub(crate) const fn secret(name: &'static str, kind: Kind) -> Key {
    Key { secret: true, ..key(name, kind, Preset::None) }
}

pub(crate) const fn required(key: Key) -> Key {
    Key { required: true, ..key }
}

pub(crate) const fn alias(name: &'static str, table: &'static str, of: &'static str, kind: Kind) -> Key {
    Key { alias_of: Some((table, of)), ..key(name, kind, Preset::None) }
}

/// The client's configuration.
pub(crate) static CLIENT: Schema = Schema {
    title: "OpenZTNA Client Connector",
    tables: TABLES,
    rows: &[("gateway", GATEWAY), ("application", APPLICATION)],
};

/// The tables, in the order in which they are documented.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "general",
        keys: &[text("client_id"), alias("control_plane_url", "control_plane", "url", Kind::Text)],
    },
    Table {
        name: "server",
        keys: &[
            text_or("host", "127.0.0.1"),
            alias("port", "api", "port", PORT),
            choice("log_level", LEVELS, "info"),
            text("log_file"),
        ],
    },
    Table {
        name: "control_plane",
        keys: &[
            text("url"),
            number("check_interval", SECONDS, 60),
            number("timeout", SECONDS, 10),
            text("ca_cert_path"),
        ],
    },
    Table {
        name: "auth",
        keys: &[
            choice("identity_provider", &["oidc", "oauth2"], "oidc"),
            text("client_id"),
            secret("client_secret", Kind::Text),
            text("oauth_url"),
            text_or("redirect_uri", "http://localhost:8085/callback"),
            text_or("scope", "openid profile email"),
            number("token_refresh_margin", Kind::Integer { min: 0, max: MAX_SECONDS }, 300),
            choice("token_storage", &["encrypted_file", "keychain", "memory"], "encrypted_file"),
            flag("require_mfa", false),
            number("mfa_remember_period", Kind::Integer { min: 0, max: MAX_SECONDS }, 86_400),
            number("session_timeout", SECONDS, 28_800),
            number("max_session_duration", SECONDS, 86_400),
            choice("browser_type", &["system", "custom", "none"], "system"),
            text("custom_browser_path"),
        ],
    },
    Table {
        name: "device_assessment",
        keys: &[
            flag("enabled", true),
            number("interval", SECONDS, 300),
            flag("required_os_updates", false),
            text("min_os_version"),
            flag("firewall_required", false),
            flag("antivirus_required", false),
            flag("disk_encryption_required", false),
            alias("check_disk_encryption", "device_assessment", "disk_encryption_required", Kind::Boolean),
            list("required_security_software"),
            text("custom_assessment_script"),
            flag("edr_integration", false),
            text("edr_vendor"),
            text("edr_check_command"),
            text("edr_status_regex"),
            text("edr_run_as"),
        ],
    },
    Table {
        name: "tunneling",
        keys: &[
            text_or("protocol", "wireguard"),
            number("mtu", MTU, 1420),
            // The keep-alive of WireGuard is a 16-bit number of seconds; 0 switches it off.
            number("keep_alive", Kind::Integer { min: 0, max: 65_535 }, 25),
            list("dns_servers"),
            alias("split_tunneling", "split_tunneling", "enabled", Kind::Boolean),
            list("exclude_domains"),
            list("allowed_users"),
            choice("stack", &["auto", "namespace", "smoltcp"], "auto"),
            flag("offload", true),
        ],
    },
    Table {
        name: "proxy",
        keys: &[
            flag("http_proxy", true),
            number("http_port", PORT, 8080),
            flag("socks_proxy", true),
            number("socks_port", PORT, 1080),
            flag("allow_direct", false),
            flag("configure_browser", false),
            list("exclude_domains"),
            text("username"),
            secret("password", Kind::Text),
        ],
    },
    Table {
        name: "split_tunneling",
        keys: &[flag("enabled", true), list("include_domains"), list("include_ips"), list("exclude_domains")],
    },
    Table {
        name: "outbound_proxy",
        keys: &[text("url"), text("username"), secret("password", Kind::Text), list("bypass_domains")],
    },
    Table {
        name: "dns",
        keys: &[list("servers"), list("search_domains"), key("split_dns", Kind::Zones, Preset::None)],
    },
    Table {
        name: "logging",
        keys: &[
            flag("siem_integration", false),
            choice("siem_format", &["CEF", "LEEF", "JSON"], "CEF"),
            text("siem_destination"),
            secret("siem_http_headers", Kind::Headers),
            choice("siem_log_level", &["error", "warn", "info", "debug"], "info"),
            list("siem_additional_fields"),
            text("siem_ca_file"),
            text("siem_client_certificate"),
            text("siem_client_key"),
        ],
    },
    Table {
        name: "api",
        keys: &[
            flag("enabled", true),
            number("port", PORT, 8086),
            flag("require_auth", true),
            secret("token", Kind::Text),
            list("allowed_users"),
        ],
    },
    Table {
        name: "monitoring",
        keys: &[
            flag("prometheus", false),
            number("prometheus_port", PORT, 9090),
            flag("healthcheck", false),
            number("healthcheck_port", PORT, 8087),
        ],
    },
];

/// The keys of each `[[gateway]]`.
pub(crate) const GATEWAY: &[Key] = &[
    required(text("name")),
    required(text("public_key")),
    required(list("endpoint")),
    required(list("address")),
    required(text("private_key_file")),
    secret("preshared_key", Kind::Text),
    required(list("allowed_ips")),
    list("dns"),
];

/// The keys of each `[[application]]`.
pub(crate) const APPLICATION: &[Key] = &[
    required(text("name")),
    required(text("host")),
    required(list("ports")),
    text("gateway"),
    text("description"),
    text("url"),
    list("requires"),
];

/// The keys of each entry of `dns.split_dns`.
pub(crate) static SPLIT_DNS: &[Key] = &[required(text("domain")), list("servers"), text("gateway")];

/// Each key of the client's configuration with its table, in the order of the documentation.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static Key)> {
    CLIENT.all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_suit_their_kind() {
        for (table, key) in all() {
            let suits = match (key.kind, key.preset) {
                (_, Preset::None) => true,
                (Kind::Boolean, Preset::Boolean(_)) | (Kind::Text, Preset::Text(_)) => true,
                (Kind::Integer { min, max } | Kind::IntegerOr { min, max, .. }, Preset::Integer(value)) => {
                    (min..=max).contains(&value)
                }
                (Kind::Choice(words), Preset::Text(word)) => words.contains(&word),
                (_, Preset::Boolean(_) | Preset::Integer(_) | Preset::Text(_)) => false,
            };
            assert!(suits, "{table}.{}", key.name);
        }
    }

    #[test]
    fn aliases_lead_to_a_key_of_the_same_kind() {
        for (table, key) in all().filter(|(_, key)| key.alias_of.is_some()) {
            let (of_table, of) = key.alias_of.unwrap();
            let target = CLIENT.find(of_table, of).unwrap();
            assert_eq!(target.kind, key.kind, "{table}.{}", key.name);
            assert!(target.alias_of.is_none());
        }
    }
}
