//! A proxy between the command and a storage service that does what networks and services do at times.

mod http;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use clfsload::container::Operation;

use http::{ask, endless, header, read_head, refusal, signature, target};

use super::azurite::{ACCOUNT, Azurite};

/// What is done to a request instead of passing it on, or to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers in the service's place.
    Refusal {
        status: u16,
        code: &'static str,
        detail: &'static str,
        retry_after: Option<u64>,
    },
    /// Resets the connection in the middle of the request's content.
    CutRequest,
    /// Resets the connection when the request has been read.
    ResetBeforeAnswer,
    /// Passes the request on, and closes the connection in place of the answer.
    LostAnswer,
    /// Reads the request, and never answers.
    Silence,
    /// Passes the request on; the answer comes in this many pieces with a pause before each.
    SlowAnswer { pieces: usize, pause: Duration },
    /// Passes the request on, and closes the connection after the answer without saying so.
    CloseAfterAnswer,
    /// Passes the request on, and closes the connection in the middle of the answer's content.
    CutAnswer,
    /// Answers with content in chunks that never ends.
    EndlessAnswer,
}

impl Fault {
    /// A refusal without more words.
    pub fn refusal(status: u16, code: &'static str) -> Self {
        Fault::Refusal {
            status,
            code,
            detail: "",
            retry_after: None,
        }
    }

    /// A refusal that asks to wait for so many seconds.
    pub fn wait(status: u16, code: &'static str, seconds: u64) -> Self {
        Fault::Refusal {
            status,
            code,
            detail: "",
            retry_after: Some(seconds),
        }
    }
}

/// A request, as the script sees it and as the record keeps it.
#[derive(Debug, Clone)]
pub struct Call {
    /// 1 for the first request of all.
    pub number: u64,
    pub operation: Operation,
    /// The blob's name; empty for a listing.
    pub blob: String,
    /// 1 for the first request of this operation on this blob.
    pub attempt: u64,
    /// The signature of the token that it came with, as it stands in the URL.
    pub signature: String,
    pub fault: Option<Fault>,
    /// What the service answered, if the request reached it.
    pub status: Option<u16>,
}

/// Decides about each request. It may take its time: only this request waits.
pub type Script = Box<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

/// The proxy; it ends when this is dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    service: u16,
    script: Script,
    record: Mutex<Record>,
    /// Neither accepts connections nor keeps them.
    down: AtomicBool,
    over: AtomicBool,
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
            down: AtomicBool::new(false),
            over: AtomicBool::new(false),
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

    /// The account's blob endpoint through the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// The service is away: connections break, and new ones are refused.
    pub fn down(&self) {
        self.shared.down.store(true, Ordering::SeqCst);
        self.shared.break_connections();
    }

    /// The service is there again.
    pub fn up(&self) {
        self.shared.down.store(false, Ordering::SeqCst);
    }

    /// Every request so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.record().calls.clone()
    }

    /// How many puts came in.
    pub fn puts(&self) -> usize {
        self.tries().values().sum()
    }

    /// How often each blob was put, as far as the requests came in.
    pub fn tries(&self) -> BTreeMap<String, usize> {
        let mut tries = BTreeMap::new();
        for call in self.calls() {
            if call.operation == Operation::Put {
                *tries.entry(call.blob).or_default() += 1;
            }
        }
        tries
    }

    /// The requests that something was done to.
    pub fn disturbed(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.fault.is_some());
        calls
    }

    /// Waits until so many puts came in.
    pub fn wait_for_puts(&self, puts: usize) {
        for _ in 0..6000 {
            if self.puts() >= puts {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("only {} puts in a minute", self.puts());
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
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

    fn begin(&self, operation: Operation, blob: String, signature: String) -> Call {
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

    fn note(&self, call: &Call, note: impl FnOnce(&mut Call)) {
        note(&mut self.record().calls[call.number as usize - 1]);
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn accept(shared: &Arc<Shared>, listener: TcpListener, port: u16) {
    let mut listener = Some(listener);
    while !shared.over.load(Ordering::SeqCst) {
        if shared.down.load(Ordering::SeqCst) {
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
            // The client sees every end of the connection; there is nobody else to tell.
            std::thread::spawn(move || drop(serve(&shared, &stream)));
            continue;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Serves requests until the connection ends.
fn serve(shared: &Shared, mut stream: &TcpStream) -> io::Result<()> {
    while let Some(head) = read_head(stream)? {
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let (operation, blob) = target(&head);
        let call = shared.begin(operation, blob, signature(&head));
        let fault = (shared.script)(&call);
        shared.note(&call, |call| call.fault.clone_from(&fault));
        // Closing a socket with content unread resets the connection.
        let read = match fault {
            Some(Fault::CutRequest) => length / 2,
            Some(Fault::ResetBeforeAnswer) => length.max(1) - 1,
            _ => length,
        };
        let mut content = vec![0; read];
        stream.read_exact(&mut content)?;
        match &fault {
            Some(Fault::CutRequest | Fault::ResetBeforeAnswer) => return Ok(()),
            Some(Fault::Silence) => {
                // Until the client, or the end of the proxy, breaks the connection.
                return io::copy(&mut stream, &mut io::sink()).map(drop);
            }
            Some(Fault::Refusal {
                status,
                code,
                detail,
                retry_after,
            }) => {
                let answer = refusal(*status, code, detail, *retry_after);
                stream.write_all(&answer)?;
                continue;
            }
            Some(Fault::EndlessAnswer) => return endless(stream),
            _ => {}
        }
        let answer = ask(shared.service, &head, &content)?;
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().ok();
        shared.note(&call, |call| call.status = status);
        match fault {
            Some(Fault::LostAnswer) => return Ok(()),
            Some(Fault::CutAnswer) => return stream.write_all(&answer[..answer.len() - 1]),
            Some(Fault::SlowAnswer { pieces, pause }) => {
                for piece in answer.chunks(answer.len().div_ceil(pieces)) {
                    std::thread::sleep(pause);
                    stream.write_all(piece)?;
                }
            }
            _ => stream.write_all(&answer)?,
        }
        if fault == Some(Fault::CloseAfterAnswer) {
            return Ok(());
        }
    }
    Ok(())
}
