//! The sink's loop: one thread and epoll(7), so that thousands of requests can wait for their answer
//! and the client has the rest of the machine.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::connection::{Connection, Request, Step};
use super::counts::{Counts, Kind};
use super::{Pace, REPORT_PATH, RESET_PATH};
use crate::child::raise_open_files;

const RECEIVE_BYTES: usize = 256 << 10;
/// The number of the listening socket; connections are counted from 1.
const LISTENER: u64 = 0;

/// What Azure says with every answer, as far as clients look at it.
const HEADERS: &str = "x-ms-request-id: 8b5d3c1e-0000-0000-0000-000000000000\r\n\
    x-ms-version: 2022-11-02\r\nDate: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
    Last-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\nETag: \"0x8D8AD8D8AD8D8AD\"\r\n";
const NO_BLOBS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
    ServiceEndpoint=\"http://127.0.0.1/\" ContainerName=\"container\"><Blobs /><NextMarker /></EnumerationResults>";

/// An answer that waits for its time.
struct Due {
    at: Instant,
    connection: u64,
    request: Request,
    body: Vec<u8>,
    refuse: bool,
}

struct Server {
    poll: OwnedFd,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next: u64,
    pace: Pace,
    /// In the order of their times, since all wait equally long.
    waiting: VecDeque<Due>,
    counts: Counts,
    /// Requests that the rate allows now, and as of when.
    allowed: (f64, Instant),
    bucket_name: String,
    bucket: Option<Vec<u8>>,
    /// In chunks, of which the empty one is the only, as Azure's are.
    put_answer: Vec<u8>,
}

/// Serves until standard input ends; tells its port on standard output.
pub(crate) fn serve(pace: Pace) -> io::Result<()> {
    // The process that started this one may be killed: its end of the pipe closes then.
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
        pace,
        waiting: VecDeque::new(),
        counts: Counts::new(),
        allowed: (0.0, Instant::now()),
        bucket_name: clfs_format::ObjectName::bucket().to_string(),
        bucket: None,
        put_answer: format!(
            "HTTP/1.1 201 Created\r\n{HEADERS}x-ms-request-server-encrypted: true\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        .into_bytes(),
    };
    server.run()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\n{HEADERS}{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A refusal as Azure words it. An answer to HEAD has no body.
fn refusal(status: &str, code: &str, method: &[u8]) -> Vec<u8> {
    let body = match method {
        b"HEAD" => String::new(),
        _ => format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        ),
    };
    let headers = format!("x-ms-error-code: {code}\r\nContent-Type: application/xml\r\n");
    answer(status, &headers, body.as_bytes())
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
            self.answer_due();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The other side is gone already.
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
                // Connections of a client that was killed are reset; that is no news.
                if error.kind() == io::ErrorKind::Other {
                    eprintln!("sink: {error}");
                }
                self.close(number);
            }
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number)
            && connection.is_inside()
        {
            self.counts.gone();
        }
    }

    /// Whether the connection stays.
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
            let keep =
                |request: &Request| request.kind == Kind::Put && request.path().ends_with(name);
            match connection.step(&mut bytes, keep)? {
                Step::Wait => return Ok(true),
                Step::Head(kind) => self.counts.arrived(kind),
                Step::Body(length) => self.counts.body(length),
                Step::Whole(request, body) => self.received(number, request, body)?,
            }
        }
    }

    /// A request is here whole: it waits for its answer, or has it now.
    fn received(&mut self, number: u64, request: Request, body: Vec<u8>) -> io::Result<()> {
        let control = match request.target.as_slice() {
            target if target == REPORT_PATH.as_bytes() => Some(self.counts.report().text()),
            target if target == RESET_PATH.as_bytes() => Some(String::new()),
            _ => None,
        };
        if let Some(text) = control {
            if request.target == RESET_PATH.as_bytes() {
                self.counts.reset();
            }
            // The one who asked reads to the end; all of this fits into a socket's buffer, or is sent
            // while nothing else is served.
            if let Some(mut connection) = self.connections.remove(&number) {
                connection.stream.set_nonblocking(false)?;
                connection.answer(&answer("200 OK", "", text.as_bytes()))?;
            }
            return Ok(());
        }
        let refuse = !self.allow();
        let due = Due {
            at: Instant::now() + self.pace.delay,
            connection: number,
            request,
            body,
            refuse,
        };
        match self.pace.delay.is_zero() {
            true => self.answer(due),
            false => self.waiting.push_back(due),
        }
        Ok(())
    }

    /// Whether the rate allows one more request: a bucket of tokens that holds a tenth of a second's.
    fn allow(&mut self) -> bool {
        let Some(rate) = self.pace.rate.map(f64::from) else {
            return true;
        };
        let now = Instant::now();
        let (left, as_of) = self.allowed;
        let grown = left + now.duration_since(as_of).as_secs_f64() * rate;
        let allowed = grown.min((rate / 10.0).max(1.0));
        let allow = allowed >= 1.0;
        self.allowed = (allowed - f64::from(u8::from(allow)), now);
        allow
    }

    fn answer_due(&mut self) {
        // A little early is nearer to the delay than one more wait.
        let now = Instant::now() + Duration::from_micros(50);
        while self.waiting.front().is_some_and(|due| due.at <= now) {
            if let Some(due) = self.waiting.pop_front() {
                self.answer(due);
            }
        }
    }

    fn answer(&mut self, due: Due) {
        // The client may have gone meanwhile; close() has counted that.
        let Some(connection) = self.connections.get_mut(&due.connection) else {
            return;
        };
        let request = &due.request;
        let is_bucket = request.path().ends_with(self.bucket_name.as_bytes());
        let length = match request.kind {
            Kind::Head => self.counts.length_of(request),
            _ => None,
        };
        let sent = if due.refuse {
            self.counts.refused();
            let busy = refusal("503 Server Busy", "ServerBusy", &request.method);
            connection.answer(&busy)
        } else {
            self.counts.answered(request);
            match request.kind {
                Kind::Put => {
                    if is_bucket {
                        self.bucket = Some(due.body);
                    }
                    connection.answer(&self.put_answer)
                }
                Kind::List => {
                    let kind = "Content-Type: application/xml\r\n";
                    connection.answer(&answer("200 OK", kind, NO_BLOBS.as_bytes()))
                }
                Kind::Delete => connection.answer(&answer("202 Accepted", "", b"")),
                Kind::Get if is_bucket && self.bucket.is_some() => {
                    let blob = self.bucket.as_deref().unwrap_or_default();
                    let headers =
                        "Content-Type: application/octet-stream\r\nx-ms-blob-type: BlockBlob\r\n";
                    connection.answer(&answer("200 OK", headers, blob))
                }
                // Other clients look at what they have put.
                // Properties of the container, which other clients ask for.
                _ if request.value("restype") == Some("container") => {
                    connection.answer(&answer("200 OK", "", b""))
                }
                // Other clients look at what they have put: the length without the bytes.
                Kind::Head if length.is_some() => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\n{HEADERS}x-ms-blob-type: BlockBlob\r\n\
                         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                        length.unwrap_or_default()
                    );
                    connection.answer(head.as_bytes())
                }
                _ => {
                    let missing = refusal("404 Not Found", "BlobNotFound", &request.method);
                    connection.answer(&missing)
                }
            }
        };
        match sent {
            Ok(true) => {}
            Ok(false) => self.listen_for(due.connection, epoll::EventFlags::OUT),
            Err(_) => drop(self.connections.remove(&due.connection)),
        }
    }

    /// Goes on with an answer.
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
