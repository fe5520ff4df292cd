#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn parse(account: &str, container: &str) -> Result<ContainerLocation, AddressError> {
    of_load(account, container, None)
}

fn identity(account: &str, container: &str) -> String {
    parse(account, container).unwrap().identity()
}

#[test]
fn an_account_is_a_name_or_a_url() {
    let public = "https://abc123.blob.core.windows.net/data";
    assert_eq!(identity("abc123", "data"), public);
    assert_eq!(
        identity("https://abc123.blob.core.windows.net/", "data"),
        public
    );
    assert_eq!(
        identity("http://127.0.0.1:10000/devstoreaccount1", "data"),
        "http://127.0.0.1:10000/devstoreaccount1/data"
    );
    assert_eq!(
        identity("http://[::1]:1/devstoreaccount1/", "data"),
        "http://[::1]:1/devstoreaccount1/data"
    );
}

#[test]
fn an_endpoint_replaces_the_public_cloud() {
    let with = |account, endpoint| {
        of_load(account, "data", Some(endpoint)).map(|location| location.identity())
    };
    assert_eq!(
        with("abc", "https://abc.privatelink.example.com").unwrap(),
        "https://abc.privatelink.example.com/data"
    );
    assert_eq!(
        with("devstoreaccount1", "http://localhost:1/devstoreaccount1").unwrap(),
        "http://localhost:1/devstoreaccount1/data"
    );
    assert_eq!(
        with("file:///tmp", "https://a.example"),
        Err(AddressError::EndpointForFolder)
    );
}

#[test]
fn other_accounts_are_rejected_without_showing_the_token() {
    let bad = [
        "ab",
        "Upper",
        "a_b_c",
        "abc?sig=sEcReT",
        "https://abc.blob.core.windows.net?sr=c&sig=sEcReT",
        "https://user:sEcReT@abc.blob.core.windows.net",
        "https://abc.blob.core.windows.net/data",
        "https://10.0.0.1",
        "https://10.0.0.1/account/data",
        "http://abc.blob.core.windows.net",
        "ftp://abc",
        "https://",
    ];
    for account in bad {
        let error = parse(account, "data").unwrap_err();
        for shown in [format!("{error}"), format!("{error:?}")] {
            assert!(!shown.contains("sEcReT"), "{shown}");
        }
    }
}

#[test]
fn a_folder_is_a_file_url() {
    let folder = parse;
    assert_eq!(
        folder("file:///srv/my%20disk", "Data.1").unwrap(),
        ContainerLocation::Folder {
            path: "/srv/my disk/Data.1".into()
        }
    );
    assert_eq!(
        folder("file:///srv", "a").unwrap().identity(),
        "file:///srv/a"
    );
    for name in ["", ".", "..", ".hidden", "a/b", "a\0b"] {
        assert_eq!(
            folder("file:///srv", name),
            Err(AddressError::FolderName(name.into()))
        );
    }
    for url in [
        "file:srv",
        "file://host/srv",
        "file:///srv?x",
        "file:///srv#x",
    ] {
        assert!(
            matches!(folder(url, "a"), Err(AddressError::FolderUrl(_))),
            "{url}"
        );
    }
}

const SAS: &str = "sv=2024-11-04&sp=rl&sr=c&se=2030-01-01T00:00:00Z&sig=c2VjcmV0";

fn identity_of(argument: &str) -> String {
    of_argument(argument.as_ref()).unwrap().0.identity()
}

#[test]
fn urls_and_paths_are_addresses() {
    let public = "https://account1.blob.core.windows.net/data";
    assert_eq!(identity_of(public), public);
    assert_eq!(identity_of(&format!("{public}/?{SAS}")), public);
    let emulator = "http://127.0.0.1:10000/devstoreaccount1/data";
    assert_eq!(identity_of(emulator), emulator);
    assert_eq!(identity_of("file:///a/b%20c"), "file:///a/b c");
    assert_eq!(identity_of("/a/b?c"), "file:///a/b?c");
    let here = std::env::current_dir().unwrap();
    assert_eq!(identity_of("a"), format!("file://{}/a", here.display()));
    assert_eq!(identity_of("src/../src"), identity_of("./src"));
    assert_eq!(identity_of("src"), format!("file://{}/src", here.display()));
}

#[test]
fn the_token_in_the_url_is_not_in_the_location() {
    let argument = format!("https://account1.blob.core.windows.net/data?{SAS}");
    let (location, query) = of_argument(argument.as_ref()).unwrap();
    assert_eq!(query, Some(SAS));
    assert!(!format!("{location:?}").contains("c2VjcmV0"));
}

#[test]
fn other_urls_are_rejected_without_showing_the_token() {
    for argument in [
        "https://account1.blob.core.windows.net",
        "https://account1.blob.core.windows.net/?sig=c2VjcmV0",
        "https://account1.blob.core.windows.net/data#x",
        "file://host/x",
        "file:///a?b",
    ] {
        let error = match of_argument(argument.as_ref()) {
            Err(error) => error.to_string(),
            Ok(address) => panic!("{argument} is {address:?}"),
        };
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
