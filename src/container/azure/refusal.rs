//! Responses of the service that are errors, and their classification.
//!
//! The codes are described in Azure's REST documentation, "Status and error codes" and "Blob service error codes".

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::super::ContainerErrorKind;
use super::super::credential::sas::SasToken;
use super::transport_error::Secrets;

/// The header with the service's id of a request.
pub(super) const REQUEST_ID: &str = "x-ms-request-id";

/// The maximum length of a text of the service that is shown.
const MAX_DETAIL_CHARS: usize = 300;

/// A response with an error status. Its texts contain no signature.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) kind: ContainerErrorKind,
    /// Advice, as the end of a sentence.
    pub(super) advice: Option<String>,
}

impl Refusal {
    /// Classifies a response. `body` is XML in responses of the service, and anything in those of proxies. `sas` is the
    /// token that was sent.
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
                .or_else(|| header("location").map(|_| "redirects are not followed".to_owned())),
        }
    }
}

/// Returns the text of a header with the signature redacted; `None` if it is missing or empty.
pub(super) fn header(headers: &HeaderMap, name: &str, secrets: &Secrets) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(printable(&secrets.redact(value))).filter(|value| !value.is_empty())
}

/// Returns advice for errors whose kind has none.
fn advice(status: u16, code: Option<&str>) -> Option<&'static str> {
    match (status, code) {
        (409, Some("ContainerBeingDeleted")) => Some(
            "it is being deleted: use another one, or create it again when the deletion is finished, after half a \
             minute or more",
        ),
        _ => None,
    }
}

/// Returns the kind of the error. `date` is the time of the service's clock.
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
        // Only with the service's own code: a 404 of a proxy does not mean that the blob is missing.
        (404, Some("BlobNotFound")) => Kind::BlobMissing,
        (
            403,
            Some(
                "AuthorizationPermissionMismatch"
                | "AuthorizationResourceTypeMismatch"
                | "AuthorizationServiceMismatch"
                | "InsufficientAccountPermissions"
                // The token may create blobs, but not overwrite them.
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
            // The service does not report expiry separately, so compare the token with the service's clock.
            let now = date.unwrap_or_else(SystemTime::now);
            match sas.expiry() {
                Some(expiry) if expiry <= now => Kind::TokenExpired,
                _ => Kind::TokenRejected,
            }
        }
        // Not a conflict with another writer.
        (409, Some("BlobArchived" | "BlobBeingRehydrated")) => Kind::Archived,
        (409 | 412, _) => Kind::Conflict,
        (413, _) => Kind::TooLarge,
        (429 | 503, _) => Kind::Throttled { retry_after },
        (408 | 500 | 502 | 504, _) => Kind::Server { retry_after },
        _ => Kind::Refused,
    }
}

/// Returns the text of the first element with that name. Uses no XML parser, because the response may be truncated or
/// a proxy's.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    // The lines after the first repeat the request's id and time, or the string to sign.
    let text = printable(text.trim().lines().next()?);
    (!text.is_empty()).then_some(text)
}

/// Makes foreign text safe for a terminal: no control characters, and a limited length.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_DETAIL_CHARS)
        .collect()
}
