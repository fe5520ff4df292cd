//! The address of a container as one argument: a URL, or the path of a folder of blobs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use url::Url;

use super::location::{ContainerLocation, LocationError};
use super::sas::SasToken;

/// The address of a container as one argument of a command. Its token may still be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerAddress {
    /// A container in a storage account.
    Azure {
        /// The account's endpoint without a query.
        endpoint: String,
        /// The container's name.
        container: String,
        /// The token from the URL.
        sas: Option<SasToken>,
    },
    /// A folder with the blobs as files.
    Folder {
        /// The path of the folder.
        path: PathBuf,
    },
}

impl ContainerAddress {
    /// Parses `https://ACCOUNT.blob.core.windows.net/CONTAINER`, `http://127.0.0.1:PORT/ACCOUNT/CONTAINER`
    /// (either with a SAS token as its query), `file:///PATH`, or a path.
    ///
    /// # Errors
    /// If it is a URL of another form. The error contains no secret.
    pub fn parse(argument: &OsStr) -> Result<Self, LocationError> {
        let text = match argument.to_str() {
            Some(text) if text.contains("://") => text,
            _ => {
                return Ok(Self::Folder {
                    path: argument.into(),
                });
            }
        };
        let (bare, query) = match text.split_once('?') {
            Some((bare, query)) => (bare, Some(query)),
            None => (text, None),
        };
        let invalid = |problem| LocationError::Url {
            url: bare.to_owned(),
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
            return Ok(Self::Folder { path });
        }
        let (account, container) = bare
            .trim_end_matches('/')
            .rsplit_once('/')
            .filter(|(account, container)| {
                // `https:/` is left when the URL has no path at all.
                !account.ends_with('/') && !container.is_empty()
            })
            .ok_or_else(|| invalid("has no container name"))?;
        let sas = match query {
            Some(query) => Some(SasToken::parse(query).map_err(LocationError::Sas)?),
            None => None,
        };
        Ok(Self::Azure {
            endpoint: account.to_owned(),
            container: container.to_owned(),
            sas,
        })
    }

    /// Returns whether the address needs a token and has none.
    pub fn needs_token(&self) -> bool {
        matches!(self, Self::Azure { sas: None, .. })
    }

    /// Resolves the address. `token` is used if the address has none.
    ///
    /// # Errors
    /// If the URL has no valid account and container, or there is no token.
    pub fn locate(self, token: Option<SasToken>) -> Result<ContainerLocation, LocationError> {
        match self {
            Self::Azure {
                endpoint,
                container,
                sas,
            } => ContainerLocation::parse(&endpoint, &container, sas.or(token), None),
            Self::Folder { path } => {
                if path.as_os_str().as_bytes().is_empty() {
                    return Err(LocationError::Url {
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
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const SAS: &str = "sv=2024-11-04&sp=rl&sr=c&se=2030-01-01T00:00:00Z&sig=c2VjcmV0";

    fn identity(argument: &str) -> String {
        let address = ContainerAddress::parse(argument.as_ref()).unwrap();
        let token = SasToken::parse(SAS).unwrap();
        address.locate(Some(token)).unwrap().identity()
    }

    #[test]
    fn urls_and_paths_are_addresses() {
        let public = "https://account1.blob.core.windows.net/data";
        assert_eq!(identity(public), public);
        assert_eq!(identity(&format!("{public}/?{SAS}")), public);
        let emulator = "http://127.0.0.1:10000/devstoreaccount1/data";
        assert_eq!(identity(emulator), emulator);
        assert_eq!(identity("file:///a/b%20c"), "file:///a/b c");
        assert_eq!(identity("/a/b?c"), "file:///a/b?c");
        let here = std::env::current_dir().unwrap();
        assert_eq!(identity("a"), format!("file://{}/a", here.display()));
        assert_eq!(identity("src/../src"), identity("./src"));
        assert_eq!(identity("src"), format!("file://{}/src", here.display()));
    }

    #[test]
    fn the_token_in_the_url_is_used_and_stays_secret() {
        let argument = format!("https://account1.blob.core.windows.net/data?{SAS}");
        let address = ContainerAddress::parse(argument.as_ref()).unwrap();
        assert!(!address.needs_token());
        assert!(!format!("{address:?}").contains("c2VjcmV0"));
        assert!(address.locate(None).is_ok());
    }

    #[test]
    fn other_urls_are_rejected_without_showing_the_token() {
        for argument in [
            "https://account1.blob.core.windows.net",
            "https://account1.blob.core.windows.net/?sig=c2VjcmV0",
            "https://account1.blob.core.windows.net/data?sig=c2VjcmV0&sig=c2VjcmV0",
            "https://account1.blob.core.windows.net/data#x",
            "file://host/x",
            "file:///a?b",
        ] {
            let error = match ContainerAddress::parse(argument.as_ref()) {
                Err(error) => error.to_string(),
                Ok(address) => panic!("{argument} is {address:?}"),
            };
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        let no_token = ContainerAddress::parse("https://account1.blob.core.windows.net/d".as_ref());
        assert!(no_token.unwrap().locate(None).is_err());
    }
}
