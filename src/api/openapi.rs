//! The description of the API for machines (OpenAPI 3.1), and which paths it knows.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document; a test compares it with the routes.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

static PATHS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    document["paths"].as_object().map(|paths| paths.keys().cloned().collect()).unwrap_or_default()
});

/// `GET /api/v1/openapi.json`.
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// The path, if it is one of ours: others may hold anything, and do not belong into events.
pub(super) fn shown(path: &str) -> &'static str {
    PATHS.get(path).map_or("other", String::as_str)
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::Body;
    use axum::http::{Method, Request, StatusCode};
    use serde_json::Value;

    use super::*;
    use crate::api::{Caller, Interface, routes, tests, unix_router};

    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    /// Of the TCP port alone.
    const BESIDE: [&str; 1] = ["/api/v1/session"];

    fn described() -> Vec<(String, Method)> {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut found = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                if operations.get(method.as_str().to_lowercase()).is_some() {
                    found.push((path.clone(), method));
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn each_route_is_described_and_nothing_else() {
        let described = described();
        let (handle, received) = tests::handle(tests::settings(None));
        drop(received); // every command finds the connector ending
        let router =
            unix_router(handle).layer(Extension(Interface::Unix)).layer(Extension(Caller { uid: 0 }));
        for (path, _) in routes() {
            for method in METHODS {
                let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let answer = hyper::service::Service::call(&service, request).await.unwrap();
                let is_there = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
                let is_described = described.contains(&(path.to_owned(), method.clone()));
                assert_eq!(is_there, is_described, "{method} {path}");
            }
        }
        let known: BTreeSet<&str> = routes().iter().map(|(path, _)| *path).chain(BESIDE).collect();
        let more = described.iter().filter(|(path, _)| !known.contains(path.as_str()));
        assert_eq!(more.count(), 0, "only what exists is described");
    }

    #[test]
    fn all_references_lead_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut rest = DOCUMENT;
        while let Some((_, after)) = rest.split_once("\"$ref\": \"#") {
            let (pointer, after) = after.split_once('"').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            rest = after;
        }
    }

    #[test]
    fn only_paths_of_ours_are_shown() {
        assert_eq!(shown("/api/v1/connect"), "/api/v1/connect");
        assert_eq!(shown("/<script>"), "other");
    }
}
