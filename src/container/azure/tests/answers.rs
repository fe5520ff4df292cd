//! What answers of a service, and of others that stand in for it, are taken for.

use super::*;

#[tokio::test]
async fn a_service_that_asks_to_wait_is_heard() {
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
async fn what_a_refusal_echoes_is_redacted() {
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
async fn a_404_without_the_services_code_is_no_missing_blob() {
    let endpoint =
        serve_text("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let subject = container(&endpoint);
    for error in [
        subject.get(&name()).await.unwrap_err(),
        subject.delete(&name()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ContainerErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_told() {
    let endpoint =
        serve_text("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n<html>hi!");
    let subject = container(&endpoint);
    for error in [
        subject.get(&name()).await.unwrap_err(),
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
async fn only_the_services_own_success_counts() {
    let answers = [
        "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nx-ms-request-id: 1\r\nConnection: close\r\n\r\n",
    ];
    for answer in answers {
        let subject = container(&serve_text(answer));
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
async fn a_blob_is_taken_whole_or_not_at_all() {
    let get = |answer| async move { container(&serve_text(answer)).get(&name()).await };
    let whole = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(get(whole).await.unwrap(), "abc");
    // The end of chunks is seen, and so is that it is missing.
    let chunks = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(get(chunks).await.unwrap(), "abc");
    let cut = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    let error = get(cut).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ContainerErrorKind::Network(NetworkFailure::Reset),
        "{error}"
    );
    // Packed on the way, which nobody asked for.
    let packed = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let error = get(packed).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    // Without a length nobody knows whether this is all.
    let open = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\n\r\nabc";
    let error = get(open).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
    // Refused by its announced length, one byte over the bound.
    let large = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 268435457\r\n\r\nabc";
    let error = get(large).await.unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::TooLarge, "{error}");
}
