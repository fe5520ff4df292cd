//! Sends calls with the SAS token, each within its time, and reads the answers.
//!
//! Errors of the HTTP client end here: only a kind and a text without the signature leave.

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

use super::super::error::Answer;
use super::super::sas::SasToken;
use super::super::token::{Renewal, TokenSource};
use super::super::{ContainerErrorKind, NetworkFailure};
use super::Patience;
use super::bodies::{BodyBudget, BodyShare};
use super::broken::{BrokenTransport, Secrets};
use super::connect::{self, HttpClient};
use super::refusal::{REQUEST_ID, Refusal, header};
use super::request::{Call, RequestBase};

/// The most that one blob may take in a listing: a name of 1,024 characters, each escaped, and two kilobytes of properties.
const MAX_LISTED_BLOB_BYTES: u64 = 8 << 10;

/// The most that a listing may have around its blobs.
const LISTING_ROOM: u64 = 64 << 10;

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
    /// What the content takes of the budget, until it has been read or handed on.
    pub(super) _share: Option<BodyShare>,
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
    /// The blob has more than so many bytes, the most that is taken.
    TooLarge(u64),
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
    bodies: BodyBudget,
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
            bodies: BodyBudget::new(),
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
                _share: None,
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
            Call::Get { at_most, .. } => *at_most,
            Call::List { at_most, .. } => {
                u64::from(*at_most) * MAX_LISTED_BLOB_BYTES + LISTING_ROOM
            }
            Call::Put { .. } | Call::Delete { .. } => MAX_IGNORED_BYTES,
        };
        let (content, share) = self.read(body, at_most).await.map_err(|failure| {
            failed(match failure {
                BodyFailure::Broken(error) => broken(&error, NetworkFailure::Reset).into(),
                BodyFailure::Stopped => {
                    BrokenTransport::too_slow("the answer stopped", self.patience.silence).into()
                }
                BodyFailure::Slow(limit) => {
                    BrokenTransport::too_slow("the answer was not whole", limit).into()
                }
                BodyFailure::TooLarge => match call {
                    Call::Get { .. } => Reason::TooLarge(at_most),
                    _ => Reason::Protocol(format!("the answer has more than {at_most} bytes")),
                },
            })
        })?;
        Ok(Answered {
            content,
            _share: Some(share),
            answer: Some(answer()),
        })
    }

    /// What a refusal says is welcome, but its status is enough.
    async fn refusal(&self, head: Parts, body: Incoming, sas: &SasToken) -> Refusal {
        let limit = self.patience.silence.min(REFUSAL_TIME);
        let body = tokio::time::timeout(limit, self.read(body, MAX_REFUSAL_BYTES)).await;
        let body = body.ok().and_then(Result::ok);
        let body = body.map_or_else(Bytes::new, |(body, _)| body);
        Refusal::read(head.status.as_u16(), &head.headers, &body, sas)
    }

    /// The whole body, and what it takes of the budget. It may stop for as long as the patience lets it, and beyond
    /// that all of it must come at the slowest pace at least; the time that it waits for the budget does not count.
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
        let silence = self.patience.silence;
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let mut first = Bytes::new();
        let mut joined = Vec::new();
        while !body.is_end_stream() {
            let received = (first.len() + joined.len()) as u64;
            let seconds = received as f64 / self.patience.slowest.max(1) as f64;
            let receiving = Duration::from_secs_f64(seconds);
            let limit = silence.saturating_add(receiving);
            let left = (limit + waited).saturating_sub(started.elapsed());
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
            let needed = first.len() + joined.len() + piece.len();
            if needed as u64 > at_most {
                return Err(BodyFailure::TooLarge);
            }
            // The announced length is foreign: it only saves growing.
            let announced = usize::try_from(expected).unwrap_or(0).min(16 << 20);
            let alone = first.is_empty() && joined.is_empty();
            let room = match needed > joined.capacity() {
                true if alone => needed,
                true => needed.max(2 * joined.capacity()).max(announced),
                false => joined.capacity(),
            };
            let asked = Instant::now();
            share.grow_to(room as u64).await;
            waited += asked.elapsed();
            if alone {
                first = piece;
                continue;
            }
            joined.reserve_exact(room - joined.len());
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
