//! The event loop of the sink. It uses one thread and epoll(7), so that thousands of requests can wait for
//! their response and the client has the rest of the machine.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::connection::{Connection, Request, Step};
use super::counters::{Counters, RequestKind};
use super::{REPORT_PATH, RESET_PATH, ResponsePolicy};
use crate::child::raise_open_files;

const RECEIVE_BYTES: usize = 256 << 10;
/// The number of the listening socket; connections are numbered from 1.
const LISTENER: u64 = 0;

/// The headers of each Azure response that clients read.
const HEADERS: &str = "x-ms-request-id: 8b5d3c1e-0000-0000-0000-000000000000\r\n\
    x-ms-version: 2022-11-02\r\nDate: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
    Last-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\nETag: \"0x8D8AD8D8AD8D8AD\"\r\n";
const NO_BLOBS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
    ServiceEndpoint=\"http://127.0.0.1/\" ContainerName=\"container\"><Blobs /><NextMarker /></EnumerationResults>";

/// A response that is due at a time.
struct Due {
    at: Instant,
    connection: u64,
    request: Request,
    body: Vec<u8>,
    throttle: bool,
}

struct Server {
    poll: OwnedFd,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next: u64,
    policy: ResponsePolicy,
    /// In the order of their due times, because the delay is the same for all.
    waiting: VecDeque<Due>,
    counters: Counters,
    /// The tokens of the rate limit, and the time of the last refill.
    tokens: (f64, Instant),
    bucket_name: String,
    bucket: Option<Vec<u8>>,
    /// The response to a Put Blob request, chunked as Azure's.
    put_response: Vec<u8>,
}

