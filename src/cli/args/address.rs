//! The address of a container in the arguments: ACCOUNT and CONTAINER of a load, and CONTAINER of the other commands.

use std::ffi::OsStr;
use std::path::PathBuf;

use thiserror::Error;
use url::{Host, Url};

use super::location_hints::{self as hints, is_account_name};
use crate::container::location::{ContainerLocation, LocationError, endpoint_url, without_query};

/// Why arguments are not the address of a container. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::cli) enum AddressError {
    /// The account is neither a name nor a URL of a known form.
    #[error("{:?} is not a storage account: {}", .0, hints::account(.0))]
    Account(String),
    /// The account's URL contains a container or a token.
    #[error("the account's URL {url:?} contains more than the account: {hint}")]
    ContainerUrl {
        /// The URL without its query.
        url: String,
        /// The arguments to give instead.
        hint: String,
    },
    /// Endpoint or container name are not valid.
    #[error("{}{}", .0, hints::location(.0))]
    Location(#[from] LocationError),
    /// The container's name cannot be the name of a folder.
    #[error(
        "{0:?} is not a valid folder name: it must be one path component of at most 255 bytes that does not start with a dot"
    )]
    FolderName(String),
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
    /// A folder has no endpoint.
    #[error("a blob endpoint cannot be combined with a folder")]
    EndpointForFolder,
}

/// Parses ACCOUNT and CONTAINER.
///
/// `account` is the name of an account, its URL (`https://NAME.blob.core.windows.net`, `http://127.0.0.1:PORT/NAME`), or
/// `file:///PATH`, whose sub-folder `container` then contains the blobs. `blob_endpoint` replaces the account's URL.
pub(in crate::cli) fn of_load(
    account: &str,
    container: &str,
    blob_endpoint: Option<&str>,
) -> Result<ContainerLocation, AddressError> {
    if account.starts_with("file:") {
        return match blob_endpoint {
            Some(_) => Err(AddressError::EndpointForFolder),
            None => folder(account, container),
        };
    }
    if account.contains('?')
        && let Some(hint) = hints::container_url(account)
    {
        let url = without_query(account);
        return Err(AddressError::ContainerUrl { url, hint });
    }
    let public = match account.contains("://") {
        true => account_url(account)?.into(),
        false if is_account_name(account) => format!("https://{account}.blob.core.windows.net"),
        false => return Err(AddressError::Account(without_query(account))),
    };
    let endpoint = blob_endpoint.unwrap_or(&public);
    Ok(ContainerLocation::azure(endpoint, container)?)
}

fn folder(account: &str, container: &str) -> Result<ContainerLocation, AddressError> {
    let invalid = || AddressError::FolderUrl(without_query(account));
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
    match safe {
        true => Ok(ContainerLocation::Folder {
            path: folder.join(container),
        }),
        false => Err(AddressError::FolderName(container.to_owned())),
    }
}

/// Parses the URL of an account. Its name is the only path component, or the first label of the host.
fn account_url(text: &str) -> Result<Url, AddressError> {
    let url = endpoint_url(text)?;
    let invalid = |problem| LocationError::Endpoint {
        url: url.to_string(),
        problem,
    };
    let path = url.path().trim_matches('/');
    let is_named = matches!(url.host(), Some(Host::Domain(_)));
    if path.is_empty() && !is_named {
        let problem = "has an IP address as its host: add the account's name as its path";
        return Err(invalid(problem).into());
    }
    if path.contains('/') {
        let problem = "has more than the account's name in its path: give the container as a separate argument";
        return Err(invalid(problem).into());
    }
    // The hosts of Azure contain the account, so that the path can only be a container.
    if !path.is_empty()
        && is_named
        && let Some(hint) = hints::container_url(url.as_str())
    {
        let url = url.to_string();
        return Err(AddressError::ContainerUrl { url, hint });
    }
    Ok(url)
}

/// Parses the CONTAINER of a command that reads: `https://ACCOUNT.blob.core.windows.net/CONTAINER`,
/// `http://127.0.0.1:PORT/ACCOUNT/CONTAINER` (either with a SAS token as its query), `file:///PATH`, or a path.
///
/// Returns the location and the query of the URL, which is secret.
///
/// # Errors
/// If it is a URL of another form.
pub(in crate::cli) fn of_argument(
    argument: &OsStr,
) -> Result<(ContainerLocation, Option<&str>), AddressError> {
    let text = match argument.to_str() {
        Some(text) if text.contains("://") => text,
        _ => return Ok((folder_of_blobs(argument.into())?, None)),
    };
    let (bare, query) = match text.split_once('?') {
        Some((bare, query)) => (bare, Some(query)),
        None => (text, None),
    };
    let invalid = |problem| AddressError::Url {
        url: without_query(bare),
        problem,
    };
    let url = Url::parse(bare).map_err(|_| invalid("is not a URL"))?;
    if url.fragment().is_some() {
        return Err(invalid("has a fragment ('#')"));
    }
    if url.scheme() == "file" {
        if query.is_some() {
            return Err(invalid(
                "has a query: write '?' in a folder name as %3F, or give the plain path",
            ));
        }
        let path = url
            .to_file_path()
            .map_err(|()| invalid("must be of the form file:///PATH"))?;
        return Ok((folder_of_blobs(path)?, None));
    }
    let (account, container) = bare
        .trim_end_matches('/')
        .rsplit_once('/')
        .filter(|(account, container)| {
            // `https:/` is left when the URL has no path at all.
            !account.ends_with('/') && !container.is_empty()
        })
        .ok_or_else(|| invalid("has no container name"))?;
    Ok((of_load(account, container, None)?, query))
}

fn folder_of_blobs(path: PathBuf) -> Result<ContainerLocation, AddressError> {
    if path.as_os_str().is_empty() {
        return Err(AddressError::Url {
            url: String::new(),
            problem: "is empty",
        });
    }
    // All paths of one folder are one container.
    let path = path
        .canonicalize()
        .or_else(|_| std::path::absolute(&path))
        .unwrap_or(path);
    Ok(ContainerLocation::Folder { path })
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
