//! One connection of the sink: requests are read, their bodies dropped.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::CONTROL_PATH;
use super::counts::Kind;

/// A head that is longer is no request of a client of Azure's.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// A kept body that is longer is no bucket object.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// A request without its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) method: Vec<u8>,
    /// Path and query.
    pub(super) target: Vec<u8>,
    /// Of the body.
    pub(super) length: u64,
    /// Neither a length nor anything else tells where the body ends.
    chunked: bool,
}

impl Request {
    pub(super) fn path(&self) -> &[u8] {
        let path = self.target.split(|byte| *byte == b'?').next();
        path.unwrap_or_default()
    }

    /// A value of the query, as it was written.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let query = self.target.split(|byte| *byte == b'?').nth(1)?;
        query.split(|byte| *byte == b'&').find_map(|pair| {
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        })
    }
}

/// What a connection has to tell.
#[derive(Debug)]
pub(super) enum Step {
    /// More must come first.
    Wait,
    /// A head is here.
    Head(Kind),
    /// A piece of a body.
    Body(usize),
    /// The request is here whole; with the body, if it was to be kept.
    Whole(Request, Vec<u8>),
}

#[derive(Debug)]
enum State {
    Head,
    Body {
        request: Request,
        left: u64,
        kept: Option<Vec<u8>>,
    },
    Answer,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    state: State,
    /// Bytes of a head that is not whole.
    head: Vec<u8>,
    /// Bytes of an answer that the socket did not take.
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

    /// Reads what is there, at most what `buffer` holds; 0 bytes mean that the other side closed.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a request arrived that has no answer yet.
    pub(super) fn is_inside(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Takes from `bytes` what belongs to the next step. `keep` tells of which requests the body is
    /// kept.
    pub(super) fn step(
        &mut self,
        bytes: &mut &[u8],
        keep: impl Fn(&Request) -> bool,
    ) -> io::Result<Step> {
        match &mut self.state {
            State::Answer => {
                // The clients here send no request before they have the answer to the last.
                match bytes.is_empty() {
                    true => Ok(Step::Wait),
                    false => Err(io::Error::other("a request before the answer to the last")),
                }
            }
            State::Head => {
                let Some(request) = take_head(&mut self.head, bytes)? else {
                    return Ok(Step::Wait);
                };
                if request.chunked {
                    return Err(io::Error::other("a body in chunks"));
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
                    let whole = Step::Whole(request.clone(), kept.take().unwrap_or_default());
                    self.state = State::Answer;
                    return Ok(whole);
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

    /// Sends an answer; whether all of it is gone. After it the next request may come.
    pub(super) fn answer(&mut self, answer: &[u8]) -> io::Result<bool> {
        self.state = State::Head;
        self.unsent.extend_from_slice(answer);
        self.send_rest()
    }

    /// Goes on with an answer that was not taken whole; whether it is gone now.
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

/// Takes a head off the front of `bytes`, after what of it came before.
fn take_head(before: &mut Vec<u8>, bytes: &mut &[u8]) -> io::Result<Option<Request>> {
    let found = match before.is_empty() {
        true => end_of_head(bytes),
        false => None,
    };
    // The usual case copies nothing: the head came whole.
    if let Some(end) = found {
        let (head, rest) = bytes.split_at(end);
        *bytes = rest;
        return read_head(head).map(Some);
    }
    // The end may lie across the border, so the search goes over both.
    let old = before.len();
    before.extend_from_slice(bytes);
    match end_of_head(before) {
        Some(end) => {
            let request = read_head(before.get(..end).unwrap_or_default())?;
            *bytes = bytes.get(end.saturating_sub(old)..).unwrap_or_default();
            before.clear();
            Ok(Some(request))
        }
        None if before.len() > MAX_HEAD_BYTES => Err(io::Error::other("the head does not end")),
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
    let mut words = lines
        .next()
        .ok_or_else(malformed)?
        .split(|byte| *byte == b' ');
    let method = words.next().ok_or_else(malformed)?.to_vec();
    let target = words.next().ok_or_else(malformed)?.to_vec();
    let (mut length, mut chunked) = (0, false);
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
            chunked = true;
        }
    }
    let mut request = Request {
        kind: Kind::Other,
        method,
        target,
        length,
        chunked,
    };
    request.kind = match request.method.as_slice() {
        _ if request.target.starts_with(CONTROL_PATH) => Kind::Control,
        b"PUT" => Kind::Put,
        b"GET" if request.value("comp") == Some("list") => Kind::List,
        b"GET" => Kind::Get,
        b"HEAD" => Kind::Head,
        b"DELETE" => Kind::Delete,
        _ => Kind::Other,
    };
    Ok(request)
}