/// Serves until the end of standard input. Prints the port to standard output.
pub(crate) fn serve(policy: ResponsePolicy) -> io::Result<()> {
    // The pipe also closes when the parent process is killed.
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    raise_open_files()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = epoll::EventFlags::IN;
    epoll::add(
        &poll,
        &listener,
        epoll::EventData::new_u64(LISTENER),
        readable,
    )?;
    let mut server = Server {
        poll,
        listener,
        connections: HashMap::new(),
        next: LISTENER + 1,
        policy,
        waiting: VecDeque::new(),
        counters: Counters::new(),
        tokens: (0.0, Instant::now()),
        bucket_name: clfs_format::ObjectName::bucket().to_string(),
        bucket: None,
        put_response: format!(
            "HTTP/1.1 201 Created\r\n{HEADERS}x-ms-request-server-encrypted: true\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        .into_bytes(),
    };
    server.run()
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut response =
        format!("HTTP/1.1 {status}\r\n{HEADERS}{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    response.extend_from_slice(body);
    response
}

/// Returns an error response in Azure's format. The response to HEAD has no body.
fn error_response(status: &str, code: &str, method: &[u8]) -> Vec<u8> {
    let body = match method {
        b"HEAD" => String::new(),
        _ => format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        ),
    };
    let headers = format!("x-ms-error-code: {code}\r\nContent-Type: application/xml\r\n");
    response(status, &headers, body.as_bytes())
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.waiting.front().map(|due| {
                let left = due.at.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: left.as_secs() as _,
                    tv_nsec: left.subsec_nanos().into(),
                }
            });
            events.clear();
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => drop(waited?),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    number => self.serve_one(number, event.flags, &mut buffer),
                }
            }
            self.respond_due();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client closed the connection before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let data = epoll::EventData::new_u64(self.next);
            epoll::add(&self.poll, &stream, data, epoll::EventFlags::IN)?;
            self.connections.insert(self.next, Connection::new(stream));
            self.next += 1;
        }
    }

    fn serve_one(&mut self, number: u64, flags: epoll::EventFlags, buffer: &mut [u8]) {
        let outcome = match flags.contains(epoll::EventFlags::OUT) {
            true => self.send_rest(number),
            false => self.receive(number, buffer),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => self.close(number),
            Err(error) => {
                // A killed client resets its connections, which is expected.
                if error.kind() == io::ErrorKind::Other {
                    eprintln!("sink: {error}");
                }
                self.close(number);
            }
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number)
            && connection.is_in_flight()
        {
            self.counters.end_request();
        }
    }

    /// Returns whether the connection stays open.
    fn receive(&mut self, number: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Ok(true);
        };
        let Some(received) = connection.receive(buffer)? else {
            return Ok(true);
        };
        if received == 0 {
            return Ok(false);
        }
        let mut bytes = buffer.get(..received).unwrap_or_default();
        loop {
            let name = self.bucket_name.as_bytes();
            let Some(connection) = self.connections.get_mut(&number) else {
                return Ok(true);
            };
            let keep = |request: &Request| {
                request.kind == RequestKind::Put && request.path().ends_with(name)
            };
            match connection.step(&mut bytes, keep)? {
                Step::Wait => return Ok(true),
                Step::Head(kind) => self.counters.start_request(kind),
                Step::Body(length) => self.counters.add_bytes(length),
                Step::Complete(request, body) => self.handle(number, request, body)?,
            }
        }
    }

    /// Responds to a complete request, now or after the delay.
    fn handle(&mut self, number: u64, request: Request, body: Vec<u8>) -> io::Result<()> {
        let control = match request.target.as_slice() {
            target if target == REPORT_PATH.as_bytes() => Some(self.counters.report().to_text()),
            target if target == RESET_PATH.as_bytes() => Some(String::new()),
            _ => None,
        };
        if let Some(text) = control {
            if request.target == RESET_PATH.as_bytes() {
                self.counters.reset();
            }
            // The benchmark reads the response to its end, so blocking until it is sent is short.
            if let Some(mut connection) = self.connections.remove(&number) {
                connection.stream.set_nonblocking(false)?;
                connection.respond(&response("200 OK", "", text.as_bytes()))?;
            }
            return Ok(());
        }
        let throttle = !self.take_token();
        let due = Due {
            at: Instant::now() + self.policy.delay,
            connection: number,
            request,
            body,
            throttle,
        };
        match self.policy.delay.is_zero() {
            true => self.respond(due),
            false => self.waiting.push_back(due),
        }
        Ok(())
    }

    /// Takes a token from a bucket that holds those of 0.1 s. Returns false if it is empty.
    fn take_token(&mut self) -> bool {
        let Some(rate) = self.policy.rate.map(f64::from) else {
            return true;
        };
        let now = Instant::now();
        let (left, refilled) = self.tokens;
        let tokens = left + now.duration_since(refilled).as_secs_f64() * rate;
        let tokens = tokens.min((rate / 10.0).max(1.0));
        let has_token = tokens >= 1.0;
        self.tokens = (tokens - f64::from(u8::from(has_token)), now);
        has_token
    }

    fn respond_due(&mut self) {
        // Responding up to 50 µs early is closer to the delay than another wait.
        let now = Instant::now() + Duration::from_micros(50);
        while self.waiting.front().is_some_and(|due| due.at <= now) {
            if let Some(due) = self.waiting.pop_front() {
                self.respond(due);
            }
        }
    }

    fn respond(&mut self, due: Due) {
        // The client may have closed the connection; close() has counted that.
        let Some(connection) = self.connections.get_mut(&due.connection) else {
            return;
        };
        let request = &due.request;
        let is_bucket = request.path().ends_with(self.bucket_name.as_bytes());
        let length = match request.kind {
            RequestKind::Head => self.counters.blob_size(request),
            _ => None,
        };
        let sent = if due.throttle {
            self.counters.throttle_request();
            let busy = error_response("503 Server Busy", "ServerBusy", &request.method);
            connection.respond(&busy)
        } else {
            self.counters.complete_request(request);
            match request.kind {
                RequestKind::Put => {
                    if is_bucket {
                        self.bucket = Some(due.body);
                    }
                    connection.respond(&self.put_response)
                }
                RequestKind::List => {
                    let headers = "Content-Type: application/xml\r\n";
                    connection.respond(&response("200 OK", headers, NO_BLOBS.as_bytes()))
                }
                RequestKind::Delete => connection.respond(&response("202 Accepted", "", b"")),
                RequestKind::Get if is_bucket && self.bucket.is_some() => {
                    let blob = self.bucket.as_deref().unwrap_or_default();
                    let headers =
                        "Content-Type: application/octet-stream\r\nx-ms-blob-type: BlockBlob\r\n";
                    connection.respond(&response("200 OK", headers, blob))
                }
                // Other clients request the properties of the container.
                _ if request.value("restype") == Some("container") => {
                    connection.respond(&response("200 OK", "", b""))
                }
                // Other clients check the size of uploaded blobs.
                RequestKind::Head if length.is_some() => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\n{HEADERS}x-ms-blob-type: BlockBlob\r\n\
                         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                        length.unwrap_or_default()
                    );
                    connection.respond(head.as_bytes())
                }
                _ => {
                    let missing = error_response("404 Not Found", "BlobNotFound", &request.method);
                    connection.respond(&missing)
                }
            }
        };
        match sent {
            Ok(true) => {}
            Ok(false) => self.listen_for(due.connection, epoll::EventFlags::OUT),
            Err(_) => drop(self.connections.remove(&due.connection)),
        }
    }

    /// Continues to send a response.
    fn send_rest(&mut self, number: u64) -> io::Result<bool> {
        if let Some(connection) = self.connections.get_mut(&number)
            && connection.send_rest()?
        {
            self.listen_for(number, epoll::EventFlags::IN);
        }
        Ok(true)
    }

    fn listen_for(&mut self, number: u64, flags: epoll::EventFlags) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let data = epoll::EventData::new_u64(number);
        if epoll::modify(&self.poll, &connection.stream, data, flags).is_err() {
            self.close(number);
        }
    }
}
