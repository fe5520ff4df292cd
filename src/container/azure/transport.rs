//! Sends calls with the SAS token and reads the responses, with timeouts.
//!
//! Errors of the HTTP client are reduced to a kind and a text without the signature.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use url::Url;

use super::super::credential::sas::SasToken;
use super::super::credential::{Renewal, TokenSource};
use super::super::error::ErrorResponse;
use super::super::{ContainerErrorKind, NetworkFailure};
use super::Timeouts;
use super::bodies::{BodyBudget, BodyShare};
use super::connect::{self, HttpClient};
use super::refusal::{REQUEST_ID, Refusal, header};
use super::request::{Call, RequestBase};
use super::transport_error::{Secrets, TransportError};

/// The maximum size of one blob in a listing: a name of 1,024 characters, each escaped, and two kilobytes of
/// properties.
const MAX_LISTED_BLOB_BYTES: u64 = 8 << 10;

/// The maximum size of a listing without its blobs.
const LISTING_OVERHEAD: u64 = 64 << 10;

/// The maximum number of bytes that are read of the body of an error response.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// The maximum number of bytes that are read of a body that is not needed, in order to reuse its connection.
const MAX_IGNORED_BYTES: u64 = 64 << 10;

/// The timeout for such a body. A new connection takes no longer, so waiting more would save nothing.
const IGNORED_TIMEOUT: Duration = Duration::from_secs(1);

/// The timeout for the body of an error response, because its request still holds a permit.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The response to a call.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) content: Bytes,
    /// The part of the budget that the content uses until it is parsed or returned.
    pub(super) _share: Option<BodyShare>,
    /// The head of the response, for errors in its content.
    pub(super) head: Option<ErrorResponse>,
}

/// A failed call.
#[derive(Debug)]
pub(super) struct CallFailure {
    pub(super) reason: FailureReason,
    /// The head of the response, if there was one and its status was not an error.
    pub(super) response: Option<ErrorResponse>,
}

