//! The location of a container: ACCOUNT and CONTAINER, validated and resolved.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

use super::azure::{Azure, Timeouts};
use super::folder::Folder;
use super::hints;
use super::notice::NoticeObserver;
use super::sas::{InvalidSas, Permissions, SasToken, redacted};
use super::token::TokenSource;
use super::{Container, ContainerError};

/// The location of a container, with the credential that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
// A process has one or two of these.
#[allow(clippy::large_enum_variant)]
pub enum ContainerLocation {
    /// A container in an Azure storage account.
    Azure {
        /// The account's blob endpoint without a query.
        endpoint: Url,
        /// The account's name.
        account: String,
        /// The container's name.
        container: String,
        /// The token that authorizes requests.
        sas: SasToken,
        /// The file from which the token was read, and from which its successors are read.
        sas_file: Option<PathBuf>,
    },
    /// A folder.
    Folder {
        /// The path of the folder that contains the blobs.
        path: PathBuf,
    },
}

/// Why ACCOUNT and CONTAINER are not a location. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The account is neither a name nor a URL of a known form.
    #[error("{:?} is not a storage account: {}", .0, hints::account(.0))]
    Account(String),
    /// The blob endpoint is not usable.
    #[error("the blob endpoint {url:?} {problem}")]
    Endpoint {
        /// The endpoint without its query.
        url: String,
        /// The end of the message.
        problem: &'static str,
    },
    /// The account's URL contains a container or a token.
    #[error("the account's URL {url:?} contains more than the account: {hint}")]
    ContainerUrl {
        /// The URL without its query.
        url: String,
        /// The arguments to give instead.
        hint: String,
    },
    /// The container's name violates Azure's rules.
    #[error(
        "{:?} is not a valid container name: use 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends{}",
        .0,
        hints::container(.0).map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    Container(String),
    /// The container's name cannot be the name of a folder.
    #[error(
        "{0:?} is not a valid folder name: it must be one path component of at most 255 bytes that does not start with a dot"
    )]
    FolderName(String),
    /// A container in Azure needs a token.
    #[error("a SAS token is needed for the account {0:?}")]
    SasMissing(String),
    /// The folder's URL has parts other than a path.
    #[error("the folder's URL {:?} is not of the form file:///PATH: {}", .0, hints::folder_url(.0))]
    FolderUrl(String),
    /// The container's URL is not valid.
    #[error(
        "the container's URL {url:?} {problem}; give https://ACCOUNT.blob.core.windows.net/CONTAINER or the path of a folder of blobs"
    )]
    Url {
        /// The URL without its query.
        url: String,
        /// The end of the message.
        problem: &'static str,
    },
    /// The query of the container's URL is not a token.
    #[error("the SAS token in the container's URL: {0}")]
    Sas(InvalidSas),
    /// A folder has no endpoint.
    #[error("a blob endpoint cannot be combined with a folder")]
    EndpointForFolder,
}

impl ContainerLocation {
    /// Resolves ACCOUNT and CONTAINER.
    ///
    /// `account` is the name of an account, its URL (`https://NAME.blob.core.windows.net`, `http://127.0.0.1:PORT/NAME`), or
    /// `file:///PATH`, whose sub-folder `container` then contains the blobs. `blob_endpoint` replaces the
    /// public cloud's URL if `account` is a name.
    pub fn parse(
        account: &str,
        container: &str,
        sas: Option<SasToken>,
        blob_endpoint: Option<&str>,
    ) -> Result<Self, LocationError> {
        if account.starts_with("file:") {
            if blob_endpoint.is_some() {
                return Err(LocationError::EndpointForFolder);
            }
            return Self::parse_folder(account, container);
        }
        if account.contains('?')
            && let Some(hint) = hints::container_url(account)
        {
            let url = without_query(account);
            return Err(LocationError::ContainerUrl { url, hint });
        }
        let (endpoint, account) = match (account.contains("://"), blob_endpoint) {
            (true, None) => endpoint_with_account(account)?,
            (true, Some(endpoint)) => {
                let (_, name) = endpoint_with_account(account)?;
                (endpoint_url(endpoint)?, name)
            }
            (false, given) => {
                if !is_account_name(account) {
                    return Err(LocationError::Account(without_query(account)));
                }
                let public = format!("https://{account}.blob.core.windows.net");
                (endpoint_url(given.unwrap_or(&public))?, account.to_owned())
            }
        };
        if !is_container_name(container) {
            return Err(LocationError::Container(without_query(container)));
        }
        let sas = sas.ok_or_else(|| LocationError::SasMissing(account.clone()))?;
        Ok(Self::Azure {
            endpoint,
            account,
            container: container.to_owned(),
            sas,
            sas_file: None,
        })
    }

