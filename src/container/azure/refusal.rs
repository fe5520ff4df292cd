//! What the service says when it refuses, and which kind of error that is.
//!
//! Codes: "Status and error codes" and "Blob service error codes" of Azure's REST documentation.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::super::ContainerErrorKind;
use super::super::sas::SasToken;
use super::broken::Secrets;

/// The header with the id that the service gives a request.
pub(super) const REQUEST_ID: &str = "x-ms-request-id";

/// The longest text of the service that is shown.
const MAX_DETAIL_CHARS: usize = 300;

/// An answer with an unsuccessful status. Its texts hold no signature.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) kind: ContainerErrorKind,
    /// What to do about it, as the end of a sentence.
    pub(super) advice: Option<String>,
}

impl Refusal {
    /// `body` is XML in the service's own answers, and anything in those of proxies; `sas` is the token that was sent.
    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8], sas: &SasToken) -> Self {
        let secrets = Secrets::of(sas);
        let header = |name: &str| header(headers, name, &secrets);
        let body = &*secrets.redact(&String::from_utf8_lossy(body));
        let retry_after = header("retry-after")
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs);
        let date = header("date").and_then(|date| httpdate::parse_http_date(&date).ok());
        let code = header("x-ms-error-code").or_else(|| element(body, "Code"));
        Self {
            status,
            kind: kind(status, code.as_deref(), retry_after, date, sas),
            advice: advice(status, code.as_deref()).map(str::to_owned),
            code,
            request_id: header(REQUEST_ID),
            detail: element(body, "AuthenticationErrorDetail")
                .or_else(|| element(body, "Message"))
                .or_else(|| header("location").map(|_| "a redirection is not followed".to_owned())),
        }
    }
}

/// The text of a header without the signature; `None` when it says nothing.
pub(super) fn header(headers: &HeaderMap, name: &str, secrets: &Secrets) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(printable(&secrets.redact(value))).filter(|value| !value.is_empty())
}

/// What to do where the kind alone does not tell.
fn advice(status: u16, code: Option<&str>) -> Option<&'static str> {
    match (status, code) {
        (409, Some("ContainerBeingDeleted")) => Some(
            "it is being deleted: take another one, or create it again when that is over, which takes half a minute \
             or more",
        ),
        _ => None,
    }
}

/// `date` is the service's clock.
fn kind(
    status: u16,
    code: Option<&str>,
    retry_after: Option<Duration>,
    date: Option<SystemTime>,
    sas: &SasToken,
) -> ContainerErrorKind {
    use ContainerErrorKind as Kind;
    match (status, code) {
        (404, Some("ContainerNotFound")) | (409, Some("ContainerBeingDeleted")) => {
            Kind::ContainerMissing
        }
        // Only with the service's own code: a proxy's 404 says nothing about a blob.
        (404, Some("BlobNotFound")) => Kind::BlobMissing,
        (
            403,
            Some(
                "AuthorizationPermissionMismatch"
                | "AuthorizationResourceTypeMismatch"
                | "AuthorizationServiceMismatch"
                | "InsufficientAccountPermissions"
                // The token may create blobs, but not write over them.
                | "UnauthorizedBlobOverwrite",
            ),
        ) => Kind::PermissionMissing,
        (401, _)
        | (
            400 | 403,
            Some(
                "AuthenticationFailed"
                | "AuthorizationFailure"
                | "AuthorizationProtocolMismatch"
                | "AuthorizationSourceIPMismatch"
                | "InvalidAuthenticationInfo"
                | "NoAuthenticationInformation"
                | "PublicAccessNotPermitted",
            ),
        ) => {
            // The service does not say which of its reasons it was; its clock and the token do.
            let now = date.unwrap_or_else(SystemTime::now);
            match sas.expiry() {
                Some(expiry) if expiry <= now => Kind::TokenExpired,
                _ => Kind::TokenRejected,
            }
        }
        // Nobody is in the way.
        (409, Some("BlobArchived" | "BlobBeingRehydrated")) => Kind::Archived,
        (409 | 412, _) => Kind::Conflict,
        (413, _) => Kind::TooLarge,
        (429 | 503, _) => Kind::Throttled { retry_after },
        (408 | 500 | 502 | 504, _) => Kind::Server { retry_after },
        _ => Kind::Refused,
    }
}

/// The text of the first element of that name. No XML reader: the answer may be cut off, or a proxy's.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    // What follows the first line repeats the request's id and time, or the string to sign.
    let text = printable(text.trim().lines().next()?);
    (!text.is_empty()).then_some(text)
}

/// Foreign text for a terminal: nothing but printable characters, and not too many.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_DETAIL_CHARS)
        .collect()
}
