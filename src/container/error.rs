//! What can go wrong with a container, sorted by what to do about it.
//!
//! Nothing in here ever holds a secret: whoever builds an error from foreign text removes the signature first.

use std::fmt;
use std::time::Duration;

use super::BlobName;
use super::notice::span;

/// One of the calls of [`super::Container`], or opening one.
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
    /// Removing a blob.
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

/// How the way to the service failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkFailure {
    /// The host name has no address.
    Dns,
    /// The connection was refused, or could not be made.
    Connect,
    /// The other side's certificate or the TLS handshake was not acceptable.
    Tls,
    /// An established connection broke.
    Reset,
    /// No answer in time.
    Timeout,
    /// None of the above.
    Other,
}

/// The kinds of [`ContainerError`], told apart by what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainerErrorKind {
    /// There is no blob of that name.
    BlobMissing,
    /// There is no such container (or folder).
    ContainerMissing,
    /// The SAS token has expired.
    TokenExpired,
    /// The SAS token is not accepted: wrong signature, not yet valid, wrong account, address not allowed.
    TokenRejected,
    /// The SAS token is accepted, but does not permit this operation.
    PermissionMissing,
    /// The service asks to slow down (429, 503).
    Throttled {
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The service failed or was too slow (408, 500, 502, 504).
    Server {
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The service could not be reached, or the connection broke.
    Network(NetworkFailure),
    /// A lease, an immutability policy or another writer is in the way (409, 412).
    Conflict,
    /// The blob is larger than the service or this program takes (413).
    TooLarge,
    /// The blob is in the archive tier (409).
    Archived,
    /// Any other refusal of the service.
    Refused,
    /// The file system has no room left, or the quota is used up.
    DiskFull,
    /// The file system refused or failed.
    Io,
    /// There is no request for this, or the answer could not be understood.
    Protocol,
}

/// A failed call: what was tried, on what, and why it failed. Holds no secret.
#[derive(Clone)]
pub struct ContainerError(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ContainerErrorKind,
    operation: Operation,
    location: String,
    blob: Option<String>,
    answer: Option<Answer>,
    detail: Option<String>,
    advice: Option<String>,
    tries: Option<(u32, Duration)>,
    of_one_blob: bool,
}

/// What a service said, without secrets.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
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
            answer: None,
            detail: None,
            advice: None,
            tries: None,
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

    /// What else is known, as the end of a sentence. The caller has removed secrets.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// What to do about it, where this is more than the kind tells. The caller has removed secrets.
    pub(crate) fn with_optional_advice(mut self, advice: Option<String>) -> Self {
        self.0.advice = advice;
        self
    }

    /// How often and how long it was tried before it was given up.
    pub(crate) fn with_tries(mut self, tries: u32, elapsed: Duration) -> Self {
        self.0.tries = Some((tries, elapsed));
        self
    }

    /// Other blobs could be read meanwhile.
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

    pub(crate) fn with_answer(mut self, answer: Answer) -> Self {
        self.0.answer = Some(answer);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ContainerErrorKind {
        &self.0.kind
    }

    /// What was tried.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The blob concerned; `None` when it is the container.
    pub fn blob(&self) -> Option<&str> {
        self.0.blob.as_deref()
    }

    /// The HTTP status, if the service answered.
    pub fn status(&self) -> Option<u16> {
        self.0.answer.as_ref().map(|answer| answer.status)
    }

    /// The service's error code, such as `AuthenticationFailed`.
    pub fn code(&self) -> Option<&str> {
        self.0.answer.as_ref()?.code.as_deref()
    }

    /// The service's `x-ms-request-id`, which its support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.answer.as_ref()?.request_id.as_deref()
    }

    /// How long the service asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            ContainerErrorKind::Throttled { retry_after }
            | ContainerErrorKind::Server { retry_after } => retry_after,
            _ => None,
        }
    }

    /// Whether this blob alone could not be read, or its name not be looked up, while it worked for others.
    pub fn is_of_one_blob(&self) -> bool {
        self.0.of_one_blob
    }

    /// Whether the same call may succeed later, without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self.0.kind {
            ContainerErrorKind::Throttled { .. } | ContainerErrorKind::Server { .. } => true,
            // A certificate that is not trusted now will not be in a minute. A name that does not resolve may:
            // resolvers fail for moments, and days of transfer must survive that.
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
            ContainerErrorKind::TokenExpired => "the SAS token has expired: a new one is needed",
            ContainerErrorKind::TokenRejected => {
                "the service does not accept the SAS token: check that it is complete, of this account and container, and already valid, and that the account's firewall lets this host in"
            }
            ContainerErrorKind::PermissionMissing => match self.operation() {
                Operation::Get | Operation::List => {
                    "the SAS token does not permit this: it needs at least read and list (rl) on the container"
                }
                _ => {
                    "the SAS token does not permit this: it needs read, write, delete and list (rwdl) on the container"
                }
            },
            ContainerErrorKind::Throttled { .. } => "the service asks to slow down",
            ContainerErrorKind::Server { .. } => "the service failed",
            ContainerErrorKind::Network(failure) => match failure {
                NetworkFailure::Dns => {
                    "the host name could not be resolved: check the account's name and this host's name service"
                }
                NetworkFailure::Connect => "no connection could be made",
                NetworkFailure::Tls => {
                    "the TLS connection is not trustworthy: check this host's certificates and clock, and proxies on the way"
                }
                NetworkFailure::Reset => "the connection broke",
                NetworkFailure::Timeout => "there was no answer in time",
                NetworkFailure::Other => "the request could not be sent",
            },
            ContainerErrorKind::Conflict => {
                "a lease, an immutability policy or another writer is in the way: break the lease, lift the policy or end the other writer"
            }
            ContainerErrorKind::TooLarge if self.operation() == Operation::Get => {
                "the blob is larger than any object of its kind"
            }
            ContainerErrorKind::TooLarge => {
                "the blob is too large: look for a proxy on the way that limits requests; they have up to 9 MiB"
            }
            ContainerErrorKind::Archived => "the blob is in the archive tier: rehydrate it first",
            ContainerErrorKind::Refused => "the service refused",
            ContainerErrorKind::DiskFull => "no space is left: make room and run again",
            ContainerErrorKind::Io => "the file system failed",
            ContainerErrorKind::Protocol => "request or answer make no sense",
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
        if let Some(answer) = &details.answer {
            write!(f, " (HTTP {}", answer.status)?;
            if let Some(code) = &answer.code {
                write!(f, " {code}")?;
            }
            if let Some(id) = &answer.request_id {
                write!(f, ", request {id}")?;
            }
            f.write_str(")")?;
        }
        if let Some((tries, elapsed)) = details.tries
            && tries > 1
        {
            write!(f, "; tried {tries} times in {}", span(elapsed))?;
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

impl fmt::Debug for ContainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        f.debug_struct("ContainerError")
            .field("kind", &details.kind)
            .field("operation", &details.operation)
            .field("location", &details.location)
            .field("blob", &details.blob)
            .field("answer", &details.answer)
            .field("detail", &details.detail)
            .field("advice", &details.advice)
            .field("tries", &details.tries)
            .finish()
    }
}

impl std::error::Error for ContainerError {}
