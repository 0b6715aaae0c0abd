//! The status as aligned text for a terminal.

use std::fmt::Write;

use super::{
    ApplicationStatus, Colour, DnsStatus, GatewayState, GatewayStatus, PathMtu, PathMtuKnown, ProxyPort,
    ProxyStatus, SiemStatus, State, Status,
};

/// How text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With ANSI colours.
    Coloured,
    /// Without.
    Plain,
}

/// The status as lines of text, with a line break at the end. Control characters in texts are left out.
#[must_use]
pub fn render(status: &Status, style: Style) -> String {
    let mut out = String::new();
    let state = style.paint(status.colour, title(status.state));
    line(&mut out, "", &format!("{state} since {} · version {}", status.since, status.version));
    line(&mut out, "", &status.message);
    if let Some(hint) = &status.hint {
        line(&mut out, "", &format!("hint: {hint}"));
    }
    if let Some(carrier) = &status.carrier {
        line(&mut out, "", &format!("Carried by: {carrier}"));
    }
    if let Some(message) = status.device.as_ref().and_then(|device| device.message.as_ref()) {
        line(&mut out, "", &format!("Device: {message}; see `openztna-client-connector assess`"));
    }
    section(&mut out, "Gateways", gateways(&status.gateways));
    section(&mut out, "Applications", applications(&status.applications));
    section(&mut out, "DNS", dns(&status.dns));
    section(&mut out, "Proxies", status.proxies.as_ref().map(proxies).unwrap_or_default());
    section(&mut out, "Events to the SIEM", siem(&status.siem));
    section(&mut out, "Changed on this system", status.system_changes.clone());
    let drops = status.drops.iter().map(|(reason, count)| vec![reason.clone(), count.to_string()]);
    section(&mut out, "Dropped or refused packets", table(drops.collect()));
    section(&mut out, "Warnings", status.warnings.clone());
    section(&mut out, "Not effective in this version", status.not_effective.clone());
    out
}

impl Style {
    fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Gray => "90",
        };
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

fn title(state: State) -> &'static str {
    match state {
        State::Disconnected => "Disconnected",
        State::Connecting => "Connecting",
        State::Connected => "Connected",
        State::Degraded => "Connected with warnings",
        State::Blocked => "Blocked",
        State::Failed => "Failed",
    }
}

fn section(out: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    line(out, "", "");
    line(out, "", title);
    for text in lines {
        line(out, "  ", &text);
    }
}

fn line(out: &mut String, indent: &str, text: &str) {
    out.push_str(indent);
    // Texts come from the network as well: only our own colours may steer the terminal.
    let colours = text.starts_with("\x1b[");
    out.extend(text.chars().filter(|c| colours || !c.is_control()));
    out.push('\n');
}

fn siem(siem: &SiemStatus) -> Vec<String> {
    let Some(destination) = &siem.destination else { return Vec::new() };
    let mut lines = vec![
        format!("{}: {destination}", siem.state),
        format!("{} sent, {} waiting, {} lost", siem.sent, siem.spooled, siem.lost),
    ];
    lines.extend(siem.error.clone());
    lines.extend(siem.hint.as_ref().map(|hint| format!("hint: {hint}")));
    lines
}

fn gateways(gateways: &[GatewayStatus]) -> Vec<String> {
    let mut rows = vec![header(&[
        "NAME",
        "STATE",
        "ENDPOINT",
        "LAST PROVEN",
        "ROUND TRIP",
        "KEYS",
        "MTU",
        "SENT",
        "RECEIVED",
    ])];
    rows.extend(gateways.iter().map(|gateway| {
        vec![
            gateway.name.clone(),
            gateway_title(gateway.state).to_owned(),
            gateway.endpoint.clone(),
            or_dash(gateway.last_proven_at.clone()),
            or_dash(gateway.last_round_trip_ms.map(|time| format!("{time:.1} ms"))),
            or_dash(gateway.handshake_age_s.map(|age| format!("{age} s old"))),
            or_dash(gateway.path_mtu.map(path_mtu)),
            bytes(gateway.bytes_sent),
            bytes(gateway.bytes_received),
        ]
    }));
    let mut lines = table_with_header(rows);
    for gateway in gateways {
        lines.push(format!("our public key at {}: {}", gateway.name, gateway.public_key));
        if !gateway.endpoints.is_empty() {
            lines.push(format!("addresses of {}: {}", gateway.name, gateway.endpoints.join(" ")));
        }
        lines.extend(gateway.error.iter().map(|error| format!("{}: {error}", gateway.name)));
    }
    lines
}

