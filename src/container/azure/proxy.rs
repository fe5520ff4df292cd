//! The proxy that the environment names: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl reads them.
//!
//! A variable that cannot be used is an error. Going straight instead would pass by what its owner wanted in between,
//! or hang on a network that lets nothing else out.

use std::ffi::OsString;
use std::io;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use super::super::location::is_loopback;

/// The first of the two that says something holds: curl looks for the small letters first, and an empty variable
/// is none.
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The first that says something holds.
const PROXIES: [[&str; 2]; 2] = [["https_proxy", "HTTPS_PROXY"], ["all_proxy", "ALL_PROXY"]];

/// The proxy for an endpoint. Without TLS there is only this host ([`super::super::ContainerLocation`]), and no proxy.
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
    // A list of hosts in another encoding than UTF-8 names none.
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
        .filter(|value| is_whole(value))
        .and_then(matched);
    match proxy.filter(has_port_or_none) {
        Some(proxy) if matches!(proxy.uri().scheme_str(), Some("http" | "https")) => {
            Ok(Some(proxy))
        }
        Some(_) => Err(unusable(name, "is neither http nor https")),
        None => Err(unusable(
            name,
            "cannot be understood: it is http://HOST:PORT or http://NAME:PASSWORD@HOST:PORT, with %23 for a # in the \
             password, %2F for /, %40 for @",
        )),
    }
}

/// Whether name and password end where they seem to. What stands behind the host may be the rest of a password, cut off
/// at a `/`, `?` or `#`; and of two `@` the matcher takes the wrong one.
fn is_whole(value: &str) -> bool {
    let address = value
        .split_once("://")
        .map_or(value, |(_, address)| address);
    let address = address.strip_suffix('/').unwrap_or(address);
    !address.contains(['/', '?', '#']) && address.matches('@').count() < 2
}

/// A port that is no number is one for the client that is not there, and the scheme's own is asked instead.
fn has_port_or_none(proxy: &Intercept) -> bool {
    let authority = proxy
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    // Behind the address of an IPv6 host in brackets.
    let behind = authority
        .rsplit_once(']')
        .map_or(authority, |(_, behind)| behind);
    !behind.contains(':') || proxy.uri().port_u16().is_some()
}

/// The value is not told: it may hold a password.
fn unusable(name: &str, why: &str) -> io::Error {
    let text = format!("the proxy of the environment variable {name} {why}");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// The proxy's address, and what it is told of who comes.
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
    fn the_first_that_is_named_is_taken() {
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
    fn small_letters_go_first_and_empty_ones_do_not_count() {
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
    fn one_that_cannot_be_used_is_refused_without_its_password() {
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
            // Another variable does not help out.
            let told = found(&[("HTTPS_PROXY", value), ("ALL_PROXY", "http://all:1")]).unwrap_err();
            assert!(told.contains("variable HTTPS_PROXY "), "{value}: {told}");
            assert!(!told.contains("secret"), "{value}: {told}");
            let without = ("NO_PROXY", "example.com, .windows.net");
            assert_eq!(
                found(&[("HTTPS_PROXY", value), without]),
                Ok(None),
                "{value}"
            );
        }
        let endpoint = Url::parse("https://account.blob.core.windows.net").unwrap();
        let told = find(&endpoint, |name| {
            (name == "all_proxy").then(|| OsString::from_vec(b"http://\xff".to_vec()))
        });
        assert!(
            told.unwrap_err()
                .to_string()
                .contains("variable all_proxy ")
        );
    }

    #[test]
    fn this_host_is_asked_of_no_proxy() {
        for endpoint in ["https://127.0.0.1:10000", "http://localhost:10000"] {
            let endpoint = Url::parse(endpoint).unwrap();
            let proxy = find(&endpoint, |_| Some("nonsense://".into()));
            assert!(proxy.unwrap().is_none());
        }
    }
}
