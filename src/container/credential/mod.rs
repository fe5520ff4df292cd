//! Credentials: what authorizes the requests to a container.
//!
//! A [`Credential`] is separate from the [`super::ContainerLocation`], which contains no secret.

pub mod sas;
mod source;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::notice::Notice;
use sas::{InvalidSas, Permissions, SasProblem, SasToken};

pub(super) use source::{Renewal, TokenSource};

/// A credential that expires within this time is reported before the first request.
const EXPIRY_NOTICE: Duration = Duration::from_secs(24 * 3600);

/// The maximum length of a token file, far more than any token has.
const MAX_BYTES: u64 = 64 << 10;

/// What authorizes the requests to a container. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Credential {
    /// No credential, for folders.
    #[default]
    None,
    /// A SAS token.
    Sas {
        /// The first token.
        token: SasToken,
        /// The file from which its successors are read.
        file: Option<PathBuf>,
    },
}

impl From<SasToken> for Credential {
    fn from(token: SasToken) -> Self {
        Self::Sas { token, file: None }
    }
}

impl Credential {
    /// Checks the credential before the first request, as far as that is possible without one.
    ///
    /// Returns the notice to report if the credential expires within a day.
    ///
    /// # Errors
    /// If the credential has expired, is not valid yet, is not for a container, or does not grant the `needed`
    /// permissions.
    pub fn check(&self, needed: Permissions) -> Result<Option<Notice<'_>>, SasProblem> {
        let Self::Sas { token, file } = self else {
            return Ok(None);
        };
        let now = SystemTime::now();
        token.check(now, needed)?;
        let expiry = token.expiry().and_then(|at| {
            let left = at.duration_since(now).ok()?;
            Some((at, left)).filter(|_| left < EXPIRY_NOTICE)
        });
        Ok(expiry.map(|(at, left)| Notice::TokenExpires {
            at,
            left,
            file: file.as_deref(),
        }))
    }

    /// Returns the credential with the token that its file has now. It is unchanged if the file is missing.
    ///
    /// # Errors
    /// If the file has no token.
    pub fn reread(self) -> Result<Self, TokenFileError> {
        match self {
            Self::Sas {
                file: Some(file), ..
            } if file.is_file() => Ok(Self::Sas {
                token: read_token_file(&file)?,
                file: Some(file),
            }),
            unchanged => Ok(unchanged),
        }
    }
}

/// Why a file has no usable token. Contains no part of the file's content.
#[derive(Debug, Error)]
#[error("the SAS token file {}: {problem}", .file.display())]
pub struct TokenFileError {
    file: PathBuf,
    problem: TokenProblem,
}

/// Why a token cannot be read or used. Contains no part of the token.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenProblem {
    /// The token cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The content is not a token.
    #[error("{0}")]
    Invalid(#[from] InvalidSas),
    /// The service would reject the token.
    #[error("{0}")]
    Problem(#[from] SasProblem),
}

/// Reads and parses the token in a file.
///
/// # Errors
/// If the file cannot be read or has no token.
pub fn read_token_file(file: &Path) -> Result<SasToken, TokenFileError> {
    let token = File::open(file).map_err(TokenProblem::from);
    token
        .and_then(read_token)
        .map_err(|problem| TokenFileError {
            file: file.to_path_buf(),
            problem,
        })
}

/// Reads and parses a token, with white space around it.
///
/// # Errors
/// If it cannot be read or is not a token.
pub fn read_token(from: impl Read) -> Result<SasToken, TokenProblem> {
    let mut text = String::new();
    from.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(SasToken::parse(&text)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Returns a credential for reading that expires in `hours`.
    fn expiring_in(hours: u64, file: Option<PathBuf>) -> Credential {
        let expiry = SystemTime::now() + Duration::from_secs(hours * 3600 + 60);
        let expiry = humantime::format_rfc3339_seconds(expiry);
        let token = SasToken::parse(&format!("sr=c&sp=rl&se={expiry}&sig=c2ln")).unwrap();
        Credential::Sas { token, file }
    }

    #[test]
    fn an_expiry_within_a_day_is_reported() {
        let notice = |hours| {
            let credential = expiring_in(hours, Some("/token".into()));
            let notice = credential.check(Permissions::READ).unwrap();
            notice.map(|notice| notice.to_string())
        };
        assert_eq!(notice(24), None);
        let text = notice(23).unwrap();
        assert!(text.contains(", in 23 h 0 min: if the command"), "{text}");
        assert!(text.contains("write a new token to /token"), "{text}");
        assert!(Credential::None.check(Permissions::ALL).unwrap().is_none());
        let policy: Credential = SasToken::parse("sr=c&si=policy&sig=c2ln").unwrap().into();
        assert!(policy.check(Permissions::ALL).unwrap().is_none());
    }

    #[test]
    fn a_problem_comes_before_the_expiry() {
        let problem = expiring_in(1, None).check(Permissions::ALL).unwrap_err();
        assert!(matches!(problem, SasProblem::Permissions { .. }));
    }

    #[test]
    fn a_reread_credential_has_the_token_that_is_in_its_file_now() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        let first = expiring_in(1, Some(path.clone()));
        std::fs::write(&path, "sr=c&sp=rl&sig=bmV4dA\n").unwrap();
        let Credential::Sas { token, .. } = first.clone().reread().unwrap() else {
            unreachable!("a token has no other kind of successor");
        };
        assert_eq!(token, SasToken::parse("sr=c&sp=rl&sig=bmV4dA").unwrap());
        std::fs::write(&path, "nothing").unwrap();
        let error = first.clone().reread().unwrap_err().to_string();
        let start = format!("the SAS token file {}: ", path.display());
        assert!(error.starts_with(&start), "{error}");
        drop(file);
        assert_eq!(first.clone().reread().unwrap(), first);
    }
}
