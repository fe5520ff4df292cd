//! The requests of reading commands.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, Operation, PutBody};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, Reader, TreePath};

use super::golden::{Golden, LARGE, records};
use crate::support::azurite::{ACCOUNT, Azurite, container_sas, container_sas_between};
use crate::support::command::{Scratch, clfsload};
use crate::support::counting::{Counting, Counts};
use crate::support::fault_proxy::{Fault, FaultProxy};

/// Opens a golden container in memory, with counted requests and without a list of all names.
async fn counted(golden: &Golden) -> (Arc<Counting<InMemory>>, Arc<Reader>) {
    let memory = InMemory::new();
    for item in std::fs::read_dir(golden.path()).unwrap() {
        let item = item.unwrap();
        let name = BlobName::new(item.file_name().into_string().unwrap()).unwrap();
        let body = PutBody::object(std::fs::read(item.path()).unwrap());
        memory.put(&name, body).await.unwrap();
    }
    let counting = Arc::new(Counting::new(memory));
    let container: Arc<dyn Container> = counting.clone();
    let (plan, options) = (ListingPlan::Prefixes, OpenOptions::default());
    let reader = Reader::with_container(container, "memory", plan, false, &options).await;
    (counting, Arc::new(reader.unwrap()))
}

/// Returns the lists and gets since the last call.
fn since(counts: Counts, before: &mut Counts) -> (u64, u64) {
    let calls = (
        counts.lists.calls - before.lists.calls,
        counts.gets.calls - before.gets.calls,
    );
    *before = counts;
    calls
}

#[test]
fn only_required_blobs_are_fetched() {
    let golden = Golden::unpack(LARGE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (container, reader) = counted(&golden).await;
        let blobs = container.inner().blobs().len();
        assert!(blobs > 2500, "{blobs}");
        let mut before = container.counts();
        // The root, two directories, the entry: each is listed by prefix and fetched.
        reader
            .resolve(&TreePath::parse(b"/links/b/big2"))
            .await
            .unwrap();
        assert_eq!(since(container.counts(), &mut before), (4, 4));
        let path = TreePath::parse(b"/compressible-16MiB+16KiB");
        let file = reader.resolve(&path).await.unwrap().entity;
        assert_eq!(since(container.counts(), &mut before), (2, 2));
        const FIRST: u64 = 16 << 10;
        const SECOND: u64 = FIRST + (8 << 20);
        for (range, segments) in [
            (0..FIRST, 0),
            (FIRST - 1..FIRST + 1, 1),
            (FIRST..SECOND, 1),
            (SECOND - 1..SECOND, 1),
            (SECOND..u64::MAX, 1),
            (SECOND - 1..SECOND + 1, 2),
            (0..u64::MAX, 2),
            (u64::MAX - 1..u64::MAX, 0),
        ] {
            let mut content = reader.content(&file, range.clone());
            while content.next().await.unwrap().is_some() {}
            assert_eq!(
                since(container.counts(), &mut before),
                (segments, segments),
                "{range:?}"
            );
        }
    });
}

/// A container on a service, behind a proxy that records requests.
struct OnAzure {
    scratch: Scratch,
    server: Arc<Azurite>,
    name: String,
}

impl OnAzure {
    fn load() -> Self {
        let scratch = Scratch::new();
        for directory in 0..40 {
            let directory = scratch.source().join(format!("directory-{directory}"));
            std::fs::create_dir(&directory).unwrap();
            for file in 0..5 {
                std::fs::write(directory.join(format!("file-{file}")), b"content").unwrap();
            }
        }
        let server = Azurite::shared();
        let name = Azurite::unused_name();
        server.create_container(&name);
        let mut arguments = scratch.arguments("state", &name);
        arguments[2] = ACCOUNT.to_owned();
        arguments.extend(["--new", "--blob-endpoint", &server.endpoint()].map(str::to_owned));
        let mut load = clfsload();
        load.args(arguments)
            .env("AZURE_STORAGE_SAS_TOKEN", container_sas(&name, "rwdl"));
        let output = load.output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        OnAzure {
            scratch,
            server,
            name,
        }
    }

