//! Metrics for Prometheus and answers for health checks, of the connector and of the gateway alike.

pub mod connector;
mod page;
mod process;

use std::future::Future;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::time::timeout;

pub use page::{Page, Series, Type};

use crate::http_port::{Client, foreign};

/// The exposition format of Prometheus, which every version of it reads.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long the program may take to say how it is before it counts as dead.
const LIFE_SIGN: Duration = Duration::from_secs(10);
/// Applications, gateways and peers that have a series of their own: more would be a load for who collects them.
pub const MOST_SERIES: usize = 100;

/// What is monitored.
pub trait Source: Clone + Send + Sync + 'static {
    /// How it is now; never, if it hangs.
    fn look(&self) -> impl Future<Output = Report> + Send;
}

/// How a program is.
#[derive(Debug)]
pub struct Report {
    /// Its own metrics; those of the process are added.
    pub metrics: Page,
    /// Whether it does its work.
    pub is_ready: bool,
    /// Its state in a word.
    pub state: String,
}

/// The routes of metrics.
pub fn metrics_router<S: Source>(source: S) -> Router {
    guarded(Router::new().route("/metrics", get(metrics::<S>)).with_state(source))
}

/// The routes of health checks: `/live` (it answers), `/ready` (it does its work), `/health` (both, in words).
pub fn health_router<S: Source>(source: S) -> Router {
    let router = Router::new()
        .route("/health", get(ready::<S>))
        .route("/ready", get(ready::<S>))
        .route("/live", get(live::<S>));
    guarded(router.with_state(source))
}

/// Both, for one port.
pub fn router(source: impl Source) -> Router {
    metrics_router(source.clone()).merge(health_router(source))
}

/// Pages of other sites read nothing here either, and there is nothing to change.
fn guarded(router: Router) -> Router {
    router.layer(middleware::from_fn(check))
}

async fn check(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let is_foreign =
        head.extensions.get::<Client>().is_none_or(|client| foreign::check(&head, client.local).is_err());
    if is_foreign {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    let mut response = next.run(Request::from_parts(head, body)).await;
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

async fn metrics<S: Source>(State(source): State<S>) -> Response {
    let Some(report) = look(&source).await else { return dead() };
    let mut page = report.metrics;
    process::add(&mut page);
    ([(header::CONTENT_TYPE, METRICS_TYPE)], page.text()).into_response()
}

async fn ready<S: Source>(State(source): State<S>) -> Response {
    let Some(report) = look(&source).await else { return dead() };
    let (status, word) = match report.is_ready {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (status, Json(json!({ "status": word, "state": report.state }))).into_response()
}

async fn live<S: Source>(State(source): State<S>) -> Response {
    match look(&source).await {
        Some(_) => Json(json!({ "status": "ok" })).into_response(),
        None => dead(),
    }
}

async fn look<S: Source>(source: &S) -> Option<Report> {
    timeout(LIFE_SIGN, source.look()).await.ok()
}

fn dead() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "dead" }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Fixed {
        is_ready: bool,
    }

    impl Source for Fixed {
        async fn look(&self) -> Report {
            let mut metrics = Page::default();
            metrics.add("x_up", "Whether it is up", Type::Gauge, [(vec![], 1.0)]);
            Report { metrics, is_ready: self.is_ready, state: "connected".to_owned() }
        }
    }

    async fn ask(is_ready: bool, path: &str, host: &str) -> (u16, String) {
        let local = "127.0.0.1:9090".parse().unwrap();
        let client = Client { peer: local, local, caller: None };
        let router = router(Fixed { is_ready }).layer(axum::Extension(client));
        let request = Request::get(path).header("host", host).body(axum::body::Body::empty()).unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router);
        let answer = hyper::service::Service::call(&service, request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_path_says_its_part() {
        let host = "127.0.0.1:9090";
        for path in ["/live", "/ready", "/health"] {
            assert_eq!(ask(true, path, host).await.0, 200, "{path}");
        }
        assert_eq!(ask(false, "/ready", host).await.0, 503);
        assert_eq!(ask(false, "/live", host).await.0, 200);
        let (_, page) = ask(true, "/metrics", host).await;
        assert!(page.contains("\nx_up 1\n") && page.contains("process_resident_memory_bytes "), "{page}");
    }

    #[tokio::test]
    async fn names_that_dns_leads_here_are_refused() {
        for path in ["/metrics", "/health"] {
            assert_eq!(ask(true, path, "evil.example:9090").await.0, 421, "{path}");
        }
    }
}