fn proxies(proxies: &ProxyStatus) -> Vec<String> {
    let port = |port: &ProxyPort| {
        let place = port.address.clone().or_else(|| port.error.clone());
        vec![port.serves.clone(), or_dash(place)]
    };
    let mut lines = table(proxies.ports.iter().map(port).collect());
    let ProxyStatus { connections, accepted, refused, failed, .. } = proxies;
    lines.push(format!(
        "{connections} connections now, {accepted} so far; {refused} refused, {failed} failed"
    ));
    lines
}

fn path_mtu(path: PathMtu) -> String {
    let known = match path.known {
        PathMtuKnown::Assumed => "assumed",
        PathMtuKnown::Probed => "probed",
        PathMtuKnown::NoAnswer => "assumed, no answer",
    };
    format!("{} ({known})", path.inner)
}

fn gateway_title(state: GatewayState) -> &'static str {
    match state {
        GatewayState::Disconnected => "disconnected",
        GatewayState::Connecting => "connecting",
        GatewayState::Connected => "connected",
        GatewayState::Lost => "lost",
        GatewayState::Failed => "failed",
    }
}

fn applications(applications: &[ApplicationStatus]) -> Vec<String> {
    let mut rows = vec![header(&["NAME", "STATE", "HOST", "PORTS", "GATEWAY", "FLOWS"])];
    rows.extend(applications.iter().map(|application| {
        vec![
            application.name.clone(),
            application.state.clone(),
            hosts(application),
            application.ports.join(" "),
            application.gateway.clone(),
            application.flows.to_string(),
        ]
    }));
    let mut lines = table_with_header(rows);
    for application in applications {
        let Some(refusal) = &application.last_refusal else { continue };
        let destination = refusal.destination.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        lines.push(format!(
            "{}: last refusal at {}{destination}: {} ({})",
            application.name, refusal.at, refusal.text, refusal.reason
        ));
    }
    lines
}

fn hosts(application: &ApplicationStatus) -> String {
    match application.hosts.as_slice() {
        [] => "-".to_owned(),
        [only] if application.host_count == 1 => only.clone(),
        [first, ..] => format!("{first} and {} more", application.host_count.saturating_sub(1)),
    }
}

fn dns(dns: &DnsStatus) -> Vec<String> {
    if dns.mode.is_empty() {
        return Vec::new();
    }
    let folded = if dns.folded { ", folded to parents" } else { "" };
    let mut rows = vec![
        vec!["mode".to_owned(), format!("{} ({})", dns.mode, dns.state)],
        vec!["resolver".to_owned(), or_dash(dns.resolver.clone())],
        vec!["zones".to_owned(), format!("{}{folded}", dns.zones)],
        vec![
            "other names".to_owned(),
            or_dash((!dns.physical_servers.is_empty()).then(|| dns.physical_servers.join(" "))),
        ],
    ];
    if !dns.search_left_out.is_empty() {
        rows.push(vec!["not searched".to_owned(), dns.search_left_out.join(" ")]);
    }
    rows.extend(dns.note.iter().map(|note| vec!["note".to_owned(), note.clone()]));
    table(rows)
}

fn header(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|title| (*title).to_owned()).collect()
}

/// Nothing when there is only the header.
fn table_with_header(rows: Vec<Vec<String>>) -> Vec<String> {
    if rows.len() > 1 { table(rows) } else { Vec::new() }
}

