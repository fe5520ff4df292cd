//! Figures for Prometheus, over HTTP.

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

use crate::monitor::Phase;
use crate::progress::{Bottleneck, Snapshot};

/// The latest figures, for all who ask.
pub(super) type Latest = Arc<Mutex<Option<Snapshot>>>;

/// Connections at the same time; further ones wait.
const CONNECTIONS: usize = 16;
/// A request must be there in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads `PORT`, `:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; without an address it is this host's own.
pub(super) fn parse_address(word: &str) -> Result<SocketAddr, String> {
    let port = word.strip_prefix(':').unwrap_or(word);
    match port.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => word
            .parse()
            .map_err(|_| "PORT or ADDRESS:PORT is possible, as 9090 or 0.0.0.0:9090".to_owned()),
    }
}

/// Takes the address, so that one that cannot be had is told before anything begins.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, latest: Latest) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of files, or a connection that went before it was taken: the next may do.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let latest = Arc::clone(&latest);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &latest);
                async move { Ok::<_, Infallible>(answer) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Who asks badly gets no answer. One that does not take it holds no place for ever.
            drop(tokio::time::timeout(2 * PATIENCE, serving).await);
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, latest: &Latest) -> Response<Full<Bytes>> {
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

/// Prometheus's text format: figures that only grow end in `_total`.
fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut tell = |name: &str, help: &str, lines: &[(String, f64)]| {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        // Into a String, which takes all.
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
    tell(
        "entries_found",
        "Entries of the source that are known.",
        &count(snapshot.found),
    );
    tell(
        "entries_done",
        "Entries that are in the container.",
        &count(snapshot.done),
    );
    tell(
        "entries_failed",
        "Entries with a problem.",
        &count(snapshot.failed),
    );
    tell(
        "directories_unlisted",
        "Directories that could not be listed: everything below them is missing.",
        &count(snapshot.unlisted_directories),
    );
    tell(
        "entries_unknown",
        "Names that could not be examined: they may be directories.",
        &count(snapshot.unknown_entries),
    );
    tell(
        "files_changed",
        "Files that changed while they were read, and are in the container.",
        &count(snapshot.changed),
    );
    tell(
        "scan_complete",
        "1 when all entries of the source are known.",
        &count(snapshot.scan_complete.into()),
    );
    tell(
        "bytes_found",
        "Bytes of the files that are known.",
        &count(snapshot.bytes_found),
    );
    tell(
        "bytes_read",
        "Bytes of the files that are in the container.",
        &count(snapshot.bytes_read),
    );
    tell(
        "bytes_put",
        "Bytes uploaded by all runs.",
        &count(snapshot.bytes_put),
    );
    tell(
        "run_entries_done_total",
        "Entries settled in this run.",
        &count(snapshot.run_done),
    );
    tell(
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
    tell(
        "requests_total",
        "Requests of this run, each try counted.",
        &kinds,
    );
    tell(
        "requests_failed_total",
        "Those of them that failed.",
        &count(requests.failed),
    );
    tell(
        "requests_throttled_total",
        "Those that the service asked to come later.",
        &count(requests.throttled),
    );
    tell(
        "concurrency",
        "Requests that may be on their way.",
        &count(snapshot.concurrency),
    );
    tell(
        "requests_in_flight",
        "Requests that are on their way.",
        &count(snapshot.in_flight),
    );
    tell(
        "requests_retrying",
        "Calls that wait for their next try.",
        &count(snapshot.retrying),
    );
    tell(
        "cpu_cores",
        "Processors that were busy for this process.",
        &one(snapshot.cpu),
    );
    tell(
        "elapsed_seconds",
        "Time of this run.",
        &one(snapshot.elapsed_ms as f64 / 1e3),
    );
    if let Some(seconds) = snapshot.eta_seconds {
        tell("eta_seconds", "Estimated time to the end.", &count(seconds));
    }
    let is = |yes: bool| f64::from(u8::from(yes));
    let phases = Phase::ALL.map(|phase| {
        let label = format!("{{phase=\"{}\"}}", phase.word());
        (label, is(phase == snapshot.phase))
    });
    tell("phase", "1 for the phase that the run is in.", &phases);
    let limiting = Bottleneck::ALL.map(|limiting| {
        let label = format!("{{by=\"{}\"}}", limiting.code());
        (label, is(snapshot.limiting == Some(limiting)))
    });
    tell(
        "limiting",
        "1 for what keeps the run from being faster.",
        &limiting,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_this_host_unless_it_is_said() {
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
