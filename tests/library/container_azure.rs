//! Errors that only a service with SAS tokens returns. No error shows the token's signature.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::support::azurite::{Azurite, container_sas, container_sas_between};
use clfsload::container::credential::sas::{Permissions, SasProblem, SasToken};
use clfsload::container::{
    BlobName, Container, ContainerError, ContainerErrorKind, ContainerLocation, MAX_BLOB_BYTES,
    PutBody,
};

const HOUR: Duration = Duration::from_secs(3600);

fn open(server: &Azurite, container: &str, sas: &str) -> Arc<dyn Container> {
    let sas = SasToken::parse(sas).unwrap();
    ContainerLocation::azure(&server.endpoint(), container)
        .unwrap()
        .open(&sas.into(), false)
        .unwrap()
}

fn new_container(server: &Azurite) -> String {
    let name = Azurite::unused_name();
    server.create_container(&name);
    name
}

fn blob() -> BlobName {
    BlobName::new("blob").unwrap()
}

async fn every_error(container: &dyn Container) -> [ContainerError; 4] {
    [
        container
            .put(&blob(), PutBody::object("x"))
            .await
            .unwrap_err(),
        container.get(&blob(), MAX_BLOB_BYTES).await.unwrap_err(),
        container.list("", None, 10).await.unwrap_err(),
        container.delete(&blob()).await.unwrap_err(),
    ]
}

/// Returns the signature of a token, encoded and decoded.
fn signatures(sas: &str) -> [String; 2] {
    let (_, encoded) = sas.split_once("sig=").unwrap();
    let encoded = encoded.split('&').next().unwrap();
    let decoded = encoded
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    [encoded.to_owned(), decoded]
}

fn assert_no_secret(shown: impl Error, sas: &str) {
    let mut texts = Vec::new();
    let mut source: Option<&dyn Error> = Some(&shown);
    while let Some(error) = source {
        texts.extend([
            format!("{error}"),
            format!("{error:?}"),
            format!("{error:#?}"),
        ]);
        source = error.source();
    }
    for signature in signatures(sas) {
        for text in &texts {
            assert!(!text.contains(&signature), "{text}");
        }
    }
}

async fn assert_every_error(container: &dyn Container, kind: &ContainerErrorKind, sas: &str) {
    for error in every_error(container).await {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.is_transient());
        assert_no_secret(error, sas);
    }
    for shown in [format!("{container:?}"), format!("{container:#?}")] {
        for signature in signatures(sas) {
            assert!(!shown.contains(&signature), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_wrong_signature_is_rejected() {
    let server = Azurite::shared();
    let container = new_container(&server);
    let good = container_sas(&container, "rwdl");
    let [encoded, _] = signatures(&good);
    let wrong = good.replace(&encoded, "d3JvbmcgYnV0IGJhc2U2NC4uLi4uLi4uLi4uLi4uLi4%3D");
    let subject = open(&server, &container, &wrong);
    assert_every_error(&*subject, &ContainerErrorKind::TokenRejected, &wrong).await;
    let error = subject.get(&blob(), MAX_BLOB_BYTES).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(
        error.code().is_some() && error.request_id().is_some(),
        "{error}"
    );
}

#[tokio::test]
async fn an_expired_token_is_rejected() {
    let server = Azurite::shared();
    let container = new_container(&server);
    let now = SystemTime::now();
    let expired = container_sas_between(&container, "rwdl", now - 2 * HOUR, now - HOUR);
    let problem = SasToken::parse(&expired)
        .unwrap()
        .check(now, Permissions::ALL);
    assert!(
        matches!(problem, Err(SasProblem::Expired(_))),
        "{problem:?}"
    );
    let subject = open(&server, &container, &expired);
    assert_every_error(&*subject, &ContainerErrorKind::TokenExpired, &expired).await;
}

#[tokio::test]
async fn a_token_that_is_not_yet_valid_is_rejected() {
    let server = Azurite::shared();
    let container = new_container(&server);
    let now = SystemTime::now();
    let early = container_sas_between(&container, "rwdl", now + HOUR, now + 2 * HOUR);
    let problem = SasToken::parse(&early)
        .unwrap()
        .check(now, Permissions::ALL);
    assert!(
        matches!(problem, Err(SasProblem::NotYetValid(_))),
        "{problem:?}"
    );
    let subject = open(&server, &container, &early);
    assert_every_error(&*subject, &ContainerErrorKind::TokenRejected, &early).await;
}

#[tokio::test]
async fn a_token_of_another_container_is_rejected() {
    let server = Azurite::shared();
    let (own, other) = (new_container(&server), new_container(&server));
    let sas = container_sas(&own, "rwdl");
    open(&server, &own, &sas)
        .put(&blob(), PutBody::object("x"))
        .await
        .unwrap();
    let subject = open(&server, &other, &sas);
    assert_every_error(&*subject, &ContainerErrorKind::TokenRejected, &sas).await;
}

#[tokio::test]
async fn a_missing_container_is_reported() {
    let server = Azurite::shared();
    let sas = container_sas("never-created", "rwdl");
    let subject = open(&server, "never-created", &sas);
    assert_every_error(&*subject, &ContainerErrorKind::ContainerMissing, &sas).await;
}

#[tokio::test]
async fn each_missing_permission_is_reported() {
    let server = Azurite::shared();
    let container = new_container(&server);
    open(&server, &container, &container_sas(&container, "rwdl"))
        .put(&blob(), PutBody::object("x"))
        .await
        .unwrap();
    // The permissions of a token, and the call that fails. `c` alone does not permit an upload: Azure and Azurite
    // refuse to replace a blob with it.
    let cases = [
        ("wdl", "get"),
        ("rdlc", "put"),
        ("rwd", "list"),
        ("rwl", "delete"),
    ];
    for (granted, refused) in cases {
        let sas = container_sas(&container, granted);
        let subject = open(&server, &container, &sas);
        let outcomes = [
            ("get", subject.get(&blob(), MAX_BLOB_BYTES).await.map(drop)),
            ("put", subject.put(&blob(), PutBody::object("y")).await),
            ("list", subject.list("", None, 10).await.map(drop)),
            (
                "delete",
                subject.delete(&BlobName::new("another").unwrap()).await,
            ),
        ];
        for (call, outcome) in outcomes {
            match outcome {
                Err(error) if call == refused => {
                    assert_eq!(
                        error.kind(),
                        &ContainerErrorKind::PermissionMissing,
                        "{error}"
                    );
                    assert_no_secret(error, &sas);
                }
                outcome => assert!(
                    call != refused && outcome.is_ok(),
                    "{granted} {call}: {outcome:?}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn objects_and_logs_have_different_content_types() {
    let server = Azurite::shared();
    let container = new_container(&server);
    let sas = container_sas(&container, "rwdl");
    let subject = open(&server, &container, &sas);
    for (body, expected) in [
        (PutBody::object("x"), "application/octet-stream"),
        (PutBody::log("x"), "text/plain; charset=utf-8"),
    ] {
        subject.put(&blob(), body).await.unwrap();
        let response = head(&format!("{}/{container}/blob?{sas}", server.endpoint()));
        let found = response.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-type: ")
                .map(str::to_owned)
        });
        assert_eq!(found.as_deref(), Some(expected), "{response}");
        assert!(
            response
                .to_lowercase()
                .contains("x-ms-blob-type: blockblob"),
            "{response}"
        );
    }
}

fn head(url: &str) -> String {
    let (address, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "HEAD /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