impl<R: Into<FailureReason>> From<R> for CallFailure {
    fn from(reason: R) -> Self {
        Self {
            reason: reason.into(),
            response: None,
        }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum FailureReason {
    /// The service responded with an error.
    Refused(Box<Refusal>),
    /// No complete response arrived.
    Transport(TransportError),
    /// The blob has more bytes than this limit.
    TooLarge(u64),
    /// The request or the response is invalid, for this reason.
    Protocol(String),
}

impl From<TransportError> for FailureReason {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

pub(super) struct Transport {
    client: HttpClient,
    base: RequestBase,
    tokens: TokenSource,
    timeouts: Timeouts,
    bodies: BodyBudget,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base", &self.base)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Creates the transport to the container with that URL.
    pub(super) fn new(
        container: &Url,
        tokens: TokenSource,
        timeouts: Timeouts,
    ) -> Result<Self, TransportError> {
        let failed = |failure, detail| TransportError { failure, detail };
        let base = RequestBase::new(container)
            .ok_or_else(|| failed(NetworkFailure::Other, "its URL has no host".to_owned()))?;
        let client = connect::client(container, &timeouts).map_err(|error| {
            let failure = match error.kind() {
                io::ErrorKind::Unsupported => NetworkFailure::Other,
                _ => NetworkFailure::Tls,
            };
            failed(failure, error.to_string())
        })?;
        Ok(Self {
            client,
            base,
            tokens,
            timeouts,
            bodies: BodyBudget::new(),
        })
    }

    /// Sends a call. If the service rejects the token, sends it again with each new token of the source.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, CallFailure> {
        let mut sas = self.tokens.current().await;
        loop {
            let mut refusal = match self.send_with(call, &sas).await {
                Err(CallFailure {
                    reason: FailureReason::Refused(refusal),
                    ..
                }) => refusal,
                finished => return finished,
            };
            if let ContainerErrorKind::TokenExpired | ContainerErrorKind::TokenRejected =
                refusal.kind
            {
                match self.tokens.after_rejection(&sas).await {
                    Renewal::Renewed(renewed) => {
                        sas = renewed;
                        continue;
                    }
                    Renewal::Unavailable(advice) => refusal.advice = Some(advice),
                }
            }
            return Err(FailureReason::Refused(refusal).into());
        }
    }

    async fn send_with(&self, call: &Call<'_>, sas: &SasToken) -> Result<Response, CallFailure> {
        let transport_error = |error: &(dyn std::error::Error + 'static), default| {
            TransportError::new(error, default, &Secrets::of(sas))
        };
        let request = self.base.request(call, sas).map_err(|error| {
            FailureReason::Protocol(format!("the request cannot be built: {error}"))
        })?;
        let sending = Duration::from_secs(call.content_bytes() / self.timeouts.min_rate.max(1));
        let timeout = self.timeouts.response.saturating_add(sending);
        let response = tokio::time::timeout(timeout, self.client.request(request)).await;
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let default = match error.is_connect() {
                    true => NetworkFailure::Connect,
                    false => NetworkFailure::Reset,
                };
                return Err(transport_error(&error, default).into());
            }
            Err(_) => return Err(TransportError::timed_out("no response", timeout).into()),
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let refusal = self.refusal(head, body, sas).await;
            return Err(FailureReason::Refused(Box::new(refusal)).into());
        }
        let error_response = || ErrorResponse {
            status: head.status.as_u16(),
            code: None,
            request_id: header(&head.headers, REQUEST_ID, &Secrets::of(sas)),
        };
        let failed = |reason| CallFailure {
            reason,
            response: Some(error_response()),
        };
        // Before the body is read: it may be another server's.
        check(call, head.status, &head.headers).map_err(failed)?;
        if let Call::Put { .. } | Call::Delete { .. } = call {
            // Azure's responses end with an empty last chunk, which may arrive after the head. The connection can be
            // reused only if the body is read to its end.
            if !body.is_end_stream() {
                let rest = self.read(body, MAX_IGNORED_BYTES);
                let _ = tokio::time::timeout(IGNORED_TIMEOUT, rest).await;
            }
            return Ok(Response {
                content: Bytes::new(),
                _share: None,
                head: None,
            });
        }
        // Content that ends with the connection may be truncated.
        let ends_with_connection = body.size_hint().exact().is_none() && !is_chunked(&head);
        if ends_with_connection && matches!(call, Call::Get { .. }) {
            let reason = "the response has no length".to_owned();
            return Err(failed(FailureReason::Protocol(reason)));
        }
        let at_most = match call {
            Call::Get { at_most, .. } => *at_most,
            Call::List { at_most, .. } => {
                u64::from(*at_most) * MAX_LISTED_BLOB_BYTES + LISTING_OVERHEAD
            }
            Call::Put { .. } | Call::Delete { .. } => MAX_IGNORED_BYTES,
        };
        let (content, share) = self.read(body, at_most).await.map_err(|failure| {
            failed(match failure {
                BodyFailure::Broken(error) => transport_error(&error, NetworkFailure::Reset).into(),
                BodyFailure::Stalled => {
                    TransportError::timed_out("the response stalled", self.timeouts.response).into()
                }
                BodyFailure::Slow(timeout) => {
                    TransportError::timed_out("the response was incomplete", timeout).into()
                }
                BodyFailure::TooLarge => match call {
                    Call::Get { .. } => FailureReason::TooLarge(at_most),
                    _ => FailureReason::Protocol(format!(
                        "the response has more than {at_most} bytes"
                    )),
                },
            })
        })?;
        Ok(Response {
            content,
            _share: Some(share),
            head: Some(error_response()),
        })
    }

