//! Where requests get their SAS token from, and where they get the next one when it ends.
//!
//! Transfers run for days and tokens for hours. A token that came from a file is looked up there
//! again before it ends, and when the service no longer takes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::Instant;

use super::notice::{Notice, NoticeObserver};
use super::sas::{InvalidSas, Permissions, SasProblem, SasToken};

/// A token that ends within this time is told of when a transfer begins.
pub const TOLD_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// When a token has less time left than this, its file is looked into for the next one.
pub const LOOK_AHEAD: Duration = Duration::from_secs(5 * 60);

/// How often the file is looked into then.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Far more than any token has.
const MAX_BYTES: u64 = 64 << 10;

/// Why there is no token in a file. Holds nothing of the file's content.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It holds something else.
    #[error("{0}")]
    Invalid(#[from] InvalidSas),
    /// It holds a token that will not do.
    #[error("{0}")]
    Problem(#[from] SasProblem),
}

/// Reads the text of a token, with white space around it.
pub fn read_token(from: impl Read) -> Result<SasToken, TokenFileError> {
    let mut text = String::new();
    from.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(SasToken::parse(&text)?)
}

/// The token that requests carry.
pub struct TokenSource {
    file: Option<PathBuf>,
    /// What a token of the file must permit.
    needed: Permissions,
    current: Mutex<Current>,
    /// One request looks into the file for all.
    looking: tokio::sync::Mutex<()>,
    observer: Option<NoticeObserver>,
}

struct Current {
    token: Arc<SasToken>,
    /// When the file was last looked into ahead of the token's end.
    looked: Option<Instant>,
    /// Whether its end was told of.
    told: bool,
}

impl Current {
    fn new(token: Arc<SasToken>) -> Self {
        Self {
            token,
            looked: None,
            told: false,
        }
    }
}

/// What became of a token that the service rejected.
#[derive(Debug)]
pub(super) enum Renewal {
    /// There is another one now.
    Other(Arc<SasToken>),
    /// There is none; what to do, as the end of a sentence.
    None(String),
}

impl TokenSource {
    /// One token for good.
    pub fn fixed(token: SasToken) -> Self {
        Self {
            file: None,
            needed: Permissions::ALL,
            current: Mutex::new(Current::new(Arc::new(token))),
            looking: tokio::sync::Mutex::default(),
            observer: None,
        }
    }

    /// A token that was read from `file`, where its successors will be. One that does not permit what is `needed` is
    /// not taken.
    pub fn from_file(token: SasToken, file: PathBuf, needed: Permissions) -> Self {
        let source = Self::fixed(token);
        // Whoever begins with a token that ends so soon has told so.
        let ends = ends_within(&source.token(), LOOK_AHEAD);
        source.state().told = ends;
        Self {
            file: Some(file),
            needed,
            ..source
        }
    }

    /// Also tells `observer` of a token that ends or is replaced.
    pub fn with_notices(mut self, observer: NoticeObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The token for the next request.
    pub(super) async fn current(&self) -> Arc<SasToken> {
        let token = self.token();
        let Some(file) = &self.file else {
            return token;
        };
        if !ends_within(&token, LOOK_AHEAD) || !self.look_is_due() {
            return token;
        }
        match self.replace(&token, file).await {
            Ok(other) => other,
            Err(_) => {
                // The old one still works; once it does not, the reason is told.
                self.tell_end(&token);
                token
            }
        }
    }

    /// Looks for another token, since the service did not take `rejected`.
    pub(super) async fn after_rejection(&self, rejected: &Arc<SasToken>) -> Renewal {
        let Some(file) = &self.file else {
            return Renewal::None("run the same command with a new token".to_owned());
        };
        match self.replace(rejected, file).await {
            Ok(other) => Renewal::Other(other),
            Err(None) => Renewal::None(format!(
                "the file {} still holds this token: put a new one into it",
                file.display()
            )),
            Err(Some(problem)) => Renewal::None(format!(
                "the file {} holds no new token ({problem}): put one into it",
                file.display()
            )),
        }
    }

    /// Takes the file's token in place of `old`. Fails without a reason when it is the same.
    async fn replace(
        &self,
        old: &Arc<SasToken>,
        file: &Path,
    ) -> Result<Arc<SasToken>, Option<TokenFileError>> {
        let _looking = self.looking.lock().await;
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
        self.tell(&Notice::TokenRenewed {
            file,
            until: token.expiry(),
        });
        Ok(token)
    }

    fn look_is_due(&self) -> bool {
        let mut state = self.state();
        let due = state.looked.is_none_or(|last| last.elapsed() >= LOOK_EVERY);
        if due {
            state.looked = Some(Instant::now());
        }
        due
    }

    /// Once for each token.
    fn tell_end(&self, token: &SasToken) {
        if std::mem::replace(&mut self.state().told, true) {
            return;
        }
        if let Some(at) = token.expiry() {
            self.tell(&Notice::TokenEnds {
                at,
                left: at.duration_since(SystemTime::now()).unwrap_or_default(),
                file: self.file.as_deref(),
            });
        }
    }

    fn tell(&self, notice: &Notice<'_>) {
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

/// Whether a token ends before so much time has passed.
pub fn ends_within(token: &SasToken, time: Duration) -> bool {
    let left = |expiry: SystemTime| expiry.duration_since(SystemTime::now()).unwrap_or_default();
    token.expiry().is_some_and(|expiry| left(expiry) < time)
}

/// Shows no signature, as [`SasToken`] does not.
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
