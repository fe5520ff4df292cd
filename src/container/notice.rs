//! Notices of a container in use: events that need no action by the caller.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ContainerError;
use crate::text::human::{counted, span};

/// An event on the connection to a container. `Display` is the text for people.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// An attempt of a call failed with a transient error and is retried. There may be thousands of these.
    AttemptFailed {
        /// The number of failed attempts of the call so far.
        attempt: u32,
        /// The backoff before the next attempt.
        delay: Duration,
        /// The error of this attempt.
        error: &'a ContainerError,
    },
    /// Calls have begun to fail with transient errors and are retried.
    OutageBegins {
        /// The error of the first of them.
        error: &'a ContainerError,
        /// The maximum time for which a call is retried.
        patience: Duration,
    },
    /// Calls still fail.
    OutageLasts {
        /// The error of the last failed call.
        error: &'a ContainerError,
        /// The time for which there have been failing calls without interruption.
        lasting: Duration,
        /// The number of calls in backoff.
        waiting: u64,
    },
    /// The last of the failing calls succeeded.
    OutageEnds {
        /// The time from the first failure to the first success after the last failure.
        lasted: Duration,
        /// The number of retried calls since the last such notice.
        calls: u64,
        /// The number of their failed attempts.
        attempts: u64,
    },
    /// The service has begun to throttle requests.
    ThrottleBegins {
        /// The limit on requests per second from now on.
        pace: u64,
    },
    /// The request rate is no longer limited, because no request has had to wait for a while.
    ThrottleEnds {
        /// The time since the limit was set.
        lasted: Duration,
    },
    /// The SAS token expires soon.
    TokenExpires {
        /// The time of expiry.
        at: SystemTime,
        /// The time left until then.
        left: Duration,
        /// The file from which the next token is read, if any.
        file: Option<&'a Path>,
    },
    /// The token file has another token, which is used from now on.
    TokenRenewed {
        /// The token file.
        file: &'a Path,
        /// The expiry of the new token; `None` if a stored access policy sets it, which only the service knows.
        expiry: Option<SystemTime>,
    },
}

/// A callback for every notice, called on any thread.
pub type NoticeObserver = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::AttemptFailed {
                attempt,
                delay,
                error,
            } => write!(
                f,
                "{error}; attempt {attempt}, retrying in {}",
                span(*delay)
            ),
            Notice::OutageBegins { error, patience } => {
                write!(f, "{error}; retrying for up to {}", span(*patience))
            }
            Notice::OutageLasts {
                error,
                lasting,
                waiting,
            } => write!(
                f,
                "requests have been failing for {} ({waiting} waiting to be retried): {error}",
                span(*lasting)
            ),
            Notice::OutageEnds {
                lasted,
                calls,
                attempts,
            } => write!(
                f,
                "the container responds again after {}; {} retried, with {} in total",
                span(*lasted),
                counted(*calls, "request was", "requests were"),
                counted(*attempts, "failed attempt", "failed attempts")
            ),
            Notice::ThrottleBegins { pace } => write!(
                f,
                "the service throttles: limited to about {pace} requests per second until it accepts more"
            ),
            Notice::ThrottleEnds { lasted } => write!(
                f,
                "the service no longer throttles, after {}",
                span(*lasted)
            ),
            Notice::TokenExpires { at, left, file } => {
                write!(
                    f,
                    "the SAS token expires at {}, in {}: ",
                    instant(*at),
                    span(*left)
                )?;
                match file {
                    Some(file) => write!(
                        f,
                        "if the command takes longer, write a new token to {} before then",
                        file.display()
                    ),
                    None => f.write_str(
                        "if the command takes longer, it stops then and can be resumed or repeated with a new token; \
                         with --sas-token-file, a new token can be written to the file while it runs",
                    ),
                }
            }
            Notice::TokenRenewed { file, expiry } => {
                write!(f, "now using the new SAS token in {}", file.display())?;
                match expiry {
                    Some(expiry) => write!(f, ", which expires at {}", instant(*expiry)),
                    None => Ok(()),
                }
            }
        }
    }
}

fn instant(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}
