//! The part of HTTP/1.1 that the proxy needs: the heads of requests, and its own responses.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clfsload::container::Operation;

pub(super) fn signature(head: &str) -> String {
    let (_, after) = head.split_once("sig=").unwrap_or_default();
    let end = after.find(['&', ' ']).unwrap_or(after.len());
    after[..end].to_owned()
}

/// Reads the head of the next request. The content stays in the socket.
pub(super) fn read_head(mut stream: &TcpStream) -> io::Result<Option<String>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let available = stream.peek(&mut buffer)?;
        if available == 0 {
            return Ok(None);
        }
        let end = buffer[..available]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let mut head = vec![0; end + 4];
            stream.read_exact(&mut head)?;
            return Ok(Some(String::from_utf8(head).unwrap()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(super) fn header<'h>(head: &'h str, header: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(header).then(|| value.trim())
    })
}

pub(super) fn target(head: &str) -> (Operation, String) {
    let mut parts = head.split(' ');
    let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let blob = path.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    let operation = match method {
        "PUT" => Operation::Put,
        "DELETE" => Operation::Delete,
        _ if query.contains("comp=list") => Operation::List,
        _ => Operation::Get,
    };
    (operation, blob)
}

/// Forwards a request. Returns the complete response, changed into one that keeps the connection open.
pub(super) fn forward(service: u16, head: &str, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", service))?;
    stream.set_nodelay(true)?;
    let (first, rest) = head.split_once("\r\n").unwrap();
    stream.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes())?;
    stream.write_all(content)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let end = response.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    let content = response.split_off(end + 4);
    let head = String::from_utf8(response).unwrap();
    let mut kept: Vec<&str> = head.trim_end().split("\r\n").collect();
    kept.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let length = format!("Content-Length: {}", content.len());
    if header(&head, "content-length").is_none() && header(&head, "transfer-encoding").is_none() {
        kept.push(&length);
    }
    let mut response = (kept.join("\r\n") + "\r\n\r\n").into_bytes();
    response.extend_from_slice(&content);
    Ok(response)
}

/// Responds with content that ends only when the client closes the connection.
pub(super) fn endless(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nx-ms-request-id: proxy\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + (64 << 10), b'x');
    chunk.extend_from_slice(b"\r\n");
    loop {
        stream.write_all(&chunk)?;
    }
}

pub(super) fn refusal(status: u16, code: &str, detail: &str, retry_after: Option<u64>) -> Vec<u8> {
    let now = httpdate();
    let content = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>The request was \
         refused.\nRequestId:0\nTime:{now}</Message>{detail}</Error>"
    );
    let wait = retry_after.map_or(String::new(), |seconds| {
        format!("Retry-After: {seconds}\r\n")
    });
    format!(
        "HTTP/1.1 {status} Refused\r\nx-ms-error-code: {code}\r\nx-ms-request-id: proxy\r\nDate: {now}\r\n{wait}\
         Content-Type: application/xml\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
    .into_bytes()
}

/// Returns the current time in the format of HTTP.
fn httpdate() -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
