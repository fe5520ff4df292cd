//! What was most likely meant by words that name no container. Nothing that follows a `?` is ever shown.

use url::{Host, Url};

/// How Azure's blob hosts are called, in every cloud: `ACCOUNT.blob.core.…`.
const BLOB_HOST: &str = ".blob.";

const TOKEN: &str = "give the token (what follows '?') with --sas-token-file or in AZURE_STORAGE_SAS_TOKEN, in quotes where a shell reads it";

/// A container's whole URL, with or without scheme and token, where an account is expected: the
/// words to give instead.
pub(crate) fn whole_container(word: &str) -> Option<String> {
    let (bare, token) = match word.split_once('?') {
        Some((bare, _)) => (bare, true),
        None => (word, false),
    };
    let url = match bare.contains("://") {
        true => Url::parse(bare).ok()?,
        false => Url::parse(&format!("https://{bare}")).ok()?,
    };
    if !matches!(url.host(), Some(Host::Domain(name)) if name.contains(BLOB_HOST)) {
        return None;
    }
    // Without a password before the host.
    let account = url.origin().ascii_serialization();
    let container = url.path_segments()?.find(|segment| !segment.is_empty());
    let mut hint = match container {
        Some(container) => {
            format!("account and container are two words: {account} {container}")
        }
        None => format!("write the account as {account}"),
    };
    if token {
        hint = format!("{hint}; {TOKEN}");
    }
    Some(hint)
}

/// What may be meant by a word that is no account's name.
pub(super) fn account(word: &str) -> String {
    if let Some(hint) = windows_path(word).or_else(|| whole_container(word)) {
        return hint;
    }
    if word.starts_with('/') {
        return format!("give a folder as file://{word}");
    }
    if word.starts_with(['.', '~']) {
        return format!("give a folder as file:///PATH, from the root: file://$(realpath {word})");
    }
    let lower = word.to_ascii_lowercase();
    if lower != word && super::location::is_account_name(&lower) {
        return format!("names of accounts are in lower case: {lower}");
    }
    if word.contains('.') && !word.contains('/') {
        return format!(
            "an account's name has no dots: give the name alone, and --blob-endpoint URL if it is not in Azure's public cloud; if {word} is a host, its URL is https://{word}"
        );
    }
    "give its name (3 to 24 lower-case letters and digits), its URL (https://NAME.blob.core.windows.net), or file:///PATH for a folder".to_owned()
}

/// What may be meant by a word that Azure would not take for a container's name.
pub(super) fn container(word: &str) -> Option<String> {
    if word.contains('=') {
        return Some(
            "this seems to be the token, which comes behind the container's name".to_owned(),
        );
    }
    let name = word.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    let fits = name != word && super::location::is_container_name(&name);
    fits.then(|| format!("such as {name:?}"))
}

/// What may be meant by a `file:` URL that is not of the form `file:///PATH`.
pub(super) fn folder_url(url: &str) -> String {
    let path = url.strip_prefix("file:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if let Some(hint) = windows_path(path.trim_start_matches('/')) {
        return hint;
    }
    if path.contains(['?', '#']) || path.ends_with("...") {
        return "in the name of a folder '?' is written %3F and '#' %23".to_owned();
    }
    match path.strip_prefix('/') {
        Some(path) => format!("write file:///{path}"),
        None => format!(
            "the path begins at the root, after three slashes: file:///{path}, or for a folder below this one file://$PWD/{path}"
        ),
    }
}

/// What may be meant by a path that is written as on Windows: `C:\data`, `\\server\share`.
pub(crate) fn windows_path(path: &str) -> Option<String> {
    let drive = match path.as_bytes() {
        [b'\\', b'\\', ..] => None,
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => {
            Some(letter.to_ascii_lowercase())
        }
        _ => return None,
    };
    let place = match drive {
        Some(letter) => format!(
            "below WSL it is /mnt/{}/{}",
            char::from(letter),
            path.get(3..).unwrap_or_default().replace('\\', "/")
        ),
        None => "mount the share and give the folder where it is mounted".to_owned(),
    };
    Some(format!(
        "{path} is a path of Windows, clfsload runs on Linux: {place}"
    ))
}

/// A word without scheme that begins like the host of a container: `ACCOUNT.blob.core.windows.net/CONTAINER`.
pub(crate) fn url_without_scheme(word: &str) -> Option<String> {
    let bare = word.split('?').next().unwrap_or_default();
    let host = bare.split('/').next().unwrap_or_default();
    (host.contains(BLOB_HOST) && !bare.contains(':')).then(|| format!("https://{bare}"))
}
