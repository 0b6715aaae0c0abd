//! Why the guard refuses a request: status, reason code, words, and what a person can do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::Problem;
use crate::http_port::foreign::Foreign;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Refusal {
    /// It names another host.
    Host,
    /// A page of another origin asks.
    Origin,
    /// A page of another site asks.
    Site,
    /// The token is in the URL.
    TokenInUrl,
    /// The body has no stated length.
    NoLength,
    /// A change whose body is no JSON.
    NotJson,
    /// Too many requests.
    TooOften,
    /// The user may not.
    User,
    /// There is neither token nor session.
    NoToken,
    /// The token is wrong.
    WrongToken,
    /// Too many wrong tokens came.
    TooManyTokens,
    /// A change by cookie without the page's own field.
    NoPageField,
    /// A change without a token by a user who is not named.
    OtherUser,
}

impl Refusal {
    /// The reason code of the event.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Host => "other_host",
            Self::Origin => "other_origin",
            Self::Site => "other_site",
            Self::TokenInUrl => "token_in_url",
            Self::NoLength => "no_length",
            Self::NotJson => "not_json",
            Self::TooOften => "too_often",
            Self::User => "user",
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::TooManyTokens => "too_many_tokens",
            Self::NoPageField => "no_page_field",
            Self::OtherUser => "other_user",
        }
    }

    /// The reason in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Host => "the request names another host",
            Self::Origin | Self::Site => "pages of other sites may not use this API",
            Self::TokenInUrl => "a token does not belong into a URL",
            Self::NoLength => "the body must have a `Content-Length`",
            Self::NotJson => "the body must be `application/json`",
            Self::TooOften => "too many requests",
            Self::User => "this user may not read or steer the connector",
            Self::NoToken => "a token is required",
            Self::WrongToken => "the token is wrong",
            Self::TooManyTokens => "too many wrong tokens",
            Self::NoPageField => "the page's own header field is missing",
            Self::OtherUser => "without a token this user may not change anything",
        }
    }

    /// Whether a security team wants to know; not what a program does by mistake.
    pub(super) fn is_reported(self) -> bool {
        match self {
            Self::NoLength | Self::NotJson | Self::TooOften | Self::NoToken => false,
            Self::Host
            | Self::Origin
            | Self::Site
            | Self::TokenInUrl
            | Self::User
            | Self::WrongToken
            | Self::TooManyTokens
            | Self::NoPageField
            | Self::OtherUser => true,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::TokenInUrl => StatusCode::BAD_REQUEST,
            Self::NoLength => StatusCode::LENGTH_REQUIRED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooOften | Self::TooManyTokens => StatusCode::TOO_MANY_REQUESTS,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Origin | Self::Site | Self::User | Self::NoPageField | Self::OtherUser => {
                StatusCode::FORBIDDEN
            }
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Host => "use http://127.0.0.1 with the API's port",
            Self::Origin | Self::Site => "open the dashboard with `openztna-client-connector dashboard`",
            Self::TokenInUrl | Self::NoToken => {
                "send it as `Authorization: Bearer TOKEN`; it is `token` of `[api]`, or in the file `api.token` of the state folder"
            }
            Self::NoLength | Self::NotJson => "send JSON with `Content-Type: application/json`",
            Self::TooOften | Self::TooManyTokens => "wait a moment",
            Self::User => "ask as root, or add the user to `allowed_users` in `[api]` or `[tunneling]`",
            Self::WrongToken => {
                "compare it with `token` of `[api]`, or with the file `api.token` of the state folder"
            }
            Self::NoPageField => "send `X-OpenZTNA: dashboard`",
            Self::OtherUser => "send the token, or add the user to `allowed_users` in `[api]`",
        }
    }
}

impl From<Foreign> for Refusal {
    fn from(foreign: Foreign) -> Self {
        match foreign {
            Foreign::Host => Self::Host,
            Foreign::Origin => Self::Origin,
            Foreign::Site => Self::Site,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = super::last(Problem::new(self.status(), self.words()).hint(self.hint()));
        let headers = response.headers_mut();
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"OpenZTNA\""));
        }
        if self.status() == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
