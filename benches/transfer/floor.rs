//! The floor: a bare HTTP client that uploads the same bytes from memory and does nothing else.
//!
//! The additional cost of a load is that of reading the source, encoding, and storing its state.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;

use crate::child::{ProcessStats, own_cpu, raise_open_files, run_to_end};
use crate::content::{Sequence, fill};
use crate::sink::Sink;
use crate::trees::{Shape, TreeKind};

/// The first argument of the process that runs the floor.
pub(crate) const ROLE: &str = "as-floor";

/// The maximum bytes of a request: those of a segment.
const PIECE_BYTES: u64 = clfs_format::FILE_SEGMENT_BYTES;
/// Bodies are slices of this many bytes: more than the CPU caches hold, less than a tree.
const POOL_BYTES: u64 = 32 << 20;
/// On a machine with two cores, more connections cost a little more CPU and fewer leave it idle.
const CONNECTIONS: usize = 16;

/// The measurements of the floor.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    /// User and system time of the uploads alone.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) peak: u64,
    pub(crate) puts: u64,
}

/// Uploads bodies of the sizes of the tree's files from a child process.
pub(crate) fn run(sink: &Sink, kind: TreeKind) -> io::Result<Floor> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(ROLE)
        .arg(sink.port().to_string())
        .arg(kind.name())
        .stdin(Stdio::null())
        .stdout(writer);
    let ProcessStats { status, peak, .. } = run_to_end(&mut command, None)?;
    // The pipe reaches its end when all writers are closed.
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line)?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    match (status, figures.as_slice()) {
        (Some(0), [cpu, wall, puts]) => Ok(Floor {
            cpu: Duration::from_micros(*cpu),
            wall: Duration::from_micros(*wall),
            peak,
            puts: *puts,
        }),
        _ => Err(io::Error::other(format!(
            "the floor exited with {status:?} and printed {line:?}"
        ))),
    }
}

/// Runs the child process; `arguments` are the sink's port and the tree's name. Prints figures or an
/// error for [`run`].
pub(crate) fn upload_all(arguments: &[OsString]) -> io::Result<()> {
    if let Err(error) = measure(arguments) {
        println!("{error}");
        std::process::exit(1);
    }
    Ok(())
}

fn measure(arguments: &[OsString]) -> io::Result<()> {
    let invalid = || io::Error::other("expected the port of the sink and the kind of tree");
    let [port, name] = arguments else {
        return Err(invalid());
    };
    let port: u16 = port
        .to_str()
        .and_then(|port| port.parse().ok())
        .ok_or_else(invalid)?;
    let kind = TreeKind::from_name(name).ok_or_else(invalid)?;
    raise_open_files()?;
    let bodies = Arc::new(bodies(kind.shape()));
    // Two threads would cost more CPU, because they wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (cpu, wall) = (own_cpu()?, Instant::now());
    runtime.block_on(upload(port, &bodies))?;
    let (cpu, wall) = (own_cpu()? - cpu, wall.elapsed());
    println!("{} {} {}", cpu.as_micros(), wall.as_micros(), bodies.len());
    Ok(())
}

/// Returns bodies of the sizes of the tree's files, split into pieces of at most [`PIECE_BYTES`].
pub(crate) fn bodies(shape: Shape) -> Vec<Bytes> {
    let mut sequence = Sequence::new(1);
    let mut pool = Vec::new();
    let length = POOL_BYTES.min(shape.bytes().max(1));
    fill(
        shape.content_kind(),
        &mut sequence,
        length as usize,
        &mut pool,
    );
    let pool = Bytes::from(pool);
    let mut at = 0;
    let mut bodies = Vec::new();
    for size in shape.sizes() {
        let mut left = size;
        loop {
            let piece = left.min(PIECE_BYTES).min(length);
            if at + piece > length {
                at = 0;
            }
            bodies.push(pool.slice(at as usize..(at + piece) as usize));
            at += piece;
            left -= piece;
            if left == 0 {
                break;
            }
        }
    }
    bodies
}

async fn upload(port: u16, bodies: &Arc<Vec<Bytes>>) -> io::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(connection(port, Arc::clone(bodies), Arc::clone(&next))))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Uploads one body at a time, until the connections have uploaded all bodies.
async fn connection(port: u16, bodies: Arc<Vec<Bytes>>, next: Arc<AtomicUsize>) -> io::Result<()> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(body) = bodies.get(number) else {
            break;
        };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!(
                "/account/container/{number:032x}.{number:032x}.floor?sv=2022-11-02&sr=c&sp=rwdl&sig=c2ln"
            ))
            .header("host", "127.0.0.1")
            .header("x-ms-blob-type", "BlockBlob")
            .header("x-ms-version", "2022-11-02")
            .header("content-type", "application/octet-stream")
            .body(Full::new(body.clone()))
            .map_err(io::Error::other)?;
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        if response.status() != hyper::StatusCode::CREATED {
            return Err(io::Error::other(format!(
                "the sink responded {}",
                response.status()
            )));
        }
        response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
    }
    drop(sender);
    connection.await?.map_err(io::Error::other)
}
