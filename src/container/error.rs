//! Errors of containers, classified by remedy.
//!
//! An error contains no secret: code that builds one from foreign text redacts the signature first.

use std::fmt;
use std::time::Duration;

use super::BlobName;
use crate::text::human::span;

/// An operation of [`super::Container`], or opening a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening the container, before any call.
    Open,
    /// Writing a blob.
    Put,
    /// Reading a blob.
    Get,
    /// Listing blobs.
    List,
    /// Deleting a blob.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Put => "put",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// How the connection to the service failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkFailure {
    /// The host name has no address.
    Dns,
    /// The connection was refused or could not be established.
    Connect,
    /// The server's certificate or the TLS handshake was not acceptable.
    Tls,
    /// An established connection broke.
    Reset,
    /// No response arrived before the timeout.
    Timeout,
    /// Any other failure.
    Other,
}

/// The kinds of [`ContainerError`], classified by remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainerErrorKind {
    /// The blob does not exist.
    BlobMissing,
    /// The container (or folder) does not exist.
    ContainerMissing,
    /// The SAS token has expired.
    TokenExpired,
    /// The service rejected the SAS token: wrong signature, not yet valid, wrong account, address not allowed.
    TokenRejected,
    /// The SAS token is valid, but does not permit this operation.
    PermissionMissing,
    /// The service throttled the request (429, 503).
    Throttled {
        /// The wait that the service requests (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The service failed or timed out (408, 500, 502, 504).
    Server {
        /// The wait that the service requests (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The service could not be reached, or the connection broke.
    Network(NetworkFailure),
    /// A lease, an immutability policy or another writer prevents the operation (409, 412).
    Conflict,
    /// The blob is larger than the service or this program accepts (413).
    TooLarge,
    /// The blob is in the archive tier (409).
    Archived,
    /// The service refused the request for another reason.
    Refused,
    /// The file system is full, or the quota is exhausted.
    DiskFull,
    /// The file system returned an error.
    Io,
    /// The request cannot be built, or the response is invalid.
    Protocol,
}

/// A failed call: the operation, its target and the reason. Contains no secret.
#[derive(Debug, Clone)]
pub struct ContainerError(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    kind: ContainerErrorKind,
    operation: Operation,
    location: String,
    blob: Option<String>,
    response: Option<ErrorResponse>,
    detail: Option<String>,
    advice: Option<String>,
    attempts: Option<(u32, Duration)>,
    of_one_blob: bool,
}

/// The data of a service's response that identify an error, without secrets.
#[derive(Debug, Clone)]
pub(crate) struct ErrorResponse {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl ContainerError {
    pub(crate) fn new(
        kind: ContainerErrorKind,
        operation: Operation,
        location: impl Into<String>,
    ) -> Self {
        Self(Box::new(Details {
            kind,
            operation,
            location: location.into(),
            blob: None,
            response: None,
            detail: None,
            advice: None,
            attempts: None,
            of_one_blob: false,
        }))
    }

    pub(crate) fn with_optional_blob(self, blob: Option<&BlobName>) -> Self {
        match blob {
            Some(name) => self.with_blob(name.as_str()),
            None => self,
        }
    }

    pub(crate) fn with_blob(mut self, blob: impl Into<String>) -> Self {
        self.0.blob = Some(blob.into());
        self
    }

    /// Adds details to the reason, as the end of a sentence. The caller has redacted secrets.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds advice that is specific to this error. The caller has redacted secrets.
    pub(crate) fn with_optional_advice(mut self, advice: Option<String>) -> Self {
        self.0.advice = advice;
        self
    }

    /// Adds the number of attempts and the time from the first failure.
    pub(crate) fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = Some((attempts, elapsed));
        self
    }

    /// Marks the error as one of this blob alone: other blobs could be read meanwhile.
    pub(crate) fn of_one_blob(mut self) -> Self {
        self.0.of_one_blob = true;
        self
    }

    pub(crate) fn with_optional_detail(self, detail: Option<String>) -> Self {
        match detail {
            Some(detail) => self.with_detail(detail),
            None => self,
        }
    }

    pub(crate) fn with_response(mut self, response: ErrorResponse) -> Self {
        self.0.response = Some(response);
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> &ContainerErrorKind {
        &self.0.kind
    }

    /// Returns the operation that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Returns the name of the blob; `None` if the operation was on the container.
    pub fn blob(&self) -> Option<&str> {
        self.0.blob.as_deref()
    }

    /// Returns the HTTP status, if the service responded.
    pub fn status(&self) -> Option<u16> {
        self.0.response.as_ref().map(|response| response.status)
    }

    /// Returns the service's error code, such as `AuthenticationFailed`.
    pub fn code(&self) -> Option<&str> {
        self.0.response.as_ref()?.code.as_deref()
    }

    /// Returns the service's `x-ms-request-id`, which its support needs.
    pub fn request_id(&self) -> Option<&str> {
        self.0.response.as_ref()?.request_id.as_deref()
    }

    /// Returns the wait before the next attempt that the service requests.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            ContainerErrorKind::Throttled { retry_after }
            | ContainerErrorKind::Server { retry_after } => retry_after,
            _ => None,
        }
    }

    /// Returns whether only this blob could not be read or looked up, while other requests succeeded.
    pub fn is_of_one_blob(&self) -> bool {
        self.0.of_one_blob
    }

    /// Returns whether the same call may succeed later without intervention.
    pub fn is_transient(&self) -> bool {
        match self.0.kind {
            ContainerErrorKind::Throttled { .. } | ContainerErrorKind::Server { .. } => true,
            // A certificate does not become trusted by waiting. A name may resolve later: resolvers fail
            // for moments, which a transfer of days must survive.
            ContainerErrorKind::Network(failure) => failure != NetworkFailure::Tls,
            _ => false,
        }
    }

    fn reason(&self) -> &'static str {
        match self.0.kind {
            ContainerErrorKind::BlobMissing => "there is no such blob",
            ContainerErrorKind::ContainerMissing => {
                "the container does not exist: create it, or check account and container name"
            }
            ContainerErrorKind::TokenExpired => "the SAS token has expired: create a new one",
            ContainerErrorKind::TokenRejected => {
                "the service rejected the SAS token: check that it is complete, for this account and container, and already valid, and that the account's firewall admits this host"
            }
            ContainerErrorKind::PermissionMissing => match self.operation() {
                Operation::Get | Operation::List => {
                    "the SAS token does not permit this: it needs at least read and list (rl) on the container"
                }
                _ => {
                    "the SAS token does not permit this: it needs read, write, delete and list (rwdl) on the container"
                }
            },
            ContainerErrorKind::Throttled { .. } => "the service is throttling requests",
            ContainerErrorKind::Server { .. } => "the service failed",
            ContainerErrorKind::Network(failure) => match failure {
                NetworkFailure::Dns => {
                    "the host name could not be resolved: check the account's name and this host's name service"
                }
                NetworkFailure::Connect => "the connection failed",
                NetworkFailure::Tls => {
                    "the TLS connection cannot be trusted: check this host's certificates and clock, and any proxy in between"
                }
                NetworkFailure::Reset => "the connection broke",
                NetworkFailure::Timeout => "the request timed out",
                NetworkFailure::Other => "the request could not be sent",
            },
            ContainerErrorKind::Conflict => {
                "a lease, an immutability policy or another writer prevents this: break the lease, lift the policy or stop the other writer"
            }
            ContainerErrorKind::TooLarge if self.operation() == Operation::Get => {
                "the blob is larger than any object of its kind"
            }
            ContainerErrorKind::TooLarge => {
                "the blob is too large: look for a proxy that limits the size of requests, which have up to 9 MiB"
            }
            ContainerErrorKind::Archived => "the blob is in the archive tier: rehydrate it first",
            ContainerErrorKind::Refused => "the service refused",
            ContainerErrorKind::DiskFull => {
                "no space is left: free some, then run the same command again"
            }
            ContainerErrorKind::Io => "the file system failed",
            ContainerErrorKind::Protocol => "the request or the response is invalid",
        }
    }
}

impl fmt::Display for ContainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        let location = &details.location;
        match (details.operation, &details.blob) {
            (Operation::Open, _) => write!(f, "could not open the container {location}")?,
            (Operation::List, _) => write!(f, "could not list the container {location}")?,
            (operation, blob) => {
                let verb = match operation {
                    Operation::Put => "write",
                    Operation::Delete => "delete",
                    _ => "read",
                };
                let blob = blob.as_deref().unwrap_or("?");
                write!(f, "could not {verb} the blob {blob} of {location}")?;
            }
        }
        write!(f, ": {}", self.reason())?;
        if let Some(detail) = &details.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(response) = &details.response {
            write!(f, " (HTTP {}", response.status)?;
            if let Some(code) = &response.code {
                write!(f, " {code}")?;
            }
            if let Some(id) = &response.request_id {
                write!(f, ", request {id}")?;
            }
            f.write_str(")")?;
        }
        if let Some((attempts, elapsed)) = details.attempts
            && attempts > 1
        {
            write!(f, "; tried {attempts} times in {}", span(elapsed))?;
        }
        if details.of_one_blob {
            f.write_str("; other requests succeeded meanwhile")?;
        }
        match &details.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ContainerError {}