    fn command(&self, proxy: &FaultProxy, arguments: &[&str]) -> std::process::Command {
        let mut command = clfsload();
        let url = format!("{}/{}", proxy.endpoint(), self.name);
        command.arg(arguments[0]).arg(url).args(&arguments[1..]);
        // Permissions to read and list are sufficient. Commands would report an expiry within a day.
        let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
        let token = container_sas_between(&self.name, "rl", now - day, now + 2 * day);
        command.env("AZURE_STORAGE_SAS_TOKEN", token);
        command
    }
}

fn count(proxy: &FaultProxy, operation: Operation) -> usize {
    let calls = proxy.calls();
    calls
        .iter()
        .filter(|call| call.operation == operation)
        .count()
}

#[test]
fn commands_read_from_a_service() {
    let azure = OnAzure::load();
    let fresh = || FaultProxy::start(&azure.server, Box::new(|_| None));
    let output = |proxy: &FaultProxy, arguments: &[&str]| {
        let output = azure.command(proxy, arguments).output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        assert!(output.stderr.is_empty(), "{output:#?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // One list and one get request each for the root and the directory.
    let proxy = fresh();
    let files = "file-0\nfile-1\nfile-2\nfile-3\nfile-4\n";
    assert_eq!(output(&proxy, &["ls", "/directory-7"]), files);
    assert_eq!(count(&proxy, Operation::List), 2);
    assert_eq!(count(&proxy, Operation::Get), 2);
    // With -l, also for each file.
    let proxy = fresh();
    let listed = output(&proxy, &["ls", "-l", "--json", "/directory-7"]);
    assert!(
        records(listed.as_bytes())
            .iter()
            .all(|record| record["size"] == 7)
    );
    assert_eq!(count(&proxy, Operation::Get), 7);
    // Commands that visit everything list all names first.
    let proxy = fresh();
    let listed = output(&proxy, &["find", "--type", "f"]);
    assert_eq!(listed.lines().count(), 200);
    assert_eq!(count(&proxy, Operation::List), 1);
    assert_eq!(count(&proxy, Operation::Get), 41);
    // A kept index replaces the list requests.
    let index = azure.scratch.path("names");
    let index = index.to_str().unwrap();
    let proxy = fresh();
    for (lists, gets) in [(1, 241), (1, 482)] {
        assert_eq!(
            output(&proxy, &["du", "-s", "--index", index]),
            "1400\t240\t/\n"
        );
        assert_eq!(count(&proxy, Operation::List), lists);
        assert_eq!(count(&proxy, Operation::Get), gets);
    }
    let proxy = fresh();
    assert_eq!(output(&proxy, &["cat", "/directory-0/file-0"]), "content");
}

#[test]
fn an_expired_read_token_is_replaced() {
    let azure = OnAzure::load();
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let until = |hours| container_sas_between(&azure.name, "rl", now - hour, now + hours * hour);
    let (first, next) = (until(48), until(49));
    let file = azure.scratch.path("token");
    std::fs::write(&file, &first).unwrap();
    let renewed = file.clone();
    let proxy = FaultProxy::start(
        &azure.server,
        Box::new(move |call| {
            if call.number == 20 {
                std::fs::write(&renewed, &next).unwrap();
            }
            let old = first.ends_with(&call.signature);
            (call.number >= 20 && old).then(|| Fault::refusal(403, "AuthenticationFailed"))
        }),
    );
    let mut command = azure.command(&proxy, &["find", "--type", "f"]);
    command.env_remove("AZURE_STORAGE_SAS_TOKEN");
    command.arg("--sas-token-file").arg(&file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:#?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 200);
    assert!(!proxy.faults().is_empty());
}

#[test]
fn a_signal_ends_the_wait_and_leaves_no_files() {
    let azure = OnAzure::load();
    // All names are listed, and then no inode is received.
    let proxy = FaultProxy::start(
        &azure.server,
        Box::new(|call| (call.operation == Operation::Get).then_some(Fault::NoResponse)),
    );
    let temporary = azure.scratch.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = azure.command(&proxy, &["find"]);
    command.env("TMPDIR", &temporary);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let files = || std::fs::read_dir(&temporary).unwrap().count();
    let started = Instant::now();
    while count(&proxy, Operation::Get) == 0 || files() == 0 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no request was sent"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let signalled = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        signalled.elapsed() < Duration::from_secs(5),
        "{:?}",
        signalled.elapsed()
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stderr, b"error: stopped\n");
    assert_eq!(files(), 0);
}
