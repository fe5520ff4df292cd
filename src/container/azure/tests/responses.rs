//! The classification of responses of the service, and of other servers in its place.

use super::*;

#[tokio::test]
async fn retry_after_is_respected() {
    let cases = [
        ("503 Busy", "ServerBusy", Some(7), true),
        ("429 Slow", "TooManyRequests", Some(7), true),
        ("500 Error", "OperationTimedOut", Some(7), true),
        ("504 Gateway", "", Some(7), true),
        ("409 Conflict", "BlobImmutableDueToPolicy", None, false),
        ("412 Failed", "LeaseIdMissing", None, false),
        ("413 Large", "RequestBodyTooLarge", None, false),
        ("418 Teapot", "", None, false),
        ("307 Moved", "", None, false),
    ];
    for (status, code, retry_after, transient) in cases {
        let endpoint = serve(move |mut stream| {
            read_request(&mut stream);
            write!(
                stream,
                "HTTP/1.1 {status}\r\nRetry-After: 7\r\nx-ms-error-code: {code}\r\nx-ms-request-id: the-id\r\nLocation: http://127.0.0.1:1/?sig={SIGNATURE_IN_URL}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            .unwrap();
        });
        let error = get_error(&endpoint).await;
        assert_eq!(
            error.retry_after().map(|wait| wait.as_secs()),
            retry_after,
            "{error}"
        );
        assert_eq!(error.is_transient(), transient, "{error}");
        assert_eq!(error.request_id(), Some("the-id"));
        assert_eq!(error.status().unwrap().to_string(), status[..3]);
    }
}

#[tokio::test]
async fn the_signature_in_an_error_response_is_redacted() {
    let echo = format!(
        "<Error><Code>AuthenticationFailed</Code><Message>No.\nTime</Message><AuthenticationErrorDetail>got {SIGNATURE} or {SIGNATURE_IN_URL}\u{1b}[31m</AuthenticationErrorDetail></Error>"
    );
    let endpoint = serve(move |mut stream| {
        read_request(&mut stream);
        write!(
            stream,
            "HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{echo}",
            echo.len()
        )
        .unwrap();
    });
    let error = get_error(&endpoint).await;
    assert_eq!(error.kind(), &ContainerErrorKind::TokenRejected);
    let text = error.to_string();
    assert!(text.contains("got REDACTED or REDACTED[31m"), "{text}");
    assert!(text.contains("(HTTP 403 AuthenticationFailed)"), "{text}");
}

#[tokio::test]
async fn a_404_without_the_services_code_is_not_a_missing_blob() {
    let endpoint =
        serve_text("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let subject = container(&endpoint);
    for error in [
        subject.get(&name(), MAX).await.unwrap_err(),
        subject.delete(&name()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ContainerErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn an_invalid_response_is_a_protocol_error() {
    let endpoint =
        serve_text("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n<html>hi!");
    let subject = container(&endpoint);
    for error in [
        subject.get(&name(), MAX).await.unwrap_err(),
        subject
            .put(&name(), PutBody::object("x"))
            .await
            .unwrap_err(),
        subject.list("", None, 10).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
        assert_no_secret(&error);
    }
}

#[tokio::test]
async fn only_the_services_own_success_is_accepted() {
    let responses = [
        "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nx-ms-request-id: 1\r\nConnection: close\r\n\r\n",
    ];
    for response in responses {
        let subject = container(&serve_text(response));
        for error in [
            subject
                .put(&name(), PutBody::object("x"))
                .await
                .unwrap_err(),
            subject.delete(&name()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
        }
    }
}

#[tokio::test]
async fn only_complete_blobs_are_returned() {
    let get = |response| async move { container(&serve_text(response)).get(&name(), MAX).await };
    let complete = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(get(complete).await.unwrap(), "abc");
    // A missing last chunk is detected.
    let chunks = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(get(chunks).await.unwrap(), "abc");
    let truncated = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    let error = get(truncated).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Reset),
        "{error}"
    );
    // Compressed, which was not requested.
    let compressed = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let error = get(compressed).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    // Without a length the content may be truncated.
    let without_length = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\n\r\nabc";
    let error = get(without_length).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    // The announced length is one byte over the limit.
    let large = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 268435457\r\n\r\nabc";
    let error = get(large).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::TooLarge, "{error}");
}

/// Starts a server that sends `head` and then repeated chunks of one byte, so that the connection never stalls for long.
fn trickling(head: &'static str) -> String {
    serve(move |mut stream| {
        std::thread::spawn(move || {
            read_request(&mut stream);
            write!(
                stream,
                "HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            .unwrap();
            while stream.write_all(b"1\r\nx\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    })
}

/// Returns the error of a call that must not wait for the end of the response.
async fn error_soon<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, ContainerError>>,
) -> ContainerError {
    let outcome = tokio::time::timeout(Duration::from_secs(5), call).await;
    outcome.unwrap().unwrap_err()
}

#[tokio::test]
async fn an_endless_error_response_is_an_error() {
    let endpoint = trickling("403 No\r\nx-ms-error-code: AuthorizationPermissionMismatch");
    // This timeout applies to other responses.
    let timeouts = Timeouts {
        response: Duration::from_secs(60),
        ..timeouts()
    };
    let subject = with_timeouts(&endpoint, timeouts);
    let (name, body) = (name(), PutBody::object("x"));
    for error in [
        error_soon(subject.put(&name, body)).await,
        error_soon(subject.get(&name, MAX)).await,
    ] {
        let expected = &ContainerErrorKind::PermissionMissing;
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[tokio::test]
async fn trickling_content_times_out() {
    let subject = container(&trickling("200 OK\r\nx-ms-request-id: the-id"));
    let name = name();
    for error in [
        error_soon(subject.get(&name, MAX)).await,
        error_soon(subject.list("", None, 1)).await,
    ] {
        let expected = &ContainerErrorKind::Network(NetworkFailure::Timeout);
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.to_string().contains("was incomplete"), "{error}");
        assert_eq!(error.request_id(), Some("the-id"), "{error}");
    }
}

#[tokio::test]
async fn slow_downloads_above_the_min_rate_succeed() {
    // Twice the response timeout in total, at five times the minimum rate.
    let endpoint = serve(|mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 3145728\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..12 {
            std::thread::sleep(timeouts().response / 6);
            stream.write_all(&[0; 256 << 10]).unwrap();
        }
    });
    let content = container(&endpoint).get(&name(), MAX).await.unwrap();
    assert_eq!(content.len(), 3 << 20);
}

#[tokio::test]
async fn the_body_of_a_captive_portal_is_not_read() {
    let subject = container(&trickling("200 OK\r\nContent-Type: text/html"));
    let name = name();
    for error in [
        error_soon(subject.get(&name, MAX)).await,
        error_soon(subject.list("", None, 1)).await,
    ] {
        assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("no x-ms-request-id"), "{error}");
    }
}

#[tokio::test]
async fn every_error_has_the_request_id() {
    let responses = [
        "204 None\r\nx-ms-request-id: the-id\r\nConnection: close\r\n\r\n",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\n\r\n<html>",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\nContent-Length: 268435457\r\n\r\nabc",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc",
    ];
    for response in responses {
        let subject = container(&serve(move |mut stream| {
            read_request(&mut stream);
            write!(stream, "HTTP/1.1 {response}").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }));
        for error in [
            subject.get(&name(), MAX).await.unwrap_err(),
            subject.list("", None, 1).await.unwrap_err(),
        ] {
            assert_eq!(error.request_id(), Some("the-id"), "{error}");
            assert!(error.to_string().contains(", request the-id)"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_signature_in_headers_is_redacted() {
    for status in ["403 No", "200 OK"] {
        let endpoint = serve(move |mut stream| {
            read_request(&mut stream);
            write!(
                stream,
                "HTTP/1.1 {status}\r\nx-ms-error-code: {SIGNATURE}\r\nx-ms-request-id: {SIGNATURE_IN_URL}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            .unwrap();
        });
        let error = container(&endpoint).list("", None, 1).await.unwrap_err();
        assert_no_secret(&error);
        assert_eq!(error.request_id(), Some("REDACTED"), "{error}");
    }
}

#[tokio::test]
async fn errors_have_advice() {
    use ContainerErrorKind as Kind;
    let cases = [
        (
            "409 Conflict\r\nx-ms-error-code: BlobArchived",
            Kind::Archived,
            ": the blob is in the archive tier: rehydrate it first (HTTP 409 BlobArchived)",
        ),
        (
            "409 Conflict\r\nx-ms-error-code: ContainerBeingDeleted",
            Kind::ContainerMissing,
            "; it is being deleted: use another one",
        ),
        (
            "403 No\r\nx-ms-error-code: UnauthorizedBlobOverwrite",
            Kind::PermissionMissing,
            "the SAS token does not permit this",
        ),
    ];
    for (response, kind, message) in cases {
        let endpoint = serve(move |mut stream| {
            read_request(&mut stream);
            let close = "Connection: close\r\nContent-Length: 0\r\n\r\n";
            write!(stream, "HTTP/1.1 {response}\r\n{close}").unwrap();
        });
        let error = get_error(&endpoint).await;
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// Starts a server that responds to every request with endless chunks.
fn endless() -> String {
    serve(|mut stream| {
        std::thread::spawn(move || {
            read_request(&mut stream);
            let head =
                "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut chunk = b"10000\r\n".to_vec();
            chunk.resize(chunk.len() + (64 << 10), b'x');
            chunk.extend_from_slice(b"\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            while stream.write_all(&chunk).is_ok() {}
        });
    })
}

/// Together, the responses may have more bytes than the budget.
#[tokio::test(flavor = "multi_thread")]
async fn endless_responses_fail_at_their_limit() {
    // A busy machine may be slow.
    let timeouts = Timeouts {
        response: Duration::from_secs(60),
        ..timeouts()
    };
    let subject = std::sync::Arc::new(with_timeouts(&endless(), timeouts));
    let calls = (0..24).map(|number: u32| {
        let subject = std::sync::Arc::clone(&subject);
        tokio::spawn(async move {
            match number % 2 {
                0 => subject.get(&name(), 4 << 20).await.map(drop),
                _ => subject.list("", None, 500).await.map(drop),
            }
        })
    });
    let calls = futures::future::join_all(calls.collect::<Vec<_>>());
    let calls = tokio::time::timeout(Duration::from_secs(60), calls).await;
    for (number, error) in calls.unwrap().into_iter().enumerate() {
        let error = error.unwrap().unwrap_err();
        let message = match number % 2 {
            0 => "larger than any object of its kind: more than 4194304 bytes",
            _ => "the response has more than 4161536 bytes",
        };
        assert!(error.to_string().contains(message), "{error}");
    }
}
