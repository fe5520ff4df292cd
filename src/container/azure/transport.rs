//! Sends the Azure crates' requests, and is the one place where a URL holds the SAS token.
//!
//! Errors of the HTTP client carry the URL in their Debug form and their sources; they end here: only
//! a kind and a text without the signature leave.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::headers::{HeaderName, HeaderValue, Headers};
use azure_core::{Body, BytesStream, HttpClient, Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use thiserror::Error;
use url::{Url, form_urlencoded};

use super::super::location::is_loopback;
use super::super::sas::SasToken;
use super::super::token::{Renewal, TokenSource};
use super::super::{ContainerErrorKind, MAX_BLOB_BYTES, NetworkFailure};
use super::Patience;
use super::refusal::Refusal;

/// Idle connections kept: more than requests are ever under way, since a new TLS connection costs more than a small put.
const IDLE_CONNECTIONS: usize = 1024;

/// Idle connections are closed before load balancers on the way forget them (Azure's after four minutes).
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The largest answer that is read: a whole blob, or a page of 5,000 names.
const MAX_ANSWER_BYTES: u64 = MAX_BLOB_BYTES;

/// The largest body of a refusal that is read.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// The service was not reached, or the connection broke.
#[derive(Debug, Error)]
#[error("{detail}")]
pub(super) struct BrokenTransport {
    pub(super) failure: NetworkFailure,
    pub(super) detail: String,
}

pub(super) struct Transport {
    client: reqwest::Client,
    tokens: Arc<TokenSource>,
    patience: Patience,
}

/// The forms in which the signature may appear in a text.
#[derive(Default)]
struct Secrets(Vec<String>);

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(
        endpoint: &Url,
        tokens: Arc<TokenSource>,
        patience: Patience,
    ) -> Result<Self, BrokenTransport> {
        let mut builder = reqwest::Client::builder()
            .use_rustls_tls()
            // Azure speaks only HTTP/1.1; this keeps others from sharing one connection among all uploads.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIME)
            .connect_timeout(patience.connect)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15))
            .tcp_user_timeout(patience.silence);
        if is_loopback(endpoint) {
            builder = builder.no_proxy();
        }
        // No token is in play yet.
        let client = builder
            .build()
            .map_err(|error| Secrets::default().broken(&error))?;
        Ok(Self {
            client,
            tokens,
            patience,
        })
    }

    fn request(
        &self,
        request: &Request,
        sas: &SasToken,
    ) -> Result<reqwest::Request, BrokenTransport> {
        let malformed = |detail: &str| BrokenTransport {
            failure: NetworkFailure::Other,
            detail: detail.to_owned(),
        };
        let method = reqwest::Method::from_bytes(request.method().as_ref().as_bytes())
            .map_err(|_| malformed("the method is not HTTP's"))?;
        let mut url = request.url().clone();
        let given = url.query().unwrap_or_default().to_owned();
        let query = form_urlencoded::Serializer::for_suffix(given, 0)
            .extend_pairs(sas.secret_fields())
            .finish();
        url.set_query(Some(&query));
        let mut builder = self.client.request(method, url);
        for (name, value) in request.headers().iter() {
            builder = builder.header(name.as_str(), value.as_str());
        }
        let Body::Bytes(body) = request.body() else {
            return Err(malformed("a streamed body was to be sent"));
        };
        builder
            .body(body.clone())
            .build()
            .map_err(|error| Secrets::of(sas).broken(&error))
    }

    /// Sends a request, once more for each other token that its source has after a rejection.
    async fn send(&self, request: &Request) -> Result<Response, azure_core::Error> {
        let mut sas = self.tokens.current().await;
        loop {
            let mut refusal = match self.send_with(request, &sas).await? {
                Ok(response) => return Ok(response),
                Err(refusal) => refusal,
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
            return Err(azure_core::Error::new(ErrorKind::Other, refusal));
        }
    }

    async fn send_with(
        &self,
        request: &Request,
        sas: &SasToken,
    ) -> Result<Result<Response, Refusal>, azure_core::Error> {
        let secrets = Secrets::of(sas);
        let prepared = self.request(request, sas).map_err(io_error)?;
        let content = request.body().len() as u64;
        let sending = Duration::from_secs(content / self.patience.slowest.max(1));
        let answer = self.client.execute(prepared);
        let limit = self.patience.silence.saturating_add(sending);
        let mut answer = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(io_error(secrets.broken(&error))),
            Err(_) => return Err(io_error(too_slow("no answer", limit))),
        };
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        if status.is_success() {
            let body = self.body(&mut answer, MAX_ANSWER_BYTES, &secrets).await;
            return success(status, &headers, body.map_err(io_error)?).map(Ok);
        }
        // What a refusal says is welcome, but its status is enough.
        let body = self.body(&mut answer, MAX_REFUSAL_BYTES, &secrets).await;
        let text = secrets.redact(&String::from_utf8_lossy(&body.unwrap_or_default()));
        Ok(Err(Refusal::read(status.as_u16(), &headers, &text, sas)))
    }

    async fn body(
        &self,
        answer: &mut reqwest::Response,
        at_most: u64,
        secrets: &Secrets,
    ) -> Result<Bytes, BrokenTransport> {
        let mut first: Option<Bytes> = None;
        let mut joined = BytesMut::new();
        let expected = answer.content_length().unwrap_or(0);
        loop {
            let silence = self.patience.silence;
            let piece = match tokio::time::timeout(silence, answer.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(secrets.broken(&error)),
                Err(_) => return Err(too_slow("the answer stopped", silence)),
            };
            let read = (first.as_ref().map_or(0, Bytes::len) + joined.len() + piece.len()) as u64;
            if read > at_most {
                return Err(BrokenTransport {
                    failure: NetworkFailure::Other,
                    detail: format!("the answer has more than {at_most} bytes"),
                });
            }
            match (&first, joined.is_empty()) {
                (None, true) => first = Some(piece),
                (None, false) => joined.extend_from_slice(&piece),
                (Some(before), _) => {
                    // The announced length is foreign: it only saves growing.
                    let room = usize::try_from(expected.min(at_most)).unwrap_or(0);
                    joined.reserve(room.min(16 << 20).max(before.len() + piece.len()));
                    joined.extend_from_slice(before);
                    joined.extend_from_slice(&piece);
                    first = None;
                }
            }
        }
        Ok(first.unwrap_or_else(|| joined.freeze()))
    }
}