    fn parse_folder(account: &str, container: &str) -> Result<Self, LocationError> {
        let invalid = || LocationError::FolderUrl(without_query(account));
        let url = Url::parse(account).map_err(|_| invalid())?;
        let plain = account.starts_with("file:///") && url.query().is_none();
        if !plain || url.fragment().is_some() {
            return Err(invalid());
        }
        let folder = url.to_file_path().map_err(|()| invalid())?;
        // Otherwise a folder "C:" would be created in the root directory.
        if hints::windows_path(url.path().trim_start_matches('/')).is_some() && !folder.exists() {
            return Err(invalid());
        }
        let safe = !container.is_empty()
            && container.len() <= 255
            && !container.starts_with('.')
            && !container.contains(['/', '\0']);
        if !safe {
            return Err(LocationError::FolderName(container.to_owned()));
        }
        Ok(Self::Folder {
            path: folder.join(container),
        })
    }

    /// Sets the file from which the token was read, and from which its successors are read.
    pub fn with_sas_file(mut self, file: PathBuf) -> Self {
        if let Self::Azure { sas_file, .. } = &mut self {
            *sas_file = Some(file);
        }
        self
    }

    /// Opens the container. With `create`, creates a missing folder; a container in Azure is never created.
    ///
    /// Sends no request to Azure: the first call fails if the container does not exist.
    pub fn open(&self, create: bool) -> Result<Arc<dyn Container>, ContainerError> {
        self.open_with(
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
        create: bool,
        needed: Permissions,
        timeouts: Timeouts,
        notices: NoticeObserver,
    ) -> Result<Arc<dyn Container>, ContainerError> {
        match self {
            Self::Azure {
                endpoint,
                container,
                sas,
                sas_file,
                ..
            } => {
                let tokens = match sas_file {
                    Some(file) => TokenSource::from_file(sas.clone(), file.clone(), needed),
                    None => TokenSource::fixed(sas.clone()),
                }
                .with_notices(notices);
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
                ..
            } => format!("{}/{container}", endpoint.as_str().trim_end_matches('/')),
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

fn endpoint_url(text: &str) -> Result<Url, LocationError> {
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

/// Returns the URL and the account's name: the only path component, or the first label of the host.
fn endpoint_with_account(text: &str) -> Result<(Url, String), LocationError> {
    let url = endpoint_url(text)?;
    let path = url.path().trim_matches('/').to_owned();
    let account = match (path.as_str(), url.host()) {
        ("", Some(Host::Domain(host))) => host.split('.').next().unwrap_or_default().to_owned(),
        ("", _) => {
            return Err(LocationError::Endpoint {
                url: url.to_string(),
                problem: "has an IP address as its host: add the account's name as its path",
            });
        }
        (path, _) if path.contains('/') => {
            return Err(LocationError::Endpoint {
                url: url.to_string(),
                problem: "has more than the account's name in its path: give the container as a separate argument",
            });
        }
        (path, host) => {
            // The hosts of Azure contain the account, so that the path can only be a container.
            if matches!(host, Some(Host::Domain(_)))
                && let Some(hint) = hints::container_url(url.as_str())
            {
                let url = url.to_string();
                return Err(LocationError::ContainerUrl { url, hint });
            }
            path.to_owned()
        }
    };
    Ok((url, account))
}

pub(super) fn is_account_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.chars().all(allowed)
}

pub(super) fn is_container_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (3..=63).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Removes the token and the password that a pasted URL may contain.
fn without_query(text: &str) -> String {
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
#[path = "location_tests.rs"]
mod tests;
