//! The proxy that the environment names: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, with the rules of curl.
//!
//! An unusable variable is an error. A direct connection instead would bypass the proxy that the user wants, or hang on a
//! network that blocks it.

use std::ffi::OsString;
use std::io;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use super::super::location::is_loopback;

/// The first variable that is not empty is used. Lower case comes first, as in curl.
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The first variable that is not empty is used.
const PROXIES: [[&str; 2]; 2] = [["https_proxy", "HTTPS_PROXY"], ["all_proxy", "ALL_PROXY"]];

/// Returns the proxy for an endpoint, if any. Endpoints without TLS are on this host
/// ([`super::super::ContainerLocation`]) and need no proxy.
pub(super) fn of_environment(endpoint: &Url) -> io::Result<Option<Intercept>> {
    find(endpoint, |name| std::env::var_os(name))
}

fn find(
    endpoint: &Url,
    variable: impl Fn(&str) -> Option<OsString>,
) -> io::Result<Option<Intercept>> {
    if endpoint.scheme() != "https" || is_loopback(endpoint) {
        return Ok(None);
    }
    let endpoint: Uri = endpoint.as_str().parse().map_err(io::Error::other)?;
    let set = |names: [&'static str; 2]| {
        let mut set = names
            .into_iter()
            .filter_map(|name| Some((name, variable(name)?)));
        set.find(|(_, value)| !value.is_empty())
    };
    let Some((name, value)) = PROXIES.into_iter().find_map(set) else {
        return Ok(None);
    };
    // Host names are ASCII, so other bytes never match.
    let without = set(NO_PROXY).map_or_else(String::new, |(_, hosts)| {
        hosts.to_string_lossy().into_owned()
    });
    let matched = |proxy: &str| {
        let matcher = Matcher::builder().https(proxy).no(without.as_str()).build();
        matcher.intercept(&endpoint)
    };
    if matched("http://any.invalid").is_none() {
        return Ok(None);
    }
    let proxy = value
        .to_str()
        .filter(|value| is_unambiguous(value))
        .and_then(matched);
    match proxy.filter(has_valid_port) {
        Some(proxy) if matches!(proxy.uri().scheme_str(), Some("http" | "https")) => {
            Ok(Some(proxy))
        }
        Some(_) => Err(unusable(name, "is neither http nor https")),
        None => Err(unusable(
            name,
            "is invalid: use http://HOST:PORT or http://NAME:PASSWORD@HOST:PORT, and write # in the password as \
             %23, / as %2F and @ as %40",
        )),
    }
}

/// Returns whether name and password end where the matcher ends them. Text after the host may be the rest of a password
/// with a `/`, `?` or `#`, and of two `@` the matcher uses the wrong one.
fn is_unambiguous(value: &str) -> bool {
    let address = value
        .split_once("://")
        .map_or(value, |(_, address)| address);
    let address = address.strip_suffix('/').unwrap_or(address);
    !address.contains(['/', '?', '#']) && address.matches('@').count() < 2
}

/// Returns whether the port, if there is one, is valid. The client ignores an invalid port and uses the scheme's default.
fn has_valid_port(proxy: &Intercept) -> bool {
    let authority = proxy
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    // An IPv6 address in brackets contains colons.
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, after)| after);
    !after_host.contains(':') || proxy.uri().port_u16().is_some()
}

