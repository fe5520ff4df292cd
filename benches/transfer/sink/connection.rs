//! One connection of the sink: reads requests and discards their bodies.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::CONTROL_PATH;
use super::counters::RequestKind;

/// Longer heads are rejected: clients of Azure send shorter ones.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Longer kept bodies are rejected: the bucket object is shorter.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// A request without its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: RequestKind,
    pub(super) method: Vec<u8>,
    /// Path and query.
    pub(super) target: Vec<u8>,
    /// The length of the body.
    pub(super) length: u64,
    /// Whether the body is sent in chunks, without a length.
    is_chunked: bool,
}

impl Request {
    pub(super) fn path(&self) -> &[u8] {
        let path = self.target.split(|byte| *byte == b'?').next();
        path.unwrap_or_default()
    }

    /// Returns a value of the query without decoding it.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let query = self.target.split(|byte| *byte == b'?').nth(1)?;
        query.split(|byte| *byte == b'&').find_map(|pair| {
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        })
    }
}

/// The result of one parsing step.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes are needed.
    Wait,
    /// The head of a request is complete.
    Head(RequestKind),
    /// A piece of a body was read, of this many bytes.
    Body(usize),
    /// The request is complete. The body is empty unless it was kept.
    Complete(Request, Vec<u8>),
}

#[derive(Debug)]
enum State {
    Head,
    Body {
        request: Request,
        left: u64,
        kept: Option<Vec<u8>>,
    },
    Responding,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    state: State,
    /// The bytes of an incomplete head.
    head: Vec<u8>,
    /// The bytes of a response that the socket has not accepted yet.
    unsent: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Connection {
            stream,
            state: State::Head,
            head: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Reads the available bytes into `buffer`. Returns `None` if there are none, and 0 at the end of the
    /// stream.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a request has no response yet.
    pub(super) fn is_in_flight(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Consumes the bytes of the next step. `keep` selects the requests whose body is kept.
    pub(super) fn step(
        &mut self,
        bytes: &mut &[u8],
        keep: impl Fn(&Request) -> bool,
    ) -> io::Result<Step> {
        match &mut self.state {
            State::Responding => {
                // The measured clients do not pipeline requests.
                match bytes.is_empty() {
                    true => Ok(Step::Wait),
                    false => Err(io::Error::other("a pipelined request")),
                }
            }
            State::Head => {
                let Some(request) = take_head(&mut self.head, bytes)? else {
                    return Ok(Step::Wait);
                };
                if request.is_chunked {
                    return Err(io::Error::other("a chunked request body"));
                }
                let kind = request.kind;
                self.state = State::Body {
                    left: request.length,
                    kept: keep(&request).then(Vec::new),
                    request,
                };
                Ok(Step::Head(kind))
            }
            State::Body {
                request,
                left,
                kept,
            } => {
                if *left == 0 {
                    let body = kept.take().unwrap_or_default();
                    let complete = Step::Complete(request.clone(), body);
                    self.state = State::Responding;
                    return Ok(complete);
                }
                let piece = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                if piece == 0 {
                    return Ok(Step::Wait);
                }
                let (taken, rest) = bytes.split_at(piece);
                if let Some(kept) = kept {
                    if kept.len() + piece > MAX_KEPT_BYTES {
                        return Err(io::Error::other("the bucket object is too long"));
                    }
                    kept.extend_from_slice(taken);
                }
                *bytes = rest;
                *left -= piece as u64;
                Ok(Step::Body(piece))
            }
        }
    }

    /// Sends a response. Returns whether the socket accepted all of it.
    pub(super) fn respond(&mut self, response: &[u8]) -> io::Result<bool> {
        self.state = State::Head;
        self.unsent.extend_from_slice(response);
        self.send_rest()
    }

    /// Continues to send a response. Returns whether the socket accepted all of it.
    pub(super) fn send_rest(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Consumes a head from the front of `bytes`. `before` holds the part of it that was received earlier.
fn take_head(before: &mut Vec<u8>, bytes: &mut &[u8]) -> io::Result<Option<Request>> {
    let found = match before.is_empty() {
        true => end_of_head(bytes),
        false => None,
    };
    // A head that arrives in one piece is not copied.
    if let Some(end) = found {
        let (head, rest) = bytes.split_at(end);
        *bytes = rest;
        return read_head(head).map(Some);
    }
    // The end of the head may span both parts, so both are searched.
    let old = before.len();
    before.extend_from_slice(bytes);
    match end_of_head(before) {
        Some(end) => {
            let request = read_head(before.get(..end).unwrap_or_default())?;
            *bytes = bytes.get(end.saturating_sub(old)..).unwrap_or_default();
            before.clear();
            Ok(Some(request))
        }
        None if before.len() > MAX_HEAD_BYTES => Err(io::Error::other("the head is too long")),
        None => {
            *bytes = &[];
            Ok(None)
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

fn read_head(head: &[u8]) -> io::Result<Request> {
    let malformed = || io::Error::other("a malformed head");
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut fields = lines
        .next()
        .ok_or_else(malformed)?
        .split(|byte| *byte == b' ');
    let method = fields.next().ok_or_else(malformed)?.to_vec();
    let target = fields.next().ok_or_else(malformed)?.to_vec();
    let (mut length, mut is_chunked) = (0, false);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(value).map_err(|_| malformed())?;
            length = value
                .trim_start_matches(':')
                .trim()
                .parse()
                .map_err(|_| malformed())?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            is_chunked = true;
        }
    }
    let mut request = Request {
        kind: RequestKind::Other,
        method,
        target,
        length,
        is_chunked,
    };
    request.kind = match request.method.as_slice() {
        _ if request.target.starts_with(CONTROL_PATH) => RequestKind::Control,
        b"PUT" => RequestKind::Put,
        b"GET" if request.value("comp") == Some("list") => RequestKind::List,
        b"GET" => RequestKind::Get,
        b"HEAD" => RequestKind::Head,
        b"DELETE" => RequestKind::Delete,
        _ => RequestKind::Other,
    };
    Ok(request)
}
