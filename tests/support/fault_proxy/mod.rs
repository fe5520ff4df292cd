//! A proxy between the command and a storage service that injects the faults of networks and services.

mod http;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use clfsload::container::Operation;

use http::{endless, forward, header, read_head, refusal, signature, target};

use super::azurite::{ACCOUNT, Azurite};

/// A fault that is injected into a request or its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Responds with an error instead of forwarding the request.
    Refusal {
        status: u16,
        code: &'static str,
        detail: &'static str,
        retry_after: Option<u64>,
    },
    /// Resets the connection during the request's content.
    ResetDuringRequest,
    /// Resets the connection after the request was read.
    ResetBeforeResponse,
    /// Forwards the request, and closes the connection without a response.
    LostResponse,
    /// Reads the request and never responds.
    NoResponse,
    /// Forwards the request, and sends the response in this many pieces with a pause before each.
    SlowResponse { pieces: usize, pause: Duration },
    /// Forwards the request, and closes the connection after the response without announcing it.
    CloseAfterResponse,
    /// Forwards the request, and closes the connection during the response's content.
    TruncatedResponse,
    /// Responds with endless content in chunks.
    EndlessResponse,
}

impl Fault {
    /// Returns an error response without details.
    pub fn refusal(status: u16, code: &'static str) -> Self {
        Fault::Refusal {
            status,
            code,
            detail: "",
            retry_after: None,
        }
    }

    /// Returns an error response with a `Retry-After` in seconds.
    pub fn retry_after(status: u16, code: &'static str, seconds: u64) -> Self {
        Fault::Refusal {
            status,
            code,
            detail: "",
            retry_after: Some(seconds),
        }
    }
}

/// A request, as passed to the script and as recorded.
#[derive(Debug, Clone)]
pub struct Call {
    /// The number of the request, from 1.
    pub number: u64,
    pub operation: Operation,
    /// The blob's name; empty for a listing.
    pub blob: String,
    /// The number of the request with this operation and blob, from 1.
    pub attempt: u64,
    /// The signature of its token, as in the URL.
    pub signature: String,
    pub fault: Option<Fault>,
    /// The status of the service's response, if the request was forwarded.
    pub status: Option<u16>,
}

/// Returns the fault of each request. It may block, which delays only that request.
pub type Script = Box<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

/// The proxy. It stops on drop.
pub struct FaultProxy {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    service: u16,
    script: Script,
    record: Mutex<Record>,
    /// Whether connections are closed and not accepted.
    is_down: AtomicBool,
    is_stopped: AtomicBool,
    connections: Mutex<Vec<Weak<TcpStream>>>,
}

#[derive(Default)]
struct Record {
    calls: Vec<Call>,
    attempts: HashMap<(Operation, String), u64>,
}

