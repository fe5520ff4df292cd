//! A blob service that counts requests and discards their content. It runs in a separate process, so
//! that its CPU time is not counted as the client's.
//!
//! Optionally it responds after a delay, or throttles above a rate.

mod connection;
mod counters;
mod server;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use counters::{BIN, Report};
pub(crate) use server::serve;

/// The first argument of the process that runs the sink.
pub(crate) const ROLE: &str = "as-sink";

/// The path of the counters, which is not a valid account name.
const CONTROL_PATH: &[u8] = b"/-/";
const REPORT_PATH: &str = "/-/report";
const RESET_PATH: &str = "/-/reset";

/// How the sink responds to requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ResponsePolicy {
    /// The time from the last byte of a request to its response.
    pub(crate) delay: Duration,
    /// Maximum requests per second; the sink responds 503 to those above it.
    pub(crate) rate: Option<u32>,
}

impl ResponsePolicy {
    /// Responds immediately.
    pub(crate) const IMMEDIATE: ResponsePolicy = ResponsePolicy {
        delay: Duration::ZERO,
        rate: None,
    };

    /// Responds after `delay`.
    pub(crate) fn delayed(delay: Duration) -> Self {
        ResponsePolicy { delay, rate: None }
    }

    fn to_arguments(self) -> [String; 2] {
        let rate = self.rate.map_or("-".to_owned(), |rate| rate.to_string());
        [self.delay.as_micros().to_string(), rate]
    }

    /// Parses the result of [`to_arguments`](Self::to_arguments).
    pub(crate) fn parse(arguments: &[OsString]) -> Option<Self> {
        let [delay, rate] = arguments else {
            return None;
        };
        Some(ResponsePolicy {
            delay: Duration::from_micros(delay.to_str()?.parse().ok()?),
            rate: match rate.to_str()? {
                "-" => None,
                rate => Some(rate.parse().ok()?),
            },
        })
    }
}

/// The running service. It exits when this value is dropped or this process exits.
#[derive(Debug)]
pub(crate) struct Sink {
    process: Child,
    port: u16,
}

impl Sink {
    pub(crate) fn start(policy: ResponsePolicy) -> io::Result<Sink> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .args(policy.to_arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other("the sink failed to start"))?;
        Ok(Sink { process, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the blob endpoint of the account.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/account", self.port)
    }

    /// Returns the counts since the start or the last [`reset`](Self::reset).
    pub(crate) fn report(&self) -> io::Result<Report> {
        let text = self.request("GET", REPORT_PATH)?;
        Report::parse(&text).ok_or_else(|| io::Error::other(format!("the sink responded {text:?}")))
    }

    /// Resets the counters. The bucket object, which a resume reads, is kept.
    pub(crate) fn reset(&self) -> io::Result<()> {
        self.request("POST", RESET_PATH).map(drop)
    }

    fn request(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("{method} {path} HTTP/1.1\r\n\r\n").as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (_, body) = response.split_once("\r\n\r\n").unwrap_or_default();
        Ok(body.to_owned())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Errors mean that the process has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
