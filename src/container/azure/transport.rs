//! Sends calls with the SAS token, each within its time, and reads the answers.
//!
//! Errors of the HTTP client end here: only a kind and a text without the signature leave.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use url::Url;

use super::super::error::Answer;
use super::super::sas::SasToken;
use super::super::token::{Renewal, TokenSource};
use super::super::{ContainerErrorKind, MAX_BLOB_BYTES, NetworkFailure};
use super::Patience;
use super::broken::{BrokenTransport, Secrets};
use super::connect::{self, HttpClient};
use super::refusal::{REQUEST_ID, Refusal, header};
use super::request::{Call, RequestBase};

/// The largest listing that is read: 5,000 names of 1,024 characters, each escaped, and a kilobyte of properties, fit.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// The largest body of a refusal that is read.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// The most that is read of an answer whose status says all, to use its connection again.
const MAX_IGNORED_BYTES: u64 = 64 << 10;

/// As long as a new connection may take on a long way: waiting for the end of such an answer saves no more.
const IGNORED_TIME: Duration = Duration::from_secs(1);

/// The longest time that the body of a refusal is waited for: its request keeps a place among those under way.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// What a call gave.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) content: Bytes,
    /// What came with content that may still make no sense.
    pub(super) answer: Option<Answer>,
}

/// How a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// What the service answered, where that is no refusal.
    pub(super) answer: Option<Answer>,
}

impl<R: Into<Reason>> From<R> for Failure {
    fn from(reason: R) -> Self {
        Self {
            reason: reason.into(),
            answer: None,
        }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Reason {
    /// The service answered, and refused.
    Refused(Box<Refusal>),
    /// There was no answer, or no whole one.
    Broken(BrokenTransport),
    /// The blob has more bytes than are taken.
    TooLarge,
    /// The answer is not one of the service; why.
    Protocol(String),
}

impl From<BrokenTransport> for Reason {
    fn from(broken: BrokenTransport) -> Self {
        Self::Broken(broken)
    }
}

pub(super) struct Transport {
    client: HttpClient,
    base: RequestBase,
    tokens: TokenSource,
    patience: Patience,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base", &self.base)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// To the container with that URL.
    pub(super) fn new(
        container: &Url,
        tokens: TokenSource,
        patience: Patience,
    ) -> Result<Self, BrokenTransport> {
        let broken = |failure, detail| BrokenTransport { failure, detail };
        let base = RequestBase::new(container)
            .ok_or_else(|| broken(NetworkFailure::Other, "its URL has no host".to_owned()))?;
        let client = connect::client(container, &patience).map_err(|error| {
            let failure = match error.kind() {
                io::ErrorKind::Unsupported => NetworkFailure::Other,
                _ => NetworkFailure::Tls,
            };
            broken(failure, error.to_string())
        })?;
        Ok(Self {
            client,
            base,
            tokens,
            patience,
        })
    }

    /// Makes a call, once more for each other token that its source has after a rejection. Gives the answer's content.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answered, Failure> {
        let mut sas = self.tokens.current().await;
        loop {
            let mut refusal = match self.send_with(call, &sas).await {
                Err(Failure {
                    reason: Reason::Refused(refusal),
                    ..
                }) => refusal,
                settled => return settled,
            };
            if let ContainerErrorKind::TokenExpired | ContainerErrorKind::TokenRejected =
                refusal.kind
            {
                match self.tokens.after_rejection(&sas).await {
                    Renewal::Other(other) => {
                        sas = other;
                        continue;
                    }
                    Renewal::None(advice) => refusal.advice = Some(advice),
                }
            }
            return Err(Reason::Refused(refusal).into());
        }
    }

    async fn send_with(&self, call: &Call<'_>, sas: &SasToken) -> Result<Answered, Failure> {
        let broken = |error: &(dyn std::error::Error + 'static), otherwise| {
            BrokenTransport::new(error, otherwise, &Secrets::of(sas))
        };
        let request = self
            .base
            .request(call, sas)
            .map_err(|error| Reason::Protocol(format!("no request can be made: {error}")))?;
        let sending = Duration::from_secs(call.content_bytes() / self.patience.slowest.max(1));
        let limit = self.patience.silence.saturating_add(sending);
        let answer = tokio::time::timeout(limit, self.client.request(request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let otherwise = match error.is_connect() {
                    true => NetworkFailure::Connect,
                    false => NetworkFailure::Reset,
                };
                return Err(broken(&error, otherwise).into());
            }
            Err(_) => return Err(BrokenTransport::too_slow("no answer", limit).into()),
        };
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(Reason::Refused(Box::new(self.refusal(head, body, sas).await)).into());
        }
        let answer = || Answer {
            status: head.status.as_u16(),
            code: None,
            request_id: header(&head.headers, REQUEST_ID, &Secrets::of(sas)),
        };
        let failed = |reason| Failure {
            reason,
            answer: Some(answer()),
        };
        // Of an answer that is not the service's no more is read.
        check(call, head.status, &head.headers).map_err(failed)?;
        if let Call::Put { .. } | Call::Delete { .. } = call {
            // Azure's answers end with an empty last chunk, which may come later than the head. A connection whose
            // answer is not read to its end is closed; only for that it is read.
            if !body.is_end_stream() {
                let rest = self.read(body, MAX_IGNORED_BYTES);
                let _ = tokio::time::timeout(IGNORED_TIME, rest).await;
            }
            return Ok(Answered {
                content: Bytes::new(),
                answer: None,
            });
        }
        // Content that ends with the connection may be cut off.
        let ends_with_the_connection = body.size_hint().exact().is_none() && !is_chunked(&head);
        if ends_with_the_connection && matches!(call, Call::Get { .. }) {
            let reason = "the answer has no length".to_owned();
            return Err(failed(Reason::Protocol(reason)));
        }
        let at_most = match call {
            Call::Get { .. } => MAX_BLOB_BYTES,
            _ => MAX_LISTING_BYTES,
        };
        let content = self.read(body, at_most).await.map_err(|failure| {
            failed(match failure {
                BodyFailure::Broken(error) => broken(&error, NetworkFailure::Reset).into(),
                BodyFailure::Stopped => {
                    BrokenTransport::too_slow("the answer stopped", self.patience.silence).into()
                }
                BodyFailure::Slow(limit) => {
                    BrokenTransport::too_slow("the answer was not whole", limit).into()
                }
                BodyFailure::TooLarge => match call {
                    Call::Get { .. } => Reason::TooLarge,
                    _ => Reason::Protocol(format!("the answer has more than {at_most} bytes")),
                },
            })
        })?;
        Ok(Answered {
            content,
            answer: Some(answer()),
        })
    }

