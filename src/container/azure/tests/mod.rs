#![allow(clippy::unwrap_used, clippy::panic)]

mod responses;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::container::NetworkFailure;
use crate::container::credential::sas::{Permissions, SasToken};

/// Base64 with characters that are escaped in a URL.
const SIGNATURE: &str = "Zm9v+YmFy/c2VjcmV0cw==";
const SIGNATURE_IN_URL: &str = "Zm9v%2BYmFy%2Fc2VjcmV0cw%3D%3D";

/// The size limit of a get, where it does not matter.
const MAX: u64 = MAX_BLOB_BYTES;

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(300),
        response: Duration::from_millis(300),
        min_rate: 1 << 20,
    }
}

fn container(endpoint: &str) -> Azure {
    with_timeouts(endpoint, timeouts())
}

fn with_timeouts(endpoint: &str, timeouts: Timeouts) -> Azure {
    let endpoint = Url::parse(endpoint).unwrap();
    Azure::new(&endpoint, "data", signed(SIGNATURE_IN_URL), timeouts).unwrap()
}

/// Returns a token with that signature.
fn signed(signature: &str) -> TokenSource {
    let sas = SasToken::parse(&format!("sr=c&sp=rwdl&sig={signature}")).unwrap();
    TokenSource::new(sas, None, Permissions::ALL, Arc::new(|_| ()))
}

fn name() -> BlobName {
    BlobName::new("blob").unwrap()
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// Starts a server that handles each connection with `respond`. Responses have `Connection: close`, so that each request
/// has its own connection.
fn serve(respond: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            respond(stream.unwrap());
        }
    });
    format!("http://127.0.0.1:{port}/account")
}

/// Starts a server that responds to each request with the given text.
fn serve_text(text: &'static str) -> String {
    serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(text.as_bytes()).unwrap();
        // Closing with unread content would reset the connection before the response is read.
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

fn assert_no_secret(error: &ContainerError) {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(error) = source {
        for text in [
            format!("{error}"),
            format!("{error:?}"),
            format!("{error:#?}"),
        ] {
            assert!(
                !text.contains(SIGNATURE) && !text.contains(SIGNATURE_IN_URL),
                "{text}"
            );
        }
        source = error.source();
    }
}

async fn get_error(endpoint: &str) -> ContainerError {
    let error = container(endpoint).get(&name(), MAX).await.unwrap_err();
    assert_no_secret(&error);
    error
}

async fn failure(endpoint: &str) -> NetworkFailure {
    let error = get_error(endpoint).await;
    let put = container(endpoint)
        .put(&name(), PutBody::object("x"))
        .await
        .unwrap_err();
    assert_no_secret(&put);
    match error.kind() {
        ContainerErrorKind::Network(failure) => *failure,
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_failure() {
    // The resolver itself rejects a label of more than 63 bytes, without querying a server.
    let endpoint = format!("http://{}.invalid", "x".repeat(64));
    assert_eq!(failure(&endpoint).await, NetworkFailure::Dns);
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/account", free.local_addr().unwrap());
    drop(free);
    assert_eq!(failure(&endpoint).await, NetworkFailure::Connect);
}

#[tokio::test]
async fn a_broken_connection_is_a_reset() {
    let closes = serve(|mut stream| drop(read_request(&mut stream)));
    assert_eq!(failure(&closes).await, NetworkFailure::Reset);
    let truncates = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly this";
    let endpoint = serve_text(truncates);
    assert_eq!(
        get_error(&endpoint).await.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Reset)
    );
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let endpoint = serve(|mut stream| {
        // A server without TLS takes the TLS hello for an invalid request.
        let _ = stream.read(&mut [0; 16]).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let endpoint = endpoint.replace("http:", "https:");
    assert_eq!(failure(&endpoint).await, NetworkFailure::Tls);
}

#[tokio::test]
async fn a_server_that_closes_during_the_handshake_is_a_reset() {
    let endpoint = serve(|mut stream| {
        // RFC 8446, 5.1: a record's type, version and length. Unread bytes would turn the close into a reset.
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let length = u16::from_be_bytes([head[3], head[4]]);
        std::io::copy(&mut (&stream).take(length.into()), &mut std::io::sink()).unwrap();
    });
    let error = get_error(&endpoint.replace("http:", "https:")).await;
    assert_eq!(
        error.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Reset),
        "{error}"
    );
    assert!(error.is_transient());
    assert!(error.to_string().contains("tls handshake eof"), "{error}");
}

#[tokio::test]
async fn a_missing_response_times_out() {
    let silent = serve(|stream| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(5));
            drop(stream);
        });
    });
    let started = Instant::now();
    assert_eq!(failure(&silent).await, NetworkFailure::Timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
    let stalls = serve(|mut stream| {
        read_request(&mut stream);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly this",
            )
            .unwrap();
        std::thread::sleep(Duration::from_secs(2));
    });
    assert_eq!(
        get_error(&stalls).await.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Timeout)
    );
}

