//! A blob service that stores nothing: it accepts every upload, optionally with delays, and lists an empty container.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// How the service responds to uploads.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// With delays.
    Slow {
        /// The delay before every 64 KiB of the body, and before the response.
        wait: Duration,
    },
    /// Immediately.
    Fast,
    /// Immediately to the first uploads. It never responds to later ones.
    Never {
        /// The number of uploads that get a response.
        after: u64,
    },
}

/// Counts of received uploads.
#[derive(Debug, Default)]
struct Counts {
    puts: AtomicU64,
    bytes: AtomicU64,
}

/// The service. Its threads run until the test process exits.
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

    /// Returns the account, the container and the token as arguments of a load.
    pub fn arguments(&self) -> [String; 3] {
        [
            format!("http://127.0.0.1:{}/account", self.port),
            "container".to_owned(),
            "sv=2020-12-06&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln".to_owned(),
        ]
    }

    /// Returns the number of complete uploads.
    pub fn puts(&self) -> u64 {
        self.counts.puts.load(SeqCst)
    }

    /// Returns the content bytes of the complete uploads.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(SeqCst)
    }
}

const EMPTY_LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://127.0.0.1/\" \
    ContainerName=\"container\"><Blobs /><NextMarker /></EnumerationResults>";

/// Serves requests until the client closes the connection.
fn serve(mut stream: TcpStream, pace: Pace, counts: &Counts) {
    while let Some((is_put, length)) = request(&mut stream) {
        if !is_put {
            respond(&mut stream, "200 OK", EMPTY_LIST);
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
        respond(&mut stream, "201 Created", "");
    }
}

/// Reads the head of a request. Returns whether it is a Put Blob request, and the length of its body.
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

fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"1\"\r\nLast-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
         x-ms-request-id: 8b5d3c1e-0000-0000-0000-000000000000\r\nDate: Fri, 01 Jan 2021 00:00:00 GMT\r\n\
         x-ms-request-server-encrypted: true\r\nx-ms-version: 2020-12-06\r\nContent-Type: application/xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The client may have closed the connection.
    let _ = stream.write_all(head.as_bytes());
}
