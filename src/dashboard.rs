//! The dashboard: one page for a person, embedded in the program, made of static files that hold no data.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file of the page, as it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its octets.
    pub body: &'static [u8],
    /// The entity tag (RFC 9110, section 8.8.3) with its quotes: it changes with the body.
    pub etag: &'static str,
}

/// The file behind a path such as `/app.css`; `/` is the page.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let place = FILES.iter().position(|file| file.path == path)?;
    let File { content_type, body, .. } = FILES[place];
    Some(Asset { content_type, body, etag: &ETAGS[place] })
}

/// Where each file is, for routers.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

struct File {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $file:literal,)*) => {
        &[$(File { path: $path, content_type: $kind, body: include_bytes!(concat!("dashboard/", $file)) },)*]
    };
}

const FILES: &[File] = files! {
    "/" HTML "index.html",
    "/app.css" STYLE "app.css",
    "/icon.svg" PICTURE "icon.svg",
    "/app/api.js" SCRIPT "app/api.js",
    "/app/applications.js" SCRIPT "app/applications.js",
    "/app/chart.js" SCRIPT "app/chart.js",
    "/app/connection.js" SCRIPT "app/connection.js",
    "/app/device.js" SCRIPT "app/device.js",
    "/app/dom.js" SCRIPT "app/dom.js",
    "/app/favicon.js" SCRIPT "app/favicon.js",
    "/app/format.js" SCRIPT "app/format.js",
    "/app/header.js" SCRIPT "app/header.js",
    "/app/history.js" SCRIPT "app/history.js",
    "/app/live.js" SCRIPT "app/live.js",
    "/app/logs.js" SCRIPT "app/logs.js",
    "/app/main.js" SCRIPT "app/main.js",
    "/app/model.js" SCRIPT "app/model.js",
    "/app/parts.js" SCRIPT "app/parts.js",
    "/app/report.js" SCRIPT "app/report.js",
    "/app/settings.js" SCRIPT "app/settings.js",
    "/app/store.js" SCRIPT "app/store.js",
    "/app/strings.js" SCRIPT "app/strings.js",
    "/app/tabs.js" SCRIPT "app/tabs.js",
    "/app/troubleshooting.js" SCRIPT "app/troubleshooting.js",
};

/// Octets of a hash that are shown: enough that two versions of a file never share a tag.
const TAG_OCTETS: usize = 12;

static ETAGS: LazyLock<Vec<String>> = LazyLock::new(|| FILES.iter().map(|file| tag(file.body)).collect());

fn tag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let digits: String = hash.iter().take(TAG_OCTETS).map(|octet| format!("{octet:02x}")).collect();
    format!("\"{digits}\"")
}

#[cfg(test)]
mod tests;