impl FaultProxy {
    pub fn start(server: &Azurite, script: Script) -> Self {
        let endpoint = url::Url::parse(&server.endpoint()).unwrap();
        let listener = listen(0);
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            service: endpoint.port().unwrap(),
            script,
            record: Mutex::default(),
            is_down: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, listener, port)
        });
        FaultProxy {
            shared,
            port,
            accepting: Some(accepting),
        }
    }

    /// Returns the account's blob endpoint through the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// Makes the service unavailable: closes connections, and refuses new ones.
    pub fn down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
        self.shared.break_connections();
    }

    /// Makes the service available again.
    pub fn up(&self) {
        self.shared.is_down.store(false, Ordering::SeqCst);
    }

    /// Returns all requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.record().calls.clone()
    }

    /// Returns the number of Put Blob requests.
    pub fn puts(&self) -> usize {
        self.puts_by_blob().values().sum()
    }

    /// Returns the number of Put Blob requests for each blob.
    pub fn puts_by_blob(&self) -> BTreeMap<String, usize> {
        let mut puts = BTreeMap::new();
        for call in self.calls() {
            if call.operation == Operation::Put {
                *puts.entry(call.blob).or_default() += 1;
            }
        }
        puts
    }

    /// Returns the requests with a fault.
    pub fn faults(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.fault.is_some());
        calls
    }

    /// Waits until the proxy has received this many Put Blob requests.
    pub fn wait_for_puts(&self, puts: usize) {
        for _ in 0..6000 {
            if self.puts() >= puts {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("only {} uploads in a minute", self.puts());
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.shared.break_connections();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_connections(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections.iter().filter_map(Weak::upgrade) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn record_call(&self, operation: Operation, blob: String, signature: String) -> Call {
        let mut record = self.record();
        let attempts = record
            .attempts
            .entry((operation, blob.clone()))
            .or_default();
        *attempts += 1;
        let attempt = *attempts;
        let call = Call {
            number: record.calls.len() as u64 + 1,
            operation,
            blob,
            attempt,
            signature,
            fault: None,
            status: None,
        };
        record.calls.push(call.clone());
        call
    }

    fn update(&self, call: &Call, update: impl FnOnce(&mut Call)) {
        update(&mut self.record().calls[call.number as usize - 1]);
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn accept(shared: &Arc<Shared>, listener: TcpListener, port: u16) {
    let mut listener = Some(listener);
    while !shared.is_stopped.load(Ordering::SeqCst) {
        if shared.is_down.load(Ordering::SeqCst) {
            listener = None;
            shared.break_connections();
        } else if let Ok((stream, _)) = listener.get_or_insert_with(|| listen(port)).accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            let stream = Arc::new(stream);
            let mut connections = shared.connections.lock().unwrap();
            connections.retain(|connection| connection.strong_count() > 0);
            connections.push(Arc::downgrade(&stream));
            drop(connections);
            let shared = Arc::clone(shared);
            // The client sees an error of the connection.
            std::thread::spawn(move || drop(serve(&shared, &stream)));
            continue;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Serves requests until the connection is closed.
fn serve(shared: &Shared, mut stream: &TcpStream) -> io::Result<()> {
    while let Some(head) = read_head(stream)? {
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let (operation, blob) = target(&head);
        let call = shared.record_call(operation, blob, signature(&head));
        let fault = (shared.script)(&call);
        shared.update(&call, |call| call.fault.clone_from(&fault));
        // Closing a socket with unread content resets the connection.
        let read = match fault {
            Some(Fault::ResetDuringRequest) => length / 2,
            Some(Fault::ResetBeforeResponse) => length.max(1) - 1,
            _ => length,
        };
        let mut content = vec![0; read];
        stream.read_exact(&mut content)?;
        match &fault {
            Some(Fault::ResetDuringRequest | Fault::ResetBeforeResponse) => return Ok(()),
            Some(Fault::NoResponse) => {
                // Blocks until the client closes the connection or the proxy is dropped.
                return io::copy(&mut stream, &mut io::sink()).map(drop);
            }
            Some(Fault::Refusal {
                status,
                code,
                detail,
                retry_after,
            }) => {
                let response = refusal(*status, code, detail, *retry_after);
                stream.write_all(&response)?;
                continue;
            }
            Some(Fault::EndlessResponse) => return endless(stream),
            _ => {}
        }
        let response = forward(shared.service, &head, &content)?;
        let status = std::str::from_utf8(&response[9..12]).unwrap().parse().ok();
        shared.update(&call, |call| call.status = status);
        match fault {
            Some(Fault::LostResponse) => return Ok(()),
            Some(Fault::TruncatedResponse) => {
                return stream.write_all(&response[..response.len() - 1]);
            }
            Some(Fault::SlowResponse { pieces, pause }) => {
                for piece in response.chunks(response.len().div_ceil(pieces)) {
                    std::thread::sleep(pause);
                    stream.write_all(piece)?;
                }
            }
            _ => stream.write_all(&response)?,
        }
        if fault == Some(Fault::CloseAfterResponse) {
            return Ok(());
        }
    }
    Ok(())
}
