//! Prometheus metrics over HTTP.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::events::Phase;
use crate::progress::{Bottleneck, Snapshot};

/// The latest progress, shared with the server.
pub(super) type Latest = Arc<Mutex<Option<Snapshot>>>;

/// The maximum number of concurrent connections; further ones wait.
const CONNECTIONS: usize = 16;
/// The timeout for the header of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Parses `PORT`, `:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`. The default address is 127.0.0.1.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text
            .parse()
            .map_err(|_| "must be PORT or ADDRESS:PORT, such as 9090 or 0.0.0.0:9090".to_owned()),
    }
}

/// Binds the address, so that an error is reported before the load starts.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves requests until the runtime is dropped.
pub(super) async fn serve(listener: TcpListener, latest: Latest) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Too many open files, or the connection was closed before it was accepted: the next may succeed.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let latest = Arc::clone(&latest);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = respond(&request, &latest);
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Invalid requests are ignored. The timeout frees the slot of a client that does not read.
            drop(tokio::time::timeout(2 * HEADER_TIMEOUT, serving).await);
            drop(slot);
        });
    }
}

fn respond(request: &Request<Incoming>, latest: &Latest) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
            let text = latest.as_ref().map_or_else(String::new, text);
            (StatusCode::OK, "text/plain; version=0.0.4", text)
        }
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "see /metrics\n".to_owned(),
        ),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The metrics in Prometheus's text format. Names of counters end in `_total`.
fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, lines: &[(String, f64)]| {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        // Writing to a String cannot fail.
        let _: std::fmt::Result = write!(
            text,
            "# HELP clfsload_{name} {help}\n# TYPE clfsload_{name} {kind}\n"
        );
        for (labels, value) in lines {
            let _: std::fmt::Result = writeln!(text, "clfsload_{name}{labels} {value}");
        }
    };
    let one = |value: f64| [(String::new(), value)];
    let count = |value: u64| one(value as f64);
    metric(
        "entries_found",
        "Entries found in the source so far.",
        &count(snapshot.found),
    );
    metric(
        "entries_done",
        "Entries that are in the container.",
        &count(snapshot.done),
    );
    metric("entries_failed", "Failed entries.", &count(snapshot.failed));
    metric(
        "directories_unlisted",
        "Directories that could not be listed: everything below them is missing.",
        &count(snapshot.unlisted_directories),
    );
    metric(
        "entries_unknown",
        "Names that could not be examined: they may be directories.",
        &count(snapshot.unknown_entries),
    );
    metric(
        "files_changed",
        "Files that changed while they were read and were stored nevertheless.",
        &count(snapshot.changed),
    );
    metric(
        "scan_complete",
        "1 when the scan of the source is complete.",
        &count(snapshot.scan_complete.into()),
    );
    metric(
        "bytes_found",
        "Bytes of the files found so far.",
        &count(snapshot.bytes_found),
    );
    metric(
        "bytes_read",
        "Bytes read of files that are in the container or in flight.",
        &count(snapshot.bytes_read),
    );
    metric(
        "bytes_put",
        "Bytes uploaded by all runs.",
        &count(snapshot.bytes_put),
    );
    metric(
        "run_entries_done_total",
        "Entries completed in this run.",
        &count(snapshot.run_done),
    );
    metric(
        "run_bytes_put_total",
        "Bytes uploaded in this run.",
        &count(snapshot.run_bytes_put),
    );
    let requests = snapshot.requests;
    let kinds = [
        ("put", requests.puts),
        ("get", requests.gets),
        ("list", requests.lists),
        ("delete", requests.deletes),
    ];
    let kinds = kinds.map(|(kind, number)| (format!("{{operation=\"{kind}\"}}"), number as f64));
    metric(
        "requests_total",
        "Requests of this run, including retries.",
        &kinds,
    );
    metric(
        "requests_failed_total",
        "Failed requests of this run.",
        &count(requests.failed),
    );
    metric(
        "requests_throttled_total",
        "Requests of this run that the service throttled.",
        &count(requests.throttled),
    );
    metric(
        "concurrency",
        "Current limit on requests in flight.",
        &count(snapshot.concurrency),
    );
    metric(
        "requests_in_flight",
        "Requests in flight.",
        &count(snapshot.in_flight),
    );
    metric(
        "requests_retrying",
        "Calls in backoff.",
        &count(snapshot.retrying),
    );
    metric(
        "cpu_cores",
        "CPU cores used by this process.",
        &one(snapshot.cpu),
    );
    metric(
        "elapsed_seconds",
        "Duration of this run.",
        &one(snapshot.elapsed_ms as f64 / 1e3),
    );
    if let Some(seconds) = snapshot.eta_seconds {
        metric("eta_seconds", "Estimated remaining time.", &count(seconds));
    }
    let is = |yes: bool| f64::from(u8::from(yes));
    let phases = Phase::ALL.map(|phase| {
        let label = format!("{{phase=\"{}\"}}", phase.code());
        (label, is(phase == snapshot.phase))
    });
    metric("phase", "1 for the current phase.", &phases);
    let limiting = Bottleneck::ALL.map(|limiting| {
        let label = format!("{{by=\"{}\"}}", limiting.code());
        (label, is(snapshot.limiting == Some(limiting)))
    });
    metric("limiting", "1 for the current bottleneck.", &limiting);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_address_is_this_host() {
        for (word, expected) in [
            ("9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("0.0.0.0:9090", "0.0.0.0:9090"),
            ("[::1]:9090", "[::1]:9090"),
        ] {
            assert_eq!(
                parse_address(word).map(|address| address.to_string()),
                Ok(expected.to_owned())
            );
        }
        for word in ["", "host:9090", "99999", "1.2.3.4"] {
            assert!(parse_address(word).is_err(), "{word}");
        }
    }
}
