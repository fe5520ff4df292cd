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
        subject.get(&name(), MAX).await.unwrap_err(),
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
    let get = |answer| async move { container(&serve_text(answer)).get(&name(), MAX).await };
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

/// A server that sends `head` and then a chunk of one byte, time and again: never silent for long.
fn dripping(head: &'static str) -> String {
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

/// What a call comes to that must not wait for the end of the answer.
async fn soon<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, ContainerError>>,
) -> ContainerError {
    let outcome = tokio::time::timeout(Duration::from_secs(5), call).await;
    outcome.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_refusal_that_does_not_end_is_one() {
    let endpoint = dripping("403 No\r\nx-ms-error-code: AuthorizationPermissionMismatch");
    // However long other answers may take.
    let patience = Patience {
        silence: Duration::from_secs(60),
        ..patience()
    };
    let subject = patient(&endpoint, patience);
    let (name, body) = (name(), PutBody::object("x"));
    for error in [
        soon(subject.put(&name, body)).await,
        soon(subject.get(&name, MAX)).await,
    ] {
        let expected = &ContainerErrorKind::PermissionMissing;
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[tokio::test]
async fn content_that_drips_is_given_up() {
    let subject = container(&dripping("200 OK\r\nx-ms-request-id: the-id"));
    let name = name();
    for error in [
        soon(subject.get(&name, MAX)).await,
        soon(subject.list("", None, 1)).await,
    ] {
        let expected = &ContainerErrorKind::Network(NetworkFailure::Timeout);
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.to_string().contains("was not whole"), "{error}");
        assert_eq!(error.request_id(), Some("the-id"), "{error}");
    }
}

#[tokio::test]
async fn content_that_comes_slowly_has_its_time() {
    // Twice the silence in all, at a pace that is five times the slowest.
    let endpoint = serve(|mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nConnection: close\r\nContent-Length: 3145728\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..12 {
            std::thread::sleep(patience().silence / 6);
            stream.write_all(&[0; 256 << 10]).unwrap();
        }
    });
    let content = container(&endpoint).get(&name(), MAX).await.unwrap();
    assert_eq!(content.len(), 3 << 20);
}

#[tokio::test]
async fn a_page_of_a_portal_is_not_read() {
    let subject = container(&dripping("200 OK\r\nContent-Type: text/html"));
    let name = name();
    for error in [
        soon(subject.get(&name, MAX)).await,
        soon(subject.list("", None, 1)).await,
    ] {
        assert_eq!(error.kind(), &ContainerErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("no x-ms-request-id"), "{error}");
    }
}

#[tokio::test]
async fn the_requests_id_is_told_whatever_is_wrong_with_the_answer() {
    let answers = [
        "204 None\r\nx-ms-request-id: the-id\r\nConnection: close\r\n\r\n",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\n\r\n<html>",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\nContent-Length: 268435457\r\n\r\nabc",
        "200 OK\r\nx-ms-request-id: the-id\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc",
    ];
    for answer in answers {
        let subject = container(&serve(move |mut stream| {
            read_request(&mut stream);
            write!(stream, "HTTP/1.1 {answer}").unwrap();
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
async fn headers_that_repeat_the_signature_are_redacted() {
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
async fn what_helps_is_told() {
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
            "; it is being deleted: take another one",
        ),
        (
            "403 No\r\nx-ms-error-code: UnauthorizedBlobOverwrite",
            Kind::PermissionMissing,
            "the SAS token does not permit this",
        ),
    ];
    for (answer, kind, told) in cases {
        let endpoint = serve(move |mut stream| {
            read_request(&mut stream);
            let close = "Connection: close\r\nContent-Length: 0\r\n\r\n";
            write!(stream, "HTTP/1.1 {answer}\r\n{close}").unwrap();
        });
        let error = get_error(&endpoint).await;
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// A server that answers every request with chunks that never end.
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

/// Together they may have more than the budget for all answers.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_never_end_are_refused_at_their_bound() {
    // A busy machine may be slow.
    let patience = Patience {
        silence: Duration::from_secs(60),
        ..patience()
    };
    let subject = std::sync::Arc::new(patient(&endless(), patience));
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
        let told = match number % 2 {
            0 => "larger than any object of its kind: more than 4194304 bytes",
            _ => "the answer has more than 4161536 bytes",
        };
        assert!(error.to_string().contains(told), "{error}");
    }
}
