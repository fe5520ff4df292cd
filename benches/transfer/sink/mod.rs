//! A blob service that keeps nothing, in a process of its own, so that what it costs is not counted
//! as the client's.
//!
//! It answers after a delay or refuses above a rate, if it is told to, and counts what comes.

mod connection;
mod counts;
mod server;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use counts::{BIN, Report};
pub(crate) use server::serve;

/// The first word of the process that is the sink.
pub(crate) const ROLE: &str = "as-sink";

/// Where the counts are; no account of Azure's is called like this.
const CONTROL_PATH: &[u8] = b"/-/";
const REPORT_PATH: &str = "/-/report";
const RESET_PATH: &str = "/-/reset";

/// How requests are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pace {
    /// Between the last byte of a request and its answer.
    pub(crate) delay: Duration,
    /// Requests per second; those above it are answered 503.
    pub(crate) rate: Option<u32>,
}

impl Pace {
    /// Answers at once.
    pub(crate) const AT_ONCE: Pace = Pace {
        delay: Duration::ZERO,
        rate: None,
    };

    /// Answers after a while.
    pub(crate) fn after(delay: Duration) -> Self {
        Pace { delay, rate: None }
    }

    fn words(self) -> [String; 2] {
        let rate = self.rate.map_or("-".to_owned(), |rate| rate.to_string());
        [self.delay.as_micros().to_string(), rate]
    }

    /// Reads what [`words`](Self::words) made.
    pub(crate) fn parse(words: &[OsString]) -> Option<Self> {
        let [delay, rate] = words else { return None };
        Some(Pace {
            delay: Duration::from_micros(delay.to_str()?.parse().ok()?),
            rate: match rate.to_str()? {
                "-" => None,
                rate => Some(rate.parse().ok()?),
            },
        })
    }
}

/// The running service; it ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Sink {
    process: Child,
    port: u16,
}

impl Sink {
    pub(crate) fn start(pace: Pace) -> io::Result<Sink> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .args(pace.words())
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
            .map_err(|_| io::Error::other("the sink does not start"))?;
        Ok(Sink { process, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The blob endpoint of the account.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/account", self.port)
    }

    /// What came since the start or the last [`reset`](Self::reset).
    pub(crate) fn report(&self) -> io::Result<Report> {
        let text = self.ask("GET", REPORT_PATH)?;
        Report::parse(&text).ok_or_else(|| io::Error::other(format!("the sink says {text:?}")))
    }

    /// Begins to count anew; what a resume reads stays.
    pub(crate) fn reset(&self) -> io::Result<()> {
        self.ask("POST", RESET_PATH).map(drop)
    }

    fn ask(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("{method} {path} HTTP/1.1\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(body.to_owned())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // If it is gone already, there is nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
