//! What a container has to tell while it works: nothing that a caller must act on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ContainerError;
use crate::events::Level;

/// Something that happened on the way to the container. Its `Display` is the wording for people.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// One try of a call failed for a passing reason; the call is repeated. There may be thousands.
    TryFailed {
        /// How many tries of the call have failed so far.
        attempt: u32,
        /// The wait before the next.
        delay: Duration,
        /// Why it failed: what was tried on which blob, and what the service answered.
        error: &'a ContainerError,
    },
    /// Calls fail for a passing reason and are repeated.
    OutageBegins {
        /// Why the first of them failed.
        error: &'a ContainerError,
        /// How long a call is repeated at most.
        patience: Duration,
    },
    /// They still fail.
    OutageLasts {
        /// Why the last of them failed.
        error: &'a ContainerError,
        /// Since when no moment was without a failing call.
        lasting: Duration,
        /// Calls that failed and wait for their next try.
        waiting: u64,
    },
    /// The last of the failing calls succeeded.
    OutageEnds {
        /// From the first failure to the first success after the last failure.
        lasted: Duration,
        /// Calls that had to be repeated since the last such notice.
        calls: u64,
        /// Tries of theirs that failed.
        tries: u64,
    },
    /// The service asks for fewer requests.
    ThrottleBegins {
        /// Requests in a second from now on.
        pace: u64,
    },
    /// There is no bound on requests any more: for a while none was held back by it.
    ThrottleEnds {
        /// From when the first bound was set.
        lasted: Duration,
    },
    /// The token ends before long.
    TokenEnds {
        /// When.
        at: SystemTime,
        /// How long that is from now.
        left: Duration,
        /// The file that is looked into for the next one.
        file: Option<&'a Path>,
    },
    /// The token's file held another token, which is used from now on.
    TokenRenewed {
        /// The file.
        file: &'a Path,
        /// When the new token ends; `None` when only the service knows.
        until: Option<SystemTime>,
    },
}

impl Notice<'_> {
    /// How grave it is.
    pub fn level(&self) -> Level {
        match self {
            Notice::TryFailed { .. } => Level::Debug,
            Notice::OutageBegins { .. }
            | Notice::OutageLasts { .. }
            | Notice::ThrottleBegins { .. }
            | Notice::TokenEnds { .. } => Level::Warning,
            Notice::OutageEnds { .. }
            | Notice::ThrottleEnds { .. }
            | Notice::TokenRenewed { .. } => Level::Info,
        }
    }
}

/// Hears of every notice, on any thread.
pub type NoticeObserver = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::TryFailed {
                attempt,
                delay,
                error,
            } => write!(f, "{error}; try {attempt}, again in {}", span(*delay)),
            Notice::OutageBegins { error, patience } => write!(
                f,
                "{error}; waiting and trying again, for {} at most",
                span(*patience)
            ),
            Notice::OutageLasts {
                error,
                lasting,
                waiting,
            } => write!(
                f,
                "{} the container since {}: {error}",
                counted(
                    *waiting,
                    "request still waits for",
                    "requests still wait for"
                ),
                span(*lasting)
            ),
            Notice::OutageEnds {
                lasted,
                calls,
                tries,
            } => write!(
                f,
                "the container answers again after {}; {} repeated, with {} in all",
                span(*lasted),
                counted(*calls, "request was", "requests were"),
                counted(*tries, "failed try", "failed tries")
            ),
            Notice::ThrottleBegins { pace } => write!(
                f,
                "the service asks for fewer requests: going on with about {pace} a second, and with more as \
                 soon as it takes them"
            ),
            Notice::ThrottleEnds { lasted } => write!(
                f,
                "the service takes as many requests as there are again, after {}",
                span(*lasted)
            ),
            Notice::TokenEnds { at, left, file } => {
                write!(
                    f,
                    "the SAS token ends at {}, in {}: ",
                    instant(*at),
                    span(*left)
                )?;
                match file {
                    Some(file) => write!(
                        f,
                        "if the transfer takes longer, put a new token into {} in time",
                        file.display()
                    ),
                    None => f.write_str(
                        "if the transfer takes longer, it comes to rest then and goes on with a new token; \
                         with --sas-token-file the new token can be put into the file meanwhile",
                    ),
                }
            }
            Notice::TokenRenewed { file, until } => {
                write!(f, "going on with the new SAS token in {}", file.display())?;
                match until {
                    Some(until) => write!(f, ", which ends at {}", instant(*until)),
                    None => Ok(()),
                }
            }
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn instant(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}

/// A span of time as a person says it: parts of a second only where there is no more.
pub(super) fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match minutes {
        0 => format!("{:.1} s", span.as_secs_f64()),
        1..60 => format!("{minutes} min {} s", span.as_secs() % 60),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