#[tokio::test]
async fn slow_uploads_above_the_min_rate_succeed() {
    // Reading the content takes twice the response timeout, but less than the ten times that its size allows.
    let slow = serve(|mut stream| {
        read_request(&mut stream);
        let piece = 256 << 10;
        for _ in 0..12 {
            std::thread::sleep(timeouts().response / 6);
            std::io::copy(&mut (&stream).take(piece), &mut std::io::sink()).unwrap();
        }
        stream.write_all(CREATED.as_bytes()).unwrap();
    });
    let content = vec![0; 3 << 20];
    container(&slow)
        .put(&name(), PutBody::object(content))
        .await
        .unwrap();
}

const CREATED: &str = "HTTP/1.1 201 Created\r\nETag: \"1\"\r\nLast-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
    x-ms-request-id: 8b5d3c1e-0000-0000-0000-000000000000\r\nDate: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
    x-ms-request-server-encrypted: true\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn the_complete_token_is_sent_once() {
    let (sender, requests) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut stream| {
        sender.send(read_request(&mut stream)).unwrap();
        stream.write_all(CREATED.as_bytes()).unwrap();
    });
    container(&endpoint)
        .put(&name(), PutBody::object(""))
        .await
        .unwrap();
    let put = requests.recv().unwrap();
    let query = format!("sr=c&sp=rwdl&sig={SIGNATURE_IN_URL}");
    assert!(
        put.starts_with(&format!("PUT /account/data/blob?{query} HTTP/1.1\r\n")),
        "{put}"
    );
    assert!(
        put.to_lowercase().contains("\r\ncontent-length: 0\r\n"),
        "{put}"
    );
    assert!(!put.to_lowercase().contains("authorization"), "{put}");
    let _ = container(&endpoint).list("a&b", None, 1).await;
    let list = requests.recv().unwrap();
    assert_eq!(list.matches("sig=").count(), 1, "{list}");
    assert!(list.contains(&format!("&{query} HTTP/1.1")), "{list}");
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_not_retried() {
    // The maximum length of a URI is 64 KiB.
    let tokens = signed(&"A".repeat(70_000));
    let endpoint = Url::parse("http://127.0.0.1:1/account").unwrap();
    let subject = Azure::new(&endpoint, "data", tokens, timeouts()).unwrap();
    let error = subject.get(&name(), MAX).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("the request cannot be built") && !text.contains("AAAA"),
        "{text}"
    );
}

#[tokio::test]
async fn connections_are_reused() {
    let (sender, connections) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut stream| {
        sender.send(()).unwrap();
        std::thread::spawn(move || {
            let response = CREATED.replace("Connection: close\r\n", "");
            while read_request(&mut stream).starts_with("PUT ") {
                stream.read_exact(&mut [0; 3]).unwrap();
                stream.write_all(response.as_bytes()).unwrap();
            }
        });
    });
    let subject = container(&endpoint);
    for _ in 0..20 {
        subject.put(&name(), PutBody::object("abc")).await.unwrap();
    }
    // The next put may start before the first connection is idle again.
    let made = connections.try_iter().count();
    assert!((1..=3).contains(&made), "{made} connections");
}

#[tokio::test]
async fn a_connection_is_reused_after_a_late_end_of_the_response() {
    let (sender, connections) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut stream| {
        sender.send(()).unwrap();
        std::thread::spawn(move || {
            let response = CREATED.replace(
                "Connection: close\r\nContent-Length: 0",
                "Transfer-Encoding: chunked",
            );
            while read_request(&mut stream).starts_with("PUT ") {
                stream.read_exact(&mut [0; 3]).unwrap();
                stream.write_all(response.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                // The client may have closed the connection before this last chunk.
                let _ = stream.write_all(b"0\r\n\r\n");
            }
        });
    });
    let subject = container(&endpoint);
    for _ in 0..20 {
        subject.put(&name(), PutBody::object("abc")).await.unwrap();
    }
    let made = connections.try_iter().count();
    assert!((1..=3).contains(&made), "{made} connections");
}

#[tokio::test]
async fn a_put_does_not_wait_for_an_endless_response() {
    let response = CREATED.replace(
        "Connection: close\r\nContent-Length: 0",
        "Transfer-Encoding: chunked",
    );
    let endpoint = serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(response.as_bytes()).unwrap();
        // Repeated chunks of one byte, so that the connection never stalls for long.
        while stream.write_all(b"1\r\nx\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let subject = container(&endpoint);
    let name = name();
    let put = subject.put(&name, PutBody::object(""));
    let put = tokio::time::timeout(Duration::from_secs(5), put).await;
    put.unwrap().unwrap();
}
