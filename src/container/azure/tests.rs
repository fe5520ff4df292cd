#![allow(clippy::unwrap_used, clippy::panic)]

mod answers;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use super::*;
use crate::container::NetworkFailure;
use crate::container::sas::SasToken;

/// Base64 with characters that are escaped in a URL.
const SIGNATURE: &str = "Zm9v+YmFy/c2VjcmV0cw==";
const SIGNATURE_IN_URL: &str = "Zm9v%2BYmFy%2Fc2VjcmV0cw%3D%3D";

/// The most bytes of a blob, where it does not matter.
const MAX: u64 = MAX_BLOB_BYTES;

fn patience() -> Patience {
    Patience {
        connect: Duration::from_millis(300),
        silence: Duration::from_millis(300),
        slowest: 1 << 20,
    }
}

fn container(endpoint: &str) -> Azure {
    patient(endpoint, patience())
}

fn patient(endpoint: &str, patience: Patience) -> Azure {
    let sas = SasToken::parse(&format!("sr=c&sp=rwdl&sig={SIGNATURE_IN_URL}")).unwrap();
    let endpoint = Url::parse(endpoint).unwrap();
    Azure::new(&endpoint, "data", TokenSource::fixed(sas), patience).unwrap()
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

/// A server that lets `answer` loose on each connection. Answers say `Connection: close`, so that each request has its own.
fn serve(answer: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap());
        }
    });
    format!("http://127.0.0.1:{port}/account")
}

/// A server that answers each request with the given text.
fn serve_text(text: &'static str) -> String {
    serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(text.as_bytes()).unwrap();
        // Closing with content unread would reset the connection before the answer is read.
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
async fn a_name_without_address_is_told() {
    // A label of more than 63 bytes is refused by the resolver itself, without asking a server.
    let endpoint = format!("http://{}.invalid", "x".repeat(64));
    assert_eq!(failure(&endpoint).await, NetworkFailure::Dns);
}

#[tokio::test]
async fn a_refused_connection_is_told() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/account", free.local_addr().unwrap());
    drop(free);
    assert_eq!(failure(&endpoint).await, NetworkFailure::Connect);
}

#[tokio::test]
async fn a_broken_connection_is_told() {
    let closes_at_once = serve(|mut stream| drop(read_request(&mut stream)));
    assert_eq!(failure(&closes_at_once).await, NetworkFailure::Reset);
    let cuts_the_answer = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly this";
    let endpoint = serve_text(cuts_the_answer);
    assert_eq!(
        get_error(&endpoint).await.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Reset)
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let endpoint = serve(|mut stream| {
        // The greeting of TLS is no request; a plain server says so in plain text.
        let _ = stream.read(&mut [0; 16]).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let endpoint = endpoint.replace("http:", "https:");
    assert_eq!(failure(&endpoint).await, NetworkFailure::Tls);
}

#[tokio::test]
async fn a_server_that_closes_in_the_handshake_is_no_end() {
    let endpoint = serve(|mut stream| {
        // RFC 8446, 5.1: a record's type, version and length. What is not read would make the close a reset.
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
async fn silence_is_told_in_time() {
    let silent = serve(|stream| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(5));
            drop(stream);
        });
    });
    let started = Instant::now();
    assert_eq!(failure(&silent).await, NetworkFailure::Timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
    let stops_half_way = serve(|mut stream| {
        read_request(&mut stream);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly this",
            )
            .unwrap();
        std::thread::sleep(Duration::from_secs(2));
    });
    assert_eq!(
        get_error(&stops_half_way).await.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Timeout)
    );
}

#[tokio::test]
async fn content_that_moves_slowly_has_its_time() {
    // Content that takes twice the silence to read, but less than the ten times that so much content has.
    let slow = serve(|mut stream| {
        read_request(&mut stream);
        let piece = 256 << 10;
        for _ in 0..12 {
            std::thread::sleep(patience().silence / 6);
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
async fn the_token_is_sent_whole_and_once() {
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
async fn a_request_that_cannot_be_made_is_not_tried_again() {
    // A URI has less than 64 KiB.
    let sas = SasToken::parse(&format!("sr=c&sp=rwdl&sig={}", "A".repeat(70_000))).unwrap();
    let endpoint = Url::parse("http://127.0.0.1:1/account").unwrap();
    let subject = Azure::new(&endpoint, "data", TokenSource::fixed(sas), patience()).unwrap();
    let error = subject.get(&name(), MAX).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("no request can be made") && !text.contains("AAAA"),
        "{text}"
    );
}

#[tokio::test]
async fn connections_are_used_again() {
    let (sender, connections) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut stream| {
        sender.send(()).unwrap();
        std::thread::spawn(move || {
            let answer = CREATED.replace("Connection: close\r\n", "");
            while read_request(&mut stream).starts_with("PUT ") {
                stream.read_exact(&mut [0; 3]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
    });
    let subject = container(&endpoint);
    for _ in 0..20 {
        subject.put(&name(), PutBody::object("abc")).await.unwrap();
    }
    // The next put may come before the first connection is back among the idle ones.
    let made = connections.try_iter().count();
    assert!((1..=3).contains(&made), "{made} connections");
}

#[tokio::test]
async fn a_connection_whose_answer_ends_later_is_used_again() {
    let (sender, connections) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut stream| {
        sender.send(()).unwrap();
        std::thread::spawn(move || {
            let answer = CREATED.replace(
                "Connection: close\r\nContent-Length: 0",
                "Transfer-Encoding: chunked",
            );
            while read_request(&mut stream).starts_with("PUT ") {
                stream.read_exact(&mut [0; 3]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                // The last chunk, on a connection that the other side may have closed.
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
async fn an_answer_that_does_not_end_holds_up_no_put() {
    let answer = CREATED.replace(
        "Connection: close\r\nContent-Length: 0",
        "Transfer-Encoding: chunked",
    );
    let endpoint = serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        // A chunk of one byte, time and again: never silent for long.
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
