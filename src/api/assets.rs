//! What browsers fetch without a token: the PAC file, and the page's files, which hold no data.

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::{Caller, Problem, not_found};
use crate::dashboard;
use crate::proxy::pac::{PAC_TYPE, PacFile};

/// `GET /proxy.pac`, for those who may use the proxies.
pub(super) async fn pac(State(pac): State<PacFile>, caller: Option<Extension<Caller>>, uri: Uri) -> Response {
    // another device has no caller, and could not reach the proxies
    if !caller.is_some_and(|Extension(caller)| pac.allows(caller)) {
        let words = "Access denied: this user may not use the proxies";
        return Problem::new(StatusCode::FORBIDDEN, words).into_response();
    }
    match pac.script() {
        Some(script) => ([(header::CONTENT_TYPE, PAC_TYPE)], script).into_response(),
        None => not_found(uri).await.into_response(),
    }
}

/// A file of the page; browsers ask each time whether it is still the same.
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = dashboard::asset(uri.path()) else { return not_found(uri).await.into_response() };
    let fields = [(header::ETAG, asset.etag), (header::CACHE_CONTROL, "no-cache")];
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter();
    if known.any(|tag| tag == asset.etag) {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, [(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response()
}
