//! Where a container lies: the command's ACCOUNT and CONTAINER, checked and resolved.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

use super::azure::{Azure, Patience};
use super::folder::Folder;
use super::mistaken;
use super::notice::NoticeObserver;
use super::sas::{InvalidSas, Permissions, SasToken, redacted};
use super::token::TokenSource;
use super::{Container, ContainerError};

/// A container's place, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
// There are one or two of it in a process.
#[allow(clippy::large_enum_variant)]
pub enum ContainerLocation {
    /// A container of an Azure storage account.
    Azure {
        /// The account's blob endpoint, without query.
        endpoint: Url,
        /// The account's name.
        account: String,
        /// The container's name.
        container: String,
        /// What lets requests in.
        sas: SasToken,
        /// Where the token came from and the next one will be, if it is a file.
        sas_file: Option<PathBuf>,
    },
    /// A folder.
    Folder {
        /// The folder that holds the blobs.
        path: PathBuf,
    },
}

/// Why ACCOUNT and CONTAINER name no place. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The account is neither a name nor a URL of a known form.
    #[error("{:?} is no storage account: {}", .0, mistaken::account(.0))]
    Account(String),
    /// The blob endpoint is not usable.
    #[error("the blob endpoint {url:?} {problem}")]
    Endpoint {
        /// The endpoint without query.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The account's URL is that of a container, or has a token.
    #[error("the account's URL {url:?} says more than the account: {meant}")]
    WholeUrl {
        /// The URL without query.
        url: String,
        /// The words to give instead.
        meant: String,
    },
    /// Azure would not take the container's name.
    #[error(
        "{:?} is no container name: 3 to 63 lower-case letters, digits and single hyphens are possible, with a letter or digit at both ends{}",
        .0,
        mistaken::container(.0).map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    Container(String),
    /// The container's name cannot be a folder's.
    #[error(
        "{0:?} is no name for a folder: it must be one path component of at most 255 bytes, not starting with a dot, without '/'"
    )]
    FolderName(String),
    /// An Azure container needs a token.
    #[error("a SAS token is needed for the account {0:?}")]
    SasMissing(String),
    /// The URL has parts that do not belong there.
    #[error("the folder's URL {:?} is not of the form file:///PATH: {}", .0, mistaken::folder_url(.0))]
    FolderUrl(String),
    /// A container's URL that is none.
    #[error(
        "the container's URL {url:?} {problem}; it has the form https://ACCOUNT.blob.core.windows.net/CONTAINER, or is the path of a folder of blobs"
    )]
    Url {
        /// The URL without query.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The query of a container's URL is no token.
    #[error("the SAS token in the container's URL: {0}")]
    Sas(InvalidSas),
    /// A folder has no endpoint.
    #[error("a blob endpoint cannot be combined with a folder")]
    EndpointForFolder,
}

impl ContainerLocation {
    /// Resolves the command's words.
    ///
    /// `account` is an account's name, its URL (`https://NAME.blob.core.windows.net`, `http://127.0.0.1:PORT/NAME`), or
    /// `file:///PATH`, whose sub-folder `container` then holds the blobs. `blob_endpoint` replaces the
    /// public cloud's URL when `account` is a name.
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
            && let Some(meant) = mistaken::whole_container(account)
        {
            let url = without_query(account);
            return Err(LocationError::WholeUrl { url, meant });
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
        // It would be made, as a folder "C:" in the root.
        if mistaken::windows_path(url.path().trim_start_matches('/')).is_some() && !folder.exists()
        {
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

    /// The same place, whose token came from a file: the next one is looked for there.
    pub fn with_sas_file(mut self, file: PathBuf) -> Self {
        if let Self::Azure { sas_file, .. } = &mut self {
            *sas_file = Some(file);
        }
        self
    }

    /// Opens the container. With `create`, a folder that is not there is made; an Azure container never is.
    ///
    /// Azure is not asked anything yet: the first call tells whether the container exists.
    pub fn open(&self, create: bool) -> Result<Arc<dyn Container>, ContainerError> {
        self.open_with(
            create,
            Permissions::ALL,
            Patience::default(),
            Arc::new(|_| ()),
        )
    }

    /// Opens the container as [`ContainerLocation::open`] does, with another patience for each request; `notices`
    /// hears of tokens. `needed` is what a token must permit that replaces the first.
    pub fn open_with(
        &self,
        create: bool,
        needed: Permissions,
        patience: Patience,
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
                let azure = Azure::new(endpoint, container, tokens, patience)?;
                Ok(Arc::new(azure))
            }
            Self::Folder { path } => Ok(Arc::new(Folder::open(path, create)?)),
        }
    }

    /// What tells this container from others, without secrets: compared when a transfer goes on.
    pub fn identity(&self) -> String {
        match self {
            Self::Azure {
                endpoint,
                container,
                ..
            } => format!("{}/{container}", endpoint.as_str().trim_end_matches('/')),
            Self::Folder { path } => {
                // The state remembers text; a path that is no text still needs an identity of its own.
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

/// Whether a host is this machine: no proxy stands between, and plain HTTP gives nothing away.
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
            "has a query: give the SAS token as an argument of its own",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("holds a user name or password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(invalid(
                "is not encrypted: the SAS token would be readable on the way; use https",
            ));
        }
        _ => return Err(invalid("is neither https nor http")),
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The account's name is the one path component, or the first label of the host.
fn endpoint_with_account(text: &str) -> Result<(Url, String), LocationError> {
    let url = endpoint_url(text)?;
    let path = url.path().trim_matches('/').to_owned();
    let account = match (path.as_str(), url.host()) {
        ("", Some(Host::Domain(host))) => host.split('.').next().unwrap_or_default().to_owned(),
        ("", _) => {
            return Err(LocationError::Endpoint {
                url: url.to_string(),
                problem: "has an address for a host: add the account's name as its path",
            });
        }
        (path, _) if path.contains('/') => {
            return Err(LocationError::Endpoint {
                url: url.to_string(),
                problem: "has more than the account's name as its path: the container is an argument of its own",
            });
        }
        (path, host) => {
            // On Azure's own hosts the account is in the host, so a path can only be a container.
            if matches!(host, Some(Host::Domain(_)))
                && let Some(meant) = mistaken::whole_container(url.as_str())
            {
                let url = url.to_string();
                return Err(LocationError::WholeUrl { url, meant });
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

/// A pasted URL may carry a token, and a password before the host.
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