    /// Reads the body of an error response, which may be missing: the status is enough.
    async fn refusal(&self, head: Parts, body: Incoming, sas: &SasToken) -> Refusal {
        let timeout = self.timeouts.response.min(REFUSAL_TIMEOUT);
        let body = tokio::time::timeout(timeout, self.read(body, MAX_REFUSAL_BYTES)).await;
        let body = body.ok().and_then(Result::ok);
        let body = body.map_or_else(Bytes::new, |(body, _)| body);
        Refusal::read(head.status.as_u16(), &head.headers, &body, sas)
    }

    /// Reads a complete body; returns it with its share of the budget.
    ///
    /// It fails if no bytes arrive for the response timeout, or if the body takes longer than that timeout plus its time at
    /// the minimum rate. The time that it waits for the budget does not count.
    async fn read(
        &self,
        mut body: Incoming,
        at_most: u64,
    ) -> Result<(Bytes, BodyShare), BodyFailure> {
        let expected = body.size_hint().lower();
        if expected > at_most {
            return Err(BodyFailure::TooLarge);
        }
        let mut share = self.bodies.share();
        share.grow_to(expected).await;
        let stall_timeout = self.timeouts.response;
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let mut first = Bytes::new();
        let mut joined = Vec::new();
        while !body.is_end_stream() {
            let received = (first.len() + joined.len()) as u64;
            let seconds = received as f64 / self.timeouts.min_rate.max(1) as f64;
            let receiving = Duration::from_secs_f64(seconds);
            let timeout = stall_timeout.saturating_add(receiving);
            let left = (timeout + waited).saturating_sub(started.elapsed());
            let frame = match tokio::time::timeout(stall_timeout.min(left), body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(BodyFailure::Broken(error)),
                Ok(None) => break,
                // The body was slow before this frame.
                Err(_) if left < stall_timeout / 2 => return Err(BodyFailure::Slow(timeout)),
                Err(_) => return Err(BodyFailure::Stalled),
            };
            // The other kind of frame has trailers.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let needed = first.len() + joined.len() + piece.len();
            if needed as u64 > at_most {
                return Err(BodyFailure::TooLarge);
            }
            // The announced length is foreign, so it only sets the capacity, within a limit.
            let announced = usize::try_from(expected).unwrap_or(0).min(16 << 20);
            let is_first = first.is_empty() && joined.is_empty();
            let capacity = match needed > joined.capacity() {
                true if is_first => needed,
                true => needed.max(2 * joined.capacity()).max(announced),
                false => joined.capacity(),
            };
            let waiting_since = Instant::now();
            share.grow_to(capacity as u64).await;
            waited += waiting_since.elapsed();
            if is_first {
                first = piece;
                continue;
            }
            joined.reserve_exact(capacity - joined.len());
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&piece);
        }
        let content = match joined.is_empty() {
            true => first,
            false => joined.into(),
        };
        Ok((content, share))
    }
}

/// Returns whether the body is chunked and has no other coding. Then a truncated body is detected without a length
/// (RFC 9112, 7.1).
fn is_chunked(head: &Parts) -> bool {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let only = codings.next().filter(|_| codings.next().is_none());
    only.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Why a body could not be read.
enum BodyFailure {
    Broken(hyper::Error),
    /// No bytes arrived for the response timeout.
    Stalled,
    /// Bytes arrived, but the body was incomplete after this timeout.
    Slow(Duration),
    TooLarge,
}

/// Checks that a successful response is from the service: proxies and captive portals respond with 200 to any request.
fn check(call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Result<(), FailureReason> {
    if status != call.success() {
        let (status, expected) = (status.as_u16(), call.success().as_u16());
        let text = format!("the response has the status {status} instead of {expected}");
        return Err(FailureReason::Protocol(text));
    }
    if !headers.contains_key(REQUEST_ID) {
        let text = "the response has no x-ms-request-id, so it is not from the storage service";
        return Err(FailureReason::Protocol(text.to_owned()));
    }
    Ok(())
}
