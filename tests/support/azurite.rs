//! An Azurite server for tests on a free port, and SAS tokens for one container.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use humantime::format_rfc3339_seconds;
use sha2::Sha256;
use tempfile::TempDir;
use url::form_urlencoded;

/// The default account of Azurite.
pub const ACCOUNT: &str = "devstoreaccount1";

/// The key of that account, which is published in Azurite's documentation.
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The version of the strings to sign.
const SAS_VERSION: &str = "2021-12-02";

/// A running server. It stops on drop, and also if the test process is killed.
pub struct Azurite {
    process: Child,
    scheme: &'static str,
    port: u16,
    _data: TempDir,
}

impl Azurite {
    /// Returns the server that the tests of one process share. The server stops when its last user drops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// Starts a separate server.
    pub fn start() -> Self {
        Self::start_with(&[], "http")
    }

    /// Starts a separate server with TLS.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap());
        Self::start_with(&["--cert", certificate, "--key", key], "https")
    }

    fn start_with(arguments: &[&str], scheme: &'static str) -> Self {
        let data = TempDir::new().unwrap();
        // The shell stops the server when its standard input closes, however the test process ends.
        let mut process = Command::new("sh")
            .arg("-c")
            .arg(r#""$0" "$@" & server=$!; cat >/dev/null; kill $server; wait $server"#)
            .arg(executable())
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--location"])
            .arg(data.path())
            .args(["--disableTelemetry", "--silent", "--skipApiVersionCheck"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut text = String::new();
        let listens = format!("successfully listens on {scheme}://127.0.0.1:");
        let port = loop {
            let before = text.len();
            assert!(
                output.read_line(&mut text).unwrap() > 0,
                "Azurite exited: {text}"
            );
            let line = &text[before..];
            if let Some((_, port)) = line.split_once(&listens) {
                break port.trim().parse().unwrap();
            }
        };
        // Further output is discarded, so that the server never blocks on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self {
            process,
            scheme,
            port,
            _data: data,
        }
    }

    /// Returns the account's blob endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}/{ACCOUNT}", self.scheme, self.port)
    }

    /// Creates a container.
    pub fn create_container(&self, name: &str) {
        assert_eq!(self.container_request("PUT", name), 201);
    }

    /// Removes a container.
    pub fn remove_container(&self, name: &str) {
        assert_eq!(self.container_request("DELETE", name), 202);
    }

    /// Moves a blob to another access tier, such as `Archive`.
    pub fn set_tier(&self, container: &str, blob: &str, tier: &str) {
        let sas = container_sas(container, "rwdl");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "PUT /{ACCOUNT}/{container}/{blob}?comp=tier&{sas} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-version: {SAS_VERSION}\r\nx-ms-access-tier: {tier}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(
            response.starts_with("HTTP/1.1 200") || response.starts_with("HTTP/1.1 202"),
            "{response}"
        );
    }

    /// Returns a name that no other container of this process has.
    pub fn unused_name() -> String {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("container-{}", NEXT.fetch_add(1, Relaxed))
    }

    fn container_request(&self, method: &str, name: &str) -> u16 {
        let sas = account_sas();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} /{ACCOUNT}/{name}?restype=container&{sas} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-version: {SAS_VERSION}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {response}"))
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Returns a token for one container that is valid for an hour. `permissions` are letters such as `rwdl`.
pub fn container_sas(container: &str, permissions: &str) -> String {
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    container_sas_between(container, permissions, now - 5 * minute, now + 60 * minute)
}

/// Returns a token for one container.
pub fn container_sas_between(
    container: &str,
    permissions: &str,
    start: SystemTime,
    expiry: SystemTime,
) -> String {
    let [start, expiry] = [start, expiry].map(|time| format_rfc3339_seconds(time).to_string());
    // "Create a service SAS", version 2020-12-06 and later. The empty fields: identifier, address; protocol; snapshot,
    // encryption scope and the five response headers.
    let signed = format!(
        "{permissions}\n{start}\n{expiry}\n/blob/{ACCOUNT}/{container}\n\n\n\n{SAS_VERSION}\nc\n\n\n\n\n\n\n"
    );
    query(&[
        ("sv", SAS_VERSION),
        ("sr", "c"),
        ("st", &start),
        ("se", &expiry),
        ("sp", permissions),
        ("sig", &signature(&signed)),
    ])
}

/// Returns a token for the account, which container tokens cannot replace for creating containers.
fn account_sas() -> String {
    let expiry = format_rfc3339_seconds(SystemTime::now() + Duration::from_secs(600)).to_string();
    // "Create an account SAS": start, address, protocol and encryption scope are empty.
    let signed = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{expiry}\n\n\n{SAS_VERSION}\n\n");
    query(&[
        ("sv", SAS_VERSION),
        ("ss", "b"),
        ("srt", "sco"),
        ("se", &expiry),
        ("sp", "rwdlac"),
        ("sig", &signature(&signed)),
    ])
}

fn query(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

fn signature(text: &str) -> String {
    let key = STANDARD.decode(ACCOUNT_KEY).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn executable() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/azurite-install");
    let installed = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        installed.status.success(),
        "Azurite is not installed; see {}",
        script.display()
    );
    String::from_utf8(installed.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// Returns all blobs of a container.
pub fn blobs(server: &Azurite, container: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    use clfsload::container::credential::sas::SasToken;
    use clfsload::container::{BlobName, ContainerLocation, MAX_BLOB_BYTES};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sas = SasToken::parse(&container_sas(container, "rl")).unwrap();
        let opened = ContainerLocation::azure(&server.endpoint(), container)
            .unwrap()
            .open(&sas.into(), false)
            .unwrap();
        let mut blobs = std::collections::BTreeMap::new();
        let mut from = None;
        loop {
            let page = opened.list("", from, 5000).await.unwrap();
            for blob in page.blobs {
                let name = BlobName::new(blob.name.clone()).unwrap();
                blobs.insert(
                    blob.name,
                    opened.get(&name, MAX_BLOB_BYTES).await.unwrap().to_vec(),
                );
            }
            from = page.next;
            if from.is_none() {
                return blobs;
            }
        }
    })
}