fn success(
    status: reqwest::StatusCode,
    headers: &reqwest::header::HeaderMap,
    body: Bytes,
) -> Result<Response, azure_core::Error> {
    let status = StatusCode::try_from(status.as_u16())
        .map_err(|_| azure_core::Error::message(ErrorKind::DataConversion, "an unknown status"))?;
    let mut known = Headers::new();
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            let name = HeaderName::from(name.as_str().to_owned());
            known.insert(name, HeaderValue::from(value.to_owned()));
        }
    }
    Ok(Response::new(
        status,
        known,
        Box::pin(BytesStream::new(body)),
    ))
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        self.send(request).await
    }
}

fn io_error(broken: BrokenTransport) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Io, broken)
}

fn too_slow(what: &str, limit: Duration) -> BrokenTransport {
    BrokenTransport {
        failure: NetworkFailure::Timeout,
        detail: format!("{what} for {} s", limit.as_secs_f64()),
    }
}

impl Secrets {
    fn of(sas: &SasToken) -> Self {
        let mut forms = Vec::new();
        for (_, value) in sas.secret_fields().filter(|(name, _)| *name == "sig") {
            forms.push(form_urlencoded::byte_serialize(value.as_bytes()).collect());
            // An answer in XML escapes nothing that Base64 uses, so these two are all.
            forms.push(value.to_owned());
        }
        Self(forms)
    }

    fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, "REDACTED");
        }
        text
    }

    /// Keeps of the client's error a kind and the innermost reason, which names no URL; the signature is removed all the same.
    fn broken(&self, error: &reqwest::Error) -> BrokenTransport {
        let mut failure = if error.is_timeout() {
            Some(NetworkFailure::Timeout)
        } else {
            None
        };
        let mut innermost: Option<&dyn StdError> = None;
        let mut source = error.source();
        while let Some(reason) = source {
            failure = failure.or_else(|| classify(reason));
            innermost = Some(reason);
            source = reason.source();
        }
        let failure = failure.unwrap_or(if error.is_connect() {
            NetworkFailure::Connect
        } else if error.is_body() || error.is_decode() || error.is_request() {
            NetworkFailure::Reset
        } else {
            NetworkFailure::Other
        });
        let detail = match innermost {
            Some(reason) => self.redact(&reason.to_string()),
            None => "the HTTP client failed".to_owned(),
        };
        BrokenTransport { failure, detail }
    }
}

pub(super) fn classify(reason: &(dyn StdError + 'static)) -> Option<NetworkFailure> {
    if let Some(error) = reason.downcast_ref::<io::Error>() {
        match error.kind() {
            io::ErrorKind::TimedOut => return Some(NetworkFailure::Timeout),
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => return Some(NetworkFailure::Connect),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return Some(NetworkFailure::Reset),
            _ => {}
        }
    }
    // Neither the resolver nor rustls is a dependency of ours whose types could be named.
    let text = reason.to_string();
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        Some(NetworkFailure::Dns)
    } else if text.contains("certificate")
        || text.contains("handshake")
        || text.contains("corrupt message")
    {
        Some(NetworkFailure::Tls)
    } else {
        None
    }
}
