//! The source of the SAS tokens of requests.
//!
//! Transfers take days, and tokens are valid for hours. If the token is from a file, the file is read again shortly before
//! the token expires and whenever the service rejects it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::sas::{Permissions, SasToken};
use super::{TokenProblem, read_token_file};
use crate::container::notice::{Notice, NoticeObserver};

/// The file is read for a new token if the current one expires within this time.
const RENEWAL_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The minimum time between two such reads of the file.
const READ_INTERVAL: Duration = Duration::from_secs(10);

/// The source of the token that requests are sent with.
pub(crate) struct TokenSource {
    file: Option<PathBuf>,
    /// The permissions that a token from the file must grant.
    needed: Permissions,
    current: Mutex<Current>,
    /// Held while the file is read, so that one request reads it for all.
    reading: tokio::sync::Mutex<()>,
    observer: NoticeObserver,
}

struct Current {
    token: Arc<SasToken>,
    /// The last read of the file before the expiry of the token.
    last_read: Option<Instant>,
    /// Whether the expiry was reported.
    is_reported: bool,
}

/// The replacement of a token that the service rejected.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// The file has another token.
    Renewed(Arc<SasToken>),
    /// No other token is available. The text says what to do, as the end of a sentence.
    Unavailable(String),
}

impl TokenSource {
    /// Creates a source with a first token. If it is from `file`, its successors are read from there; one that does not
    /// grant the `needed` permissions is not used. Reports to `observer` when a token expires soon or is replaced.
    pub(crate) fn new(
        token: SasToken,
        file: Option<PathBuf>,
        needed: Permissions,
        observer: NoticeObserver,
    ) -> Self {
        // `Credential::check` has already reported such an early expiry.
        let is_reported = expires_within(&token, RENEWAL_WINDOW);
        Self {
            file,
            needed,
            current: Mutex::new(Current {
                token: Arc::new(token),
                last_read: None,
                is_reported,
            }),
            reading: tokio::sync::Mutex::default(),
            observer,
        }
    }

    /// Returns the token for the next request.
    pub(crate) async fn current(&self) -> Arc<SasToken> {
        let token = self.token();
        let Some(file) = &self.file else {
            return token;
        };
        if !expires_within(&token, RENEWAL_WINDOW) || !self.read_is_due() {
            return token;
        }
        match self.replace(&token, file).await {
            Ok(renewed) => renewed,
            Err(_) => {
                // The old token is still valid; `after_rejection` reports the reason once it is not.
                self.notify_expiry(&token);
                token
            }
        }
    }

    /// Reads the file for another token, because the service rejected this one.
    pub(crate) async fn after_rejection(&self, rejected: &Arc<SasToken>) -> Renewal {
        let Some(file) = &self.file else {
            return Renewal::Unavailable("run the same command with a new token".to_owned());
        };
        match self.replace(rejected, file).await {
            Ok(renewed) => Renewal::Renewed(renewed),
            Err(None) => Renewal::Unavailable(format!(
                "the file {} still holds this token: write a new one to it",
                file.display()
            )),
            Err(Some(problem)) => Renewal::Unavailable(format!(
                "the file {} has no valid new token ({problem}): write one to it",
                file.display()
            )),
        }
    }

    /// Replaces `old` with the token in the file.
    ///
    /// # Errors
    /// `None` if it is the same token, otherwise why it cannot be used.
    async fn replace(
        &self,
        old: &Arc<SasToken>,
        file: &Path,
    ) -> Result<Arc<SasToken>, Option<TokenProblem>> {
        let _reading = self.reading.lock().await;
        let current = self.token();
        if current != *old {
            return Ok(current);
        }
        let path = file.to_path_buf();
        let read = tokio::task::spawn_blocking(move || read_token_file(&path)).await;
        let found = match read {
            Ok(found) => found.map_err(|error| Some(error.problem))?,
            Err(broken) => return Err(Some(io::Error::other(broken).into())),
        };
        if found == **old {
            return Err(None);
        }
        found
            .check(SystemTime::now(), self.needed)
            .map_err(|problem| Some(problem.into()))?;
        let token = Arc::new(found);
        *self.state() = Current {
            token: Arc::clone(&token),
            last_read: None,
            is_reported: false,
        };
        (self.observer)(&Notice::TokenRenewed {
            file,
            expiry: token.expiry(),
        });
        Ok(token)
    }

    fn read_is_due(&self) -> bool {
        let mut state = self.state();
        let is_due = state
            .last_read
            .is_none_or(|last| last.elapsed() >= READ_INTERVAL);
        if is_due {
            state.last_read = Some(Instant::now());
        }
        is_due
    }

    /// Reports the coming expiry, once for each token.
    fn notify_expiry(&self, token: &SasToken) {
        if std::mem::replace(&mut self.state().is_reported, true) {
            return;
        }
        if let Some(at) = token.expiry() {
            (self.observer)(&Notice::TokenExpires {
                at,
                left: at.duration_since(SystemTime::now()).unwrap_or_default(),
                file: self.file.as_deref(),
            });
        }
    }

    fn token(&self) -> Arc<SasToken> {
        Arc::clone(&self.state().token)
    }

    fn state(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a token expires within `time`.
fn expires_within(token: &SasToken, time: Duration) -> bool {
    let left = |expiry: SystemTime| expiry.duration_since(SystemTime::now()).unwrap_or_default();
    token.expiry().is_some_and(|expiry| left(expiry) < time)
}

/// Shows the token without its signature.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource")
            .field("file", &self.file)
            .field("token", &self.token())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