/// Rows with their columns aligned by two spaces.
fn table(rows: Vec<Vec<String>>) -> Vec<String> {
    let width = |cell: &String| cell.chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(width(cell));
        }
    }
    let align = |row: Vec<String>| {
        let mut text = String::new();
        for (cell, column) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:column$}  ");
        }
        text.trim_end().to_owned()
    };
    rows.into_iter().map(align).collect()
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Octets with a binary unit.
fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64 / 1024.0;
    if value < 1.0 {
        return format!("{count} B");
    }
    for unit in units {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::*;

    fn example() -> Status {
        Status {
            version: "0.1.0".into(),
            state: State::Connected,
            colour: Colour::Green,
            message: "Connected: gateway `hq` answers".into(),
            hint: None,
            since: "2026-01-02T03:04:05Z".into(),
            gateways: vec![GatewayStatus {
                name: "hq".into(),
                state: GatewayState::Connected,
                endpoint: "198.51.100.7:51820".into(),
                endpoints: vec!["198.51.100.7:51820".into(), "[2001:db8::7]:51820".into()],
                public_key: "cHVibGlj".into(),
                last_proven_at: Some("2026-01-02T03:04:06Z".into()),
                last_round_trip_ms: Some(12.34),
                handshake_age_s: Some(61),
                bytes_sent: 2048,
                bytes_received: 12,
                path_mtu: Some(PathMtu { outer: 1_400, inner: 1_328, known: PathMtuKnown::Probed }),
                error: None,
            }],
            applications: vec![ApplicationStatus {
                name: "wiki".into(),
                hosts: vec!["wiki.corp.example.com".into()],
                host_count: 1,
                ports: vec!["tcp/80".into(), "tcp/443".into()],
                gateway: "hq".into(),
                state: "available".into(),
                reason: None,
                flows: 3,
                last_refusal: Some(Refusal {
                    reason: "port_not_allowed".into(),
                    text: "the application does not allow this port".into(),
                    at: "2026-01-02T03:05:00Z".into(),
                    destination: Some("wiki.corp.example.com tcp/22".into()),
                }),
                description: None,
                url: None,
            }],
            dns: DnsStatus {
                mode: "resolv.conf".into(),
                state: "active".into(),
                zones: 2,
                ..DnsStatus::default()
            },
            carrier: Some("TUN ztna0".into()),
            device: None,
            proxies: None,
            system_changes: vec!["made the link ztna0".into()],
            siem: crate::status::SiemStatus::default(),
            drops: [("malformed".to_owned(), 2)].into(),
            warnings: Vec::new(),
            not_effective: vec!["api.port".into()],
        }
    }

    #[test]
    fn columns_are_aligned_and_nothing_is_lost() {
        let text = render(&example(), Style::Plain);
        let column = |word: &str| text.lines().find_map(|line| line.find(word)).unwrap();
        assert_eq!(column("ENDPOINT"), column("198.51.100.7:51820"));
        assert_eq!(column("PORTS"), column("tcp/80 tcp/443"));
        for part in [
            "12.3 ms",
            "61 s old",
            "1328 (probed)",
            "2.0 KiB",
            "12 B",
            "port_not_allowed",
            "cHVibGlj",
            "addresses of hq: 198.51.100.7:51820 [2001:db8::7]:51820",
            "malformed  2",
            "api.port",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\x1b'));
        assert!(!text.contains("Warnings"));
    }

    #[test]
    fn colours_only_when_asked_and_control_characters_never() {
        let mut status = example();
        status.message = "evil\x1b[2Jtext".into();
        let text = render(&status, Style::Coloured);
        assert!(text.starts_with("\x1b[32mConnected\x1b[0m since"));
        assert!(text.contains("evil[2Jtext"));
    }

    #[test]
    fn json_goes_out_and_comes_back_the_same() {
        let json = serde_json::to_string(&example()).unwrap();
        assert!(json.contains("\"state\":\"connected\",\"colour\":\"green\""));
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), example());
    }
}
