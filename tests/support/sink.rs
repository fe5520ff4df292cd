//! A blob service that keeps nothing: it takes every put, slowly if it is told to, and lists an
//! empty container.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// How puts are answered.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// One after the other on each connection, with waits.
    Slow {
        /// The wait before every 64 KiB of the body, and before the answer.
        wait: Duration,
    },
    /// All at once.
    Fast,
    /// The first so many at once, those after them never.
    Never {
        /// Puts that are answered.
        after: u64,
    },
}

/// Counts of what came.
#[derive(Debug, Default)]
struct Counts {
    puts: AtomicU64,
    bytes: AtomicU64,
}

/// The service; its threads end with the test process.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    counts: Arc<Counts>,
}

impl Sink {
    pub fn start(pace: Pace) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, pace, &counts));
            }
        });
        Sink { port, counts }
    }

    /// Account, container and token of a load into it.
    pub fn words(&self) -> [String; 3] {
        [
            format!("http://127.0.0.1:{}/account", self.port),
            "container".to_owned(),
            "sv=2020-12-06&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln".to_owned(),
        ]
    }

    /// Puts that were received whole.
    pub fn puts(&self) -> u64 {
        self.counts.puts.load(SeqCst)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(SeqCst)
    }
}

const EMPTY_LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://127.0.0.1/\" \
    ContainerName=\"container\"><Blobs /><NextMarker /></EnumerationResults>";

/// Until the other side closes the connection.
fn serve(mut stream: TcpStream, pace: Pace, counts: &Counts) {
    while let Some((is_put, length)) = request(&mut stream) {
        if !is_put {
            answer(&mut stream, "200 OK", EMPTY_LIST);
            continue;
        }
        let mut left = length;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            if let Pace::Slow { wait } = pace {
                std::thread::sleep(wait);
            }
            let piece = buffer.len().min(left as usize);
            if stream.read_exact(&mut buffer[..piece]).is_err() {
                return;
            }
            left -= piece as u64;
        }
        let number = counts.puts.fetch_add(1, SeqCst);
        counts.bytes.fetch_add(length, SeqCst);
        match pace {
            Pace::Slow { wait } => std::thread::sleep(wait),
            Pace::Never { after } if number >= after => {
                std::thread::sleep(Duration::from_secs(3600));
            }
            Pace::Fast | Pace::Never { .. } => {}
        }
        answer(&mut stream, "201 Created", "");
    }
}

/// Whether it is a put, and the length of its body.
fn request(stream: &mut TcpStream) -> Option<(bool, u64)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    Some((head.starts_with("put "), length))
}

fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"1\"\r\nLast-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
         x-ms-request-id: 8b5d3c1e-0000-0000-0000-000000000000\r\nDate: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
         x-ms-request-server-encrypted: true\r\nx-ms-version: 2020-12-06\r\nContent-Type: application/xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The other side may have gone.
    let _ = stream.write_all(head.as_bytes());
}
