//! The source of the SAS tokens of requests.
//!
//! Transfers take days, and tokens are valid for hours. If the token is from a file, the file is read again shortly before
//! the token expires and whenever the service rejects it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::Instant;

use super::notice::{Notice, NoticeObserver};
use super::sas::{InvalidSas, Permissions, SasProblem, SasToken};

/// A token that expires within this time is reported when a transfer starts.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(24 * 3600);

/// The file is read for a new token if the current one expires within this time.
pub const RENEWAL_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The min time between two such reads of the file.
const READ_INTERVAL: Duration = Duration::from_secs(10);

/// The max length of a token file, far more than any token has.
const MAX_BYTES: u64 = 64 << 10;

/// Why a file has no usable token. Contains no part of the file's content.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The content is not a token.
    #[error("{0}")]
    Invalid(#[from] InvalidSas),
    /// The service would reject the token.
    #[error("{0}")]
    Problem(#[from] SasProblem),
}

/// Reads and parses a token, with white space around it.
///
/// # Errors
/// If it cannot be read or is not a token.
pub fn read_token(from: impl Read) -> Result<SasToken, TokenFileError> {
    let mut text = String::new();
    from.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(SasToken::parse(&text)?)
}

/// The source of the token that requests are sent with.
pub struct TokenSource {
    file: Option<PathBuf>,
    /// The permissions that a token from the file must grant.
    needed: Permissions,
    current: Mutex<Current>,
    /// Held while the file is read, so that one request reads it for all.
    reading: tokio::sync::Mutex<()>,
    observer: Option<NoticeObserver>,
}

struct Current {
    token: Arc<SasToken>,
    /// The last read of the file before the expiry of the token.
    last_read: Option<Instant>,
    /// Whether the expiry was reported.
    is_reported: bool,
}

impl Current {
    fn new(token: Arc<SasToken>) -> Self {
        Self {
            token,
            last_read: None,
            is_reported: false,
        }
    }
}

/// The replacement of a token that the service rejected.
#[derive(Debug)]
pub(super) enum Renewal {
    /// The file has another token.
    Renewed(Arc<SasToken>),
    /// No other token is available. The text says what to do, as the end of a sentence.
    Unavailable(String),
}

impl TokenSource {
    /// Creates a source with a single token.
    pub fn fixed(token: SasToken) -> Self {
        Self {
            file: None,
            needed: Permissions::ALL,
            current: Mutex::new(Current::new(Arc::new(token))),
            reading: tokio::sync::Mutex::default(),
            observer: None,
        }
    }

    /// Creates a source with a token that was read from `file`, from which its successors are read. A successor that
    /// does not grant the `needed` permissions is not used.
    pub fn from_file(token: SasToken, file: PathBuf, needed: Permissions) -> Self {
        let source = Self::fixed(token);
        // The caller has already reported such an early expiry (`EXPIRY_NOTICE`).
        let is_reported = expires_within(&source.token(), RENEWAL_WINDOW);
        source.state().is_reported = is_reported;
        Self {
            file: Some(file),
            needed,
            ..source
        }
    }

    /// Also reports to `observer` when a token expires soon or is replaced.
    pub fn with_notices(mut self, observer: NoticeObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Returns the token for the next request.
    pub(super) async fn current(&self) -> Arc<SasToken> {
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
    pub(super) async fn after_rejection(&self, rejected: &Arc<SasToken>) -> Renewal {
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
    ) -> Result<Arc<SasToken>, Option<TokenFileError>> {
        let _reading = self.reading.lock().await;
        let current = self.token();
        if current != *old {
            return Ok(current);
        }
        let path = file.to_path_buf();
        let read = tokio::task::spawn_blocking(move || read_token(File::open(path)?)).await;
        let found = match read {
            Ok(found) => found.map_err(Some)?,
            Err(broken) => return Err(Some(io::Error::other(broken).into())),
        };
        if found == **old {
            return Err(None);
        }
        found
            .check(SystemTime::now(), self.needed)
            .map_err(|problem| Some(problem.into()))?;
        let token = Arc::new(found);
        *self.state() = Current::new(Arc::clone(&token));
        self.notify(&Notice::TokenRenewed {
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
            self.notify(&Notice::TokenExpires {
                at,
                left: at.duration_since(SystemTime::now()).unwrap_or_default(),
                file: self.file.as_deref(),
            });
        }
    }

    fn notify(&self, notice: &Notice<'_>) {
        if let Some(observer) = &self.observer {
            observer(notice);
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
pub fn expires_within(token: &SasToken, time: Duration) -> bool {
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
#[path = "token_tests.rs"]
mod tests;
