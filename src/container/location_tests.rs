#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn sas() -> SasToken {
    SasToken::parse("sr=c&sp=rwdl&sig=sEcReT").unwrap()
}

fn parse(account: &str, container: &str) -> Result<ContainerLocation, LocationError> {
    ContainerLocation::parse(account, container, Some(sas()), None)
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
    let ContainerLocation::Azure { account, .. } =
        parse("http://[::1]:1/devstoreaccount1/", "data").unwrap()
    else {
        panic!("not Azure");
    };
    assert_eq!(account, "devstoreaccount1");
}

#[test]
fn an_endpoint_replaces_the_public_cloud() {
    let with = |account, endpoint| {
        ContainerLocation::parse(account, "data", Some(sas()), Some(endpoint))
            .map(|location| location.identity())
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
        Err(LocationError::EndpointForFolder)
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
    let none = ContainerLocation::parse("abc", "data", None, None);
    assert_eq!(none, Err(LocationError::SasMissing("abc".into())));
}

#[test]
fn container_names_follow_azures_rules() {
    for name in ["abc", "a-b-c", "123", &"x".repeat(63)] {
        assert!(parse("abc", name).is_ok(), "{name}");
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
        assert_eq!(
            parse("abc", name),
            Err(LocationError::Container(name.into()))
        );
    }
}

#[test]
fn a_folder_is_a_file_url() {
    let folder = |account, container| ContainerLocation::parse(account, container, None, None);
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
            Err(LocationError::FolderName(name.into()))
        );
    }
    for url in [
        "file:srv",
        "file://host/srv",
        "file:///srv?x",
        "file:///srv#x",
    ] {
        assert!(
            matches!(folder(url, "a"), Err(LocationError::FolderUrl(_))),
            "{url}"
        );
    }
}

#[test]
fn no_format_of_a_location_shows_the_signature() {
    let location = parse("abc", "data").unwrap();
    for shown in [
        format!("{location}"),
        format!("{location:?}"),
        location.identity(),
    ] {
        assert!(!shown.contains("sEcReT"), "{shown}");
    }
}
