//! The location of a container.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

use super::azure::{self, Azure, Timeouts};
use super::credential::sas::{Permissions, redacted};
use super::credential::{Credential, TokenSource};
use super::folder::Folder;
use super::notice::NoticeObserver;
use super::{Container, ContainerError, ContainerErrorKind, Operation};

/// The location of a container, without a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerLocation {
    /// A container in an Azure storage account.
    Azure {
        /// The account's blob endpoint without a query.
        endpoint: Url,
        /// The container's name.
        container: String,
    },
    /// A folder.
    Folder {
        /// The path of the folder that contains the blobs.
        path: PathBuf,
    },
}

/// Why endpoint and name are not those of a container in Azure. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The blob endpoint is not usable.
    #[error("the blob endpoint {url:?} {problem}")]
    Endpoint {
        /// The endpoint without its query.
        url: String,
        /// The end of the message.
        problem: &'static str,
    },
    /// The container's name violates Azure's rules.
    #[error(
        "{0:?} is not a valid container name: use 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends"
    )]
    Container(String),
}

impl ContainerLocation {
    /// Creates the location of a container in Azure from the account's blob endpoint
    /// (`https://ACCOUNT.blob.core.windows.net`, `http://127.0.0.1:PORT/ACCOUNT`) and the container's name.
    ///
    /// # Errors
    /// If the endpoint is not an https URL (http on this host), has a query or a password, or if the name violates
    /// Azure's rules.
    pub fn azure(endpoint: &str, container: &str) -> Result<Self, LocationError> {
        let endpoint = endpoint_url(endpoint)?;
        match is_container_name(container) {
            true => Ok(Self::Azure {
                endpoint,
                container: container.to_owned(),
            }),
            false => Err(LocationError::Container(without_query(container))),
        }
    }

    /// Opens the container. With `create`, creates a missing folder; a container in Azure is never created.
    ///
    /// Sends no request to Azure: the first call fails if the container does not exist.
    pub fn open(
        &self,
        credential: &Credential,
        create: bool,
    ) -> Result<Arc<dyn Container>, ContainerError> {
        self.open_with(
            credential,
            create,
            Permissions::ALL,
            Timeouts::default(),
            Arc::new(|_| ()),
        )
    }

    /// Opens the container as [`ContainerLocation::open`] does, with `timeouts` for each request. `notices` receives the
    /// notices about tokens. `needed` are the permissions that a new token must grant to replace the first.
    pub fn open_with(
        &self,
        credential: &Credential,
        create: bool,
        needed: Permissions,
        timeouts: Timeouts,
        notices: NoticeObserver,
    ) -> Result<Arc<dyn Container>, ContainerError> {
        match self {
            Self::Azure {
                endpoint,
                container,
            } => {
                let Credential::Sas { token, file } = credential else {
                    let kind = ContainerErrorKind::Protocol;
                    let error = ContainerError::new(kind, Operation::Open, self.identity());
                    return Err(error.with_detail("a container in Azure needs a SAS token"));
                };
                let tokens = TokenSource::new(token.clone(), file.clone(), needed, notices);
                let azure = Azure::new(endpoint, container, tokens, timeouts)?;
                Ok(Arc::new(azure))
            }
            Self::Folder { path } => Ok(Arc::new(Folder::open(path, create)?)),
        }
    }

    /// Returns the identity of the container, without secrets. It is compared when a transfer resumes.
    pub fn identity(&self) -> String {
        match self {
            Self::Azure {
                endpoint,
                container,
            } => azure::location(endpoint, container),
            Self::Folder { path } => {
                // The state stores text, and paths that are not UTF-8 need distinct identities.
                format!(
                    "file://{}",
                    path.as_os_str().as_encoded_bytes().escape_ascii()
                )
            }
        }
    }
}

impl fmt::Display for ContainerLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity())
    }
}

/// Returns whether the host is this machine: requests need no proxy and plain HTTP exposes nothing.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Parses a blob endpoint, to which a token can be sent safely.
pub(crate) fn endpoint_url(text: &str) -> Result<Url, LocationError> {
    let invalid = |problem| LocationError::Endpoint {
        url: without_query(text),
        problem,
    };
    let mut url = Url::parse(text).map_err(|_| invalid("is not a URL"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(
            "has a query: give the SAS token as a separate argument",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("contains a user name or password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(invalid(
                "is not encrypted and would expose the SAS token: use https",
            ));
        }
        _ => return Err(invalid("is neither https nor http")),
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(crate) fn is_container_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (3..=63).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Removes the token and the password that a pasted URL may contain.
pub(crate) fn without_query(text: &str) -> String {
    let text = match text.find(['?', '&', '#']) {
        Some(end) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    let text = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let scheme = text.get(..scheme).unwrap_or_default();
            format!("{scheme}://...{}", text.get(at..).unwrap_or_default())
        }
        _ => text,
    };
    redacted(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn container_names_follow_azures_rules() {
        let parse =
            |name: &str| ContainerLocation::azure("https://abc.blob.core.windows.net", name);
        for name in ["abc", "a-b-c", "123", &"x".repeat(63)] {
            assert!(parse(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "ab",
            &"x".repeat(64),
            "Abc",
            "-ab",
            "ab-",
            "a--b",
            "$root",
            "$web",
            "a.b",
            "a/b",
            "a_b",
        ] {
            assert_eq!(parse(name), Err(LocationError::Container(name.into())));
        }
    }

    #[test]
    fn a_container_in_azure_needs_a_credential() {
        let azure = ContainerLocation::azure("https://abc.blob.core.windows.net", "data").unwrap();
        let error = azure.open(&Credential::None, false).unwrap_err();
        assert!(error.to_string().contains("needs a SAS token"), "{error}");
    }
}
