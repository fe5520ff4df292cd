//! Hints about arguments that are not valid locations of containers. They never contain what follows a `?`.

use url::{Host, Url};

use crate::container::location::{LocationError, is_container_name};

/// A part of the names of Azure's blob hosts in every cloud: `ACCOUNT.blob.core.…`.
const BLOB_HOST: &str = ".blob.";

const TOKEN: &str = "give the token (the part after '?') with --sas-token-file or in AZURE_STORAGE_SAS_TOKEN, quoted in a shell";

/// Returns the arguments to give instead of a container's URL, with or without scheme and token, in the place of an
/// account.
pub(in crate::cli) fn container_url(argument: &str) -> Option<String> {
    let (bare, token) = match argument.split_once('?') {
        Some((bare, _)) => (bare, true),
        None => (argument, false),
    };
    let url = match bare.contains("://") {
        true => Url::parse(bare).ok()?,
        false => Url::parse(&format!("https://{bare}")).ok()?,
    };
    if !matches!(url.host(), Some(Host::Domain(name)) if name.contains(BLOB_HOST)) {
        return None;
    }
    // The origin contains no password.
    let account = url.origin().ascii_serialization();
    let container = url.path_segments()?.find(|segment| !segment.is_empty());
    let mut hint = match container {
        Some(container) => {
            format!("give account and container as two arguments: {account} {container}")
        }
        None => format!("write the account as {account}"),
    };
    if token {
        hint = format!("{hint}; {TOKEN}");
    }
    Some(hint)
}

/// Returns a hint about an argument that is not the name of an account.
pub(super) fn account(argument: &str) -> String {
    if let Some(hint) = windows_path(argument).or_else(|| container_url(argument)) {
        return hint;
    }
    if argument.starts_with('/') {
        return format!("give a folder as file://{argument}");
    }
    if argument.starts_with(['.', '~']) {
        return format!(
            "give a folder as file:///PATH with an absolute path: file://$(realpath {argument})"
        );
    }
    let lower = argument.to_ascii_lowercase();
    if lower != argument && is_account_name(&lower) {
        return format!("account names are in lower case: {lower}");
    }
    if argument.contains('.') && !argument.contains('/') {
        return format!(
            "an account name has no dots: give the name alone, and --blob-endpoint URL if it is not in Azure's public cloud; if {argument} is a host, its URL is https://{argument}"
        );
    }
    "give its name (3 to 24 lower-case letters and digits), its URL (https://NAME.blob.core.windows.net), or file:///PATH for a folder".to_owned()
}

/// Returns whether this may be the name of an account.
pub(super) fn is_account_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.chars().all(allowed)
}

/// Returns the end of the message about a location that is not valid; empty without a hint.
pub(super) fn location(error: &LocationError) -> String {
    let LocationError::Container(argument) = error else {
        return String::new();
    };
    if argument.contains('=') {
        return "; this looks like the SAS token, which follows the container's name".to_owned();
    }
    let name = argument.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    match name != *argument && is_container_name(&name) {
        true => format!("; for example {name:?}"),
        false => String::new(),
    }
}

/// Returns a hint about a `file:` URL that is not of the form `file:///PATH`.
pub(super) fn folder_url(url: &str) -> String {
    let path = url.strip_prefix("file:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if let Some(hint) = windows_path(path.trim_start_matches('/')) {
        return hint;
    }
    if path.contains(['?', '#']) || path.ends_with("...") {
        return "in a folder name write '?' as %3F and '#' as %23".to_owned();
    }
    match path.strip_prefix('/') {
        Some(path) => format!("write file:///{path}"),
        None => format!(
            "the path must be absolute, after three slashes: file:///{path}, or file://$PWD/{path} for a folder below the current one"
        ),
    }
}

/// Returns a hint about a Windows path: `C:\data`, `\\server\share`.
pub(in crate::cli) fn windows_path(path: &str) -> Option<String> {
    let drive = match path.as_bytes() {
        [b'\\', b'\\', ..] => None,
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => {
            Some(letter.to_ascii_lowercase())
        }
        _ => return None,
    };
    let advice = match drive {
        Some(letter) => format!(
            "under WSL it is /mnt/{}/{}",
            char::from(letter),
            path.get(3..).unwrap_or_default().replace('\\', "/")
        ),
        None => "mount the share and give the folder where it is mounted".to_owned(),
    };
    Some(format!(
        "{path} is a Windows path, and clfsload runs on Linux: {advice}"
    ))
}

/// Returns the URL that is meant by an argument such as `ACCOUNT.blob.core.windows.net/CONTAINER`, which has no scheme.
pub(in crate::cli) fn url_without_scheme(argument: &str) -> Option<String> {
    let bare = argument.split('?').next().unwrap_or_default();
    let host = bare.split('/').next().unwrap_or_default();
    (host.contains(BLOB_HOST) && !bare.contains(':')).then(|| format!("https://{bare}"))
}
