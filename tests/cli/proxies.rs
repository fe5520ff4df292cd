//! Proxies from the environment. docs/reliability.md, "Proxies", names these tests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::support::azurite::{ACCOUNT, Azurite, container_sas};
use crate::support::command::{CommandOutput, Scratch, clfsload};

/// A proxy that connects all clients to one port of this host, whatever target they request.
struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that responds to `CONNECT` with `status`, and opens a tunnel if that is 200.
    fn start(status: &'static str, target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream, status, target, &seen));
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, status: &str, target: u16, seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    seen.lock()
        .unwrap()
        .push(String::from_utf8_lossy(&head).into_owned());
    write!(client, "HTTP/1.1 {status}\r\n\r\n").unwrap();
    if !status.starts_with("200") {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", target)).unwrap();
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upward = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Write);
    upward.join().unwrap();
}

fn certificate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls/certificate.pem")
}

fn azurite() -> (Azurite, u16) {
    let server = Azurite::start_with_tls(&certificate(), &certificate().with_file_name("key.pem"));
    let port = port(&server);
    (server, port)
}

fn port(server: &Azurite) -> u16 {
    let endpoint = server.endpoint();
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    port.split('/').next().unwrap().parse().unwrap()
}

/// Runs a load into a host that only a proxy can reach.
fn load(environment: &[(&str, &str)]) -> CommandOutput {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), "content").unwrap();
    let mut arguments = scratch.arguments("state", "a-container");
    arguments[2] = ACCOUNT.to_owned();
    let endpoint = format!("https://{ACCOUNT}.storage.test");
    let mut command = clfsload();
    command
        .args(arguments)
        .args([
            "--new",
            "--retry-patience",
            "1",
            "--blob-endpoint",
            &endpoint,
        ])
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            container_sas("a-container", "rwdl"),
        )
        .env("SSL_CERT_FILE", certificate())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

#[test]
fn a_proxy_is_used_as_a_tunnel() {
    let (_server, port) = azurite();
    let proxy = Proxy::start("200 OK", port);
    for name in ["HTTPS_PROXY", "all_proxy"] {
        let url = format!("http://user:pass%2Fword@127.0.0.1:{}", proxy.port);
        let ran = load(&[(name, &url)]);
        // The response is from Azurite, over TLS inside the tunnel.
        ran.refused(1, "the container does not exist");
    }
    let heads = proxy.heads();
    assert!(heads.len() >= 2, "{heads:?}");
    for head in heads {
        assert!(
            head.starts_with("CONNECT devstoreaccount1.storage.test:443 HTTP/1.1\r\n"),
            "{head}"
        );
        // user:pass/word
        assert!(head.contains("Basic dXNlcjpwYXNzL3dvcmQ="), "{head}");
        assert!(!head.contains("sig="), "{head}");
    }
}

#[test]
fn hosts_in_no_proxy_are_reached_directly() {
    let proxy = Proxy::start("200 OK", 1);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let ran = load(&[("HTTPS_PROXY", &url), ("NO_PROXY", "example.com,.test")]);
    ran.refused(1, "the host name could not be resolved");
    assert!(proxy.heads().is_empty());
}

#[test]
fn a_proxy_that_refuses_is_reported() {
    let proxy = Proxy::start("407 Proxy Authentication Required", 1);
    let url = format!("http://user:password@127.0.0.1:{}", proxy.port);
    let ran = load(&[("HTTPS_PROXY", &url)]);
    let message = format!(
        "the connection failed: via the proxy 127.0.0.1:{}: tunnel error: proxy authorization required",
        proxy.port
    );
    let ran = ran.refused(1, &message);
    assert!(!ran.stderr.contains("password"), "{ran:#?}");
    assert!(!proxy.heads().is_empty());
}

#[test]
fn a_missing_proxy_is_reported() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let ran = load(&[("https_proxy", &format!("http://user:password@{address}"))]);
    let message = format!("the connection failed: via the proxy {address}: ");
    let ran = ran.refused(1, &message);
    assert!(ran.stderr.contains("refused"), "{ran:#?}");
    assert!(!ran.stderr.contains("password"), "{ran:#?}");
    // Errors of the service behind a working proxy do not mention the proxy.
    let server = Azurite::shared();
    let proxy = Proxy::start("200 OK", port(&server));
    let ran = load(&[("https_proxy", &format!("http://127.0.0.1:{}", proxy.port))]);
    let ran = ran.refused(1, "the TLS connection cannot be trusted");
    assert!(!ran.stderr.contains("via the proxy"), "{ran:#?}");
}

#[test]
fn an_unusable_proxy_is_refused() {
    for (value, problem) in [
        (
            "socks5://user:secret@127.0.0.1:1080",
            "is neither http nor https",
        ),
        ("http://user:se#cret@127.0.0.1:3128", "is invalid"),
    ] {
        let ran = load(&[("ALL_PROXY", value)]);
        let message = format!("the proxy of the environment variable ALL_PROXY {problem}");
        let ran = ran.refused(1, &message);
        assert!(!ran.stderr.contains("cret"), "{ran:#?}");
    }
}
