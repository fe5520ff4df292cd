//! Prometheus metrics over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::cli::{Failure, lock};
use crate::events::Phase;
use crate::progress::{Bottleneck, Requests, Snapshot};

/// The latest progress, shared with the server.
pub(crate) type Latest = Arc<Mutex<Option<Snapshot>>>;

/// The maximum number of concurrent connections; further ones wait.
const CONNECTIONS: usize = 16;
/// The timeout for the header of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds the address of `--metrics-listen`, so that an error is reported before the load starts.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| Failure::failed(format!("--metrics-listen {address}: {error}")))
}

/// Serves requests until the runtime is dropped.
pub(crate) async fn serve(listener: TcpListener, latest: Latest) -> io::Result<()> {
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
            let latest = lock(latest);
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

/// Returns the metrics in Prometheus's text format. Names of counters end in `_total`.
fn text(snapshot: &Snapshot) -> String {
    let Snapshot {
        found,
        done,
        failed,
        unlisted_directories,
        unknown_entries,
        changed,
        bytes_found,
        bytes_read,
        bytes_put,
        run_done,
        run_bytes_put,
        concurrency,
        in_flight,
        retrying,
        requests,
        cpu,
        ..
    } = snapshot;
    let Requests {
        puts,
        gets,
        lists,
        deletes,
        failed: requests_failed,
        throttled,
    } = requests;
    let scan_complete = u8::from(snapshot.scan_complete);
    let elapsed = snapshot.elapsed_ms as f64 / 1e3;
    let mut text = format!(
        "\
# HELP clfsload_entries_found Entries found in the source so far.
# TYPE clfsload_entries_found gauge
clfsload_entries_found {found}
# HELP clfsload_entries_done Entries that are in the container.
# TYPE clfsload_entries_done gauge
clfsload_entries_done {done}
# HELP clfsload_entries_failed Failed entries.
# TYPE clfsload_entries_failed gauge
clfsload_entries_failed {failed}
# HELP clfsload_directories_unlisted Directories that could not be listed: everything below them is missing.
# TYPE clfsload_directories_unlisted gauge
clfsload_directories_unlisted {unlisted_directories}
# HELP clfsload_entries_unknown Names that could not be examined: they may be directories.
# TYPE clfsload_entries_unknown gauge
clfsload_entries_unknown {unknown_entries}
# HELP clfsload_files_changed Files that changed while they were read and were stored nevertheless.
# TYPE clfsload_files_changed gauge
clfsload_files_changed {changed}
# HELP clfsload_scan_complete 1 when the scan of the source is complete.
# TYPE clfsload_scan_complete gauge
clfsload_scan_complete {scan_complete}
# HELP clfsload_bytes_found Bytes of the files found so far.
# TYPE clfsload_bytes_found gauge
clfsload_bytes_found {bytes_found}
# HELP clfsload_bytes_read Bytes read of files that are in the container or in flight.
# TYPE clfsload_bytes_read gauge
clfsload_bytes_read {bytes_read}
# HELP clfsload_bytes_put Bytes uploaded by all runs.
# TYPE clfsload_bytes_put gauge
clfsload_bytes_put {bytes_put}
# HELP clfsload_run_entries_done_total Entries completed in this run.
# TYPE clfsload_run_entries_done_total counter
clfsload_run_entries_done_total {run_done}
# HELP clfsload_run_bytes_put_total Bytes uploaded in this run.
# TYPE clfsload_run_bytes_put_total counter
clfsload_run_bytes_put_total {run_bytes_put}
# HELP clfsload_requests_total Requests of this run, including retries.
# TYPE clfsload_requests_total counter
clfsload_requests_total{{operation=\"put\"}} {puts}
clfsload_requests_total{{operation=\"get\"}} {gets}
clfsload_requests_total{{operation=\"list\"}} {lists}
clfsload_requests_total{{operation=\"delete\"}} {deletes}
# HELP clfsload_requests_failed_total Failed requests of this run.
# TYPE clfsload_requests_failed_total counter
clfsload_requests_failed_total {requests_failed}
# HELP clfsload_requests_throttled_total Requests of this run that the service throttled.
# TYPE clfsload_requests_throttled_total counter
clfsload_requests_throttled_total {throttled}
# HELP clfsload_concurrency Current limit on requests in flight.
# TYPE clfsload_concurrency gauge
clfsload_concurrency {concurrency}
# HELP clfsload_requests_in_flight Requests in flight.
# TYPE clfsload_requests_in_flight gauge
clfsload_requests_in_flight {in_flight}
# HELP clfsload_requests_retrying Calls in backoff.
# TYPE clfsload_requests_retrying gauge
clfsload_requests_retrying {retrying}
# HELP clfsload_cpu_cores CPU cores used by this process.
# TYPE clfsload_cpu_cores gauge
clfsload_cpu_cores {cpu}
# HELP clfsload_elapsed_seconds Duration of this run.
# TYPE clfsload_elapsed_seconds gauge
clfsload_elapsed_seconds {elapsed}
"
    );
    if let Some(seconds) = snapshot.eta_seconds {
        text += &format!(
            "\
# HELP clfsload_eta_seconds Estimated remaining time.
# TYPE clfsload_eta_seconds gauge
clfsload_eta_seconds {seconds}
"
        );
    }
    text += "\
# HELP clfsload_phase 1 for the current phase.
# TYPE clfsload_phase gauge
";
    for phase in Phase::ALL {
        let is = u8::from(phase == snapshot.phase);
        text += &format!("clfsload_phase{{phase=\"{}\"}} {is}\n", phase.code());
    }
    text += "\
# HELP clfsload_limiting 1 for the current bottleneck.
# TYPE clfsload_limiting gauge
";
    for limiting in Bottleneck::ALL {
        let is = u8::from(snapshot.limiting == Some(limiting));
        text += &format!("clfsload_limiting{{by=\"{}\"}} {is}\n", limiting.code());
    }
    text
}