/// Returns the error of an unusable value, without the value: it may contain a password.
fn unusable(name: &str, why: &str) -> io::Error {
    let text = format!("the proxy of the environment variable {name} {why}");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// Returns the proxy's address, and whether a name and password are sent to it.
    fn found(variables: &[(&str, &str)]) -> Result<Option<(String, bool)>, String> {
        let endpoint = Url::parse("https://account.blob.core.windows.net").unwrap();
        let variable = |name: &str| {
            let mut set = variables.iter().filter(|(set, _)| *set == name);
            set.next().map(|(_, value)| OsString::from(value))
        };
        match find(&endpoint, variable) {
            Ok(proxy) => {
                Ok(proxy.map(|proxy| (proxy.uri().to_string(), proxy.basic_auth().is_some())))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn proxy(address: &str, with_name: bool) -> Result<Option<(String, bool)>, String> {
        Ok(Some((address.to_owned(), with_name)))
    }

    #[test]
    fn the_first_variable_is_used() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[("HTTP_PROXY", "http://other:1")]), Ok(None));
        let all = ("ALL_PROXY", "http://all:1");
        assert_eq!(found(&[all]), proxy("http://all:1/", false));
        assert_eq!(
            found(&[("HTTPS_PROXY", ""), all]),
            proxy("http://all:1/", false)
        );
        let https = ("https_proxy", "https://name:pass%23word@[fd00::1]:3128/");
        assert_eq!(found(&[https, all]), proxy("https://[fd00::1]:3128/", true));
        assert_eq!(
            found(&[("HTTPS_PROXY", "host:3128"), all]),
            proxy("http://host:3128/", false)
        );
        assert_eq!(
            found(&[("all_proxy", "http://host")]),
            proxy("http://host/", false)
        );
    }

    #[test]
    fn lower_case_comes_first_and_empty_variables_are_ignored() {
        for (small, large) in [("https_proxy", "HTTPS_PROXY"), ("all_proxy", "ALL_PROXY")] {
            let both = [(large, "large:1"), (small, "small:1")];
            assert_eq!(found(&both), proxy("http://small:1/", false));
            let empty = [(large, "large:1"), (small, "")];
            assert_eq!(found(&empty), proxy("http://large:1/", false));
            assert_eq!(found(&[(small, ""), (large, "")]), Ok(None));
        }
        let to = ("https_proxy", "host:1");
        let (large, small) = (("NO_PROXY", ".windows.net"), ("no_proxy", "example.com"));
        assert_eq!(found(&[to, large]), Ok(None));
        assert_eq!(found(&[to, large, ("no_proxy", "")]), Ok(None));
        assert_eq!(found(&[to, large, small]), proxy("http://host:1/", false));
    }

    #[test]
    fn an_unusable_proxy_is_rejected_without_showing_its_password() {
        for value in [
            "http://user:se#cret@proxy:3128",
            "http://us#er:secret@proxy:3128",
            "http://user:12#secret@proxy:3128",
            "http://user:secret/@proxy:3128",
            "http://user:secret?@proxy:3128",
            "http://user:sec@ret@proxy:3128",
            "http://user:secret@proxy:port",
            "http://user:secret@proxy:99999",
            "user:secret word@proxy",
            "socks5://user:secret@proxy:1080",
            "ftp://user:secret@proxy:21",
            "http://",
        ] {
            // Another variable is not used instead.
            let message =
                found(&[("HTTPS_PROXY", value), ("ALL_PROXY", "http://all:1")]).unwrap_err();
            assert!(
                message.contains("variable HTTPS_PROXY "),
                "{value}: {message}"
            );
            assert!(!message.contains("secret"), "{value}: {message}");
            let without = ("NO_PROXY", "example.com, .windows.net");
            assert_eq!(
                found(&[("HTTPS_PROXY", value), without]),
                Ok(None),
                "{value}"
            );
        }
        let endpoint = Url::parse("https://account.blob.core.windows.net").unwrap();
        let error = find(&endpoint, |name| {
            (name == "all_proxy").then(|| OsString::from_vec(b"http://\xff".to_vec()))
        });
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("variable all_proxy ")
        );
    }

    #[test]
    fn this_host_needs_no_proxy() {
        for endpoint in ["https://127.0.0.1:10000", "http://localhost:10000"] {
            let endpoint = Url::parse(endpoint).unwrap();
            let proxy = find(&endpoint, |_| Some("nonsense://".into()));
            assert!(proxy.unwrap().is_none());
        }
    }
}