    /// What a refusal says is welcome, but its status is enough.
    async fn refusal(&self, head: Parts, body: Incoming, sas: &SasToken) -> Refusal {
        let limit = self.patience.silence.min(REFUSAL_TIME);
        let body = tokio::time::timeout(limit, self.read(body, MAX_REFUSAL_BYTES)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Refusal::read(head.status.as_u16(), &head.headers, &body, sas)
    }

    /// The whole body. It may stop for as long as the patience lets it, and beyond that all of it must come at the
    /// slowest pace at least.
    async fn read(&self, mut body: Incoming, at_most: u64) -> Result<Bytes, BodyFailure> {
        let expected = body.size_hint().lower();
        if expected > at_most {
            return Err(BodyFailure::TooLarge);
        }
        let silence = self.patience.silence;
        let started = Instant::now();
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while !body.is_end_stream() {
            let received = (first.len() + joined.len()) as u64;
            let seconds = received as f64 / self.patience.slowest.max(1) as f64;
            let receiving = Duration::from_secs_f64(seconds);
            let limit = silence.saturating_add(receiving);
            let left = limit.saturating_sub(started.elapsed());
            let frame = match tokio::time::timeout(silence.min(left), body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(BodyFailure::Broken(error)),
                Ok(None) => break,
                // Not the last piece alone was late.
                Err(_) if left < silence / 2 => return Err(BodyFailure::Slow(limit)),
                Err(_) => return Err(BodyFailure::Stopped),
            };
            // The other kind of frame is what may follow a body in chunks.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if (first.len() + joined.len() + piece.len()) as u64 > at_most {
                return Err(BodyFailure::TooLarge);
            }
            if first.is_empty() && joined.is_empty() {
                first = piece;
                continue;
            }
            if joined.is_empty() {
                // The announced length is foreign: it only saves growing.
                let room = usize::try_from(expected).unwrap_or(0).min(16 << 20);
                joined.reserve(room.max(first.len() + piece.len()));
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&piece);
        }
        Ok(if joined.is_empty() {
            first
        } else {
            joined.freeze()
        })
    }
}

/// Whether the body comes in chunks, and as it is: then a cut shows without a length (RFC 9112, 7.1). Other codings
/// were not asked for.
fn is_chunked(head: &Parts) -> bool {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let only = codings.next().filter(|_| codings.next().is_none());
    only.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Why a body could not be read.
enum BodyFailure {
    Broken(hyper::Error),
    Stopped,
    /// Pieces came, but too few in so much time.
    Slow(Duration),
    TooLarge,
}

/// Whether a successful answer is the service's own: proxies and portals on the way say 200 to anything.
fn check(call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Result<(), Reason> {
    if status != call.success() {
        let (status, expected) = (status.as_u16(), call.success().as_u16());
        let text = format!("it has the status {status}, not {expected}");
        return Err(Reason::Protocol(text));
    }
    if !headers.contains_key(REQUEST_ID) {
        let text = "it has no x-ms-request-id, so it is not the storage service's";
        return Err(Reason::Protocol(text.to_owned()));
    }
    Ok(())
}
