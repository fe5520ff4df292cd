//! The contract of a container, tested with each implementation: in memory, in a folder, in Azurite.
//!
//! Known differences between Azurite and Azure are noted where they matter.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::azurite::{Azurite, container_sas};
use bytes::Bytes;
use clfs_format::{BlockId, FileType, Filehandle, FilehandleFields, ObjectName, ObjectType};
use clfsload::container::credential::sas::SasToken;
use clfsload::container::folder::Folder;
use clfsload::container::memory::InMemory;
use clfsload::container::{
    Availability, BlobEntry, BlobName, Container, ContainerErrorKind, ContainerLocation, ListPage,
    MAX_BLOB_BYTES, Operation, PutBody,
};
use futures::future::join_all;

/// An empty container, the guard that keeps it alive, and a function that deletes it.
struct Subject {
    container: Arc<dyn Container>,
    remove: Box<dyn Fn()>,
    _keep: Box<dyn Any>,
}

impl Subject {
    fn memory() -> Self {
        let container = Arc::new(InMemory::new());
        let removed = Arc::clone(&container);
        Self {
            container,
            remove: Box::new(move || removed.remove_container()),
            _keep: Box::new(()),
        }
    }

    fn folder() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new-folder");
        Self {
            container: Arc::new(Folder::open(&path, true).unwrap()),
            remove: Box::new(move || std::fs::remove_dir_all(&path).unwrap()),
            _keep: Box::new(parent),
        }
    }

    fn azurite() -> Self {
        let server = Azurite::shared();
        let name = Azurite::unused_name();
        server.create_container(&name);
        let sas = SasToken::parse(&container_sas(&name, "rwdl")).unwrap();
        let location = ContainerLocation::azure(&server.endpoint(), &name).unwrap();
        let removing = Arc::clone(&server);
        Self {
            container: location.open(&sas.into(), false).unwrap(),
            remove: Box::new(move || removing.remove_container(&name)),
            _keep: Box::new(server),
        }
    }

    async fn put(&self, name: &str, content: impl Into<Bytes>) {
        let body = PutBody::object(content);
        self.container.put(&blob(name), body).await.unwrap();
    }

    async fn get(&self, name: &str) -> Bytes {
        self.container
            .get(&blob(name), MAX_BLOB_BYTES)
            .await
            .unwrap()
    }

    async fn names(&self, prefix: &str, page: u32) -> Vec<String> {
        let blobs = all_pages(&*self.container, prefix, page).await;
        blobs.into_iter().map(|blob| blob.name).collect()
    }
}

fn blob(name: &str) -> BlobName {
    BlobName::new(name).unwrap()
}

async fn all_pages(container: &dyn Container, prefix: &str, page: u32) -> Vec<BlobEntry> {
    let mut blobs = Vec::new();
    let mut from = None;
    loop {
        let ListPage { blobs: more, next } = container.list(prefix, from, page).await.unwrap();
        assert!(more.len() <= page as usize);
        blobs.extend(more);
        match next {
            Some(next) => from = Some(next),
            None => return blobs,
        }
    }
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod memory { $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(super::Subject::memory()).await; })* }
        mod folder { $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(super::Subject::folder()).await; })* }
        mod azurite { $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(super::Subject::azurite()).await; })* }
    };
}

contract! {
    returns_the_uploaded_content
    replaces_a_blob
    changes_the_stamp_of_a_blob_that_is_written_again
    reports_a_missing_blob
    deletes
    lists_no_blobs
    lists_in_order_across_pages
    lists_by_prefix
    lists_the_remaining_blobs_during_deletions
    keeps_concurrent_listings_apart
    accepts_concurrent_uploads
    keeps_one_of_competing_uploads_complete
    accepts_the_names_of_objects
    reports_a_missing_container
    accepts_logs
}

fn pattern(bytes: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

async fn returns_the_uploaded_content(subject: Subject) {
    for bytes in [0, 1, 4095, 9 << 20] {
        let content = pattern(bytes);
        subject.put("blob", content.clone()).await;
        assert!(subject.get("blob").await == content, "{bytes} bytes");
        let listed = all_pages(&*subject.container, "", 10).await;
        assert_eq!(listed.len(), 1);
        let BlobEntry {
            name,
            size,
            availability,
            ..
        } = &listed[0];
        assert_eq!((name.as_str(), *size), ("blob", bytes as u64));
        assert_eq!(*availability, Availability::Online);
    }
}

async fn replaces_a_blob(subject: Subject) {
    for content in ["a longer first content", "short", "", "again"] {
        subject.put("blob", content).await;
        assert_eq!(subject.get("blob").await, content);
    }
    assert_eq!(subject.names("", 10).await, ["blob"]);
}

/// The stamp in a listing changes when a blob is written again, even with the same size.
async fn changes_the_stamp_of_a_blob_that_is_written_again(subject: Subject) {
    subject.put("blob", "first").await;
    subject.put("other", "first").await;
    let stamps = async || {
        let listed = all_pages(&*subject.container, "", 10).await;
        let stamps = listed.iter().map(|blob| blob.stamp.expect("no stamp"));
        stamps.collect::<Vec<_>>()
    };
    let before = stamps().await;
    assert_ne!(before[0], before[1]);
    assert_eq!(stamps().await, before);
    subject.put("blob", "again").await;
    let after = stamps().await;
    assert!(after[0] != before[0] && after[1] == before[1]);
}

async fn reports_a_missing_blob(subject: Subject) {
    subject.put("blob", "x").await;
    let error = subject
        .container
        .get(&blob("blo"), MAX_BLOB_BYTES)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::BlobMissing, "{error}");
    assert_eq!(error.operation(), Operation::Get);
    assert_eq!(error.blob(), Some("blo"));
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("blo") && text.contains(subject.container.location()),
        "{text}"
    );
}

async fn deletes(subject: Subject) {
    subject.put("one", "1").await;
    subject.put("two", "2").await;
    subject.container.delete(&blob("one")).await.unwrap();
    subject.container.delete(&blob("one")).await.unwrap();
    subject.container.delete(&blob("missing")).await.unwrap();
    assert_eq!(subject.names("", 10).await, ["two"]);
    let error = subject
        .container
        .get(&blob("one"), MAX_BLOB_BYTES)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::BlobMissing);
}

async fn lists_no_blobs(subject: Subject) {
    let page = subject.container.list("", None, 10).await.unwrap();
    assert_eq!((page.blobs.len(), page.next.is_none()), (0, true));
    subject.put("blob", "x").await;
    let page = subject.container.list("other", None, 10).await.unwrap();
    assert_eq!((page.blobs.len(), page.next.is_none()), (0, true));
}

/// Uploads blobs with names that sort differently by bytes, by letters and in dictionaries.
async fn upload_odd_names(subject: &Subject) -> Vec<String> {
    let mut names: Vec<String> = (0..20).map(|i| format!("n{}", i * 7 % 20)).collect();
    names.extend(
        [
            "A", "B", "a", "b", "a.b", "a-b", "a_b", "ab", "aB", "Z9", "0", "-", "_",
        ]
        .map(String::from),
    );
    join_all(names.iter().map(|name| subject.put(name, name.clone()))).await;
    names.sort_unstable();
    names
}

async fn lists_in_order_across_pages(subject: Subject) {
    let names = upload_odd_names(&subject).await;
    for page in [1, 7, names.len() as u32 - 1, names.len() as u32, 5000] {
        assert_eq!(subject.names("", page).await, names, "pages of {page}");
    }
    let sizes = all_pages(&*subject.container, "", 7).await;
    assert!(sizes.iter().all(|blob| blob.size == blob.name.len() as u64));
}

async fn lists_by_prefix(subject: Subject) {
    let names = upload_odd_names(&subject).await;
    for prefix in ["a", "n1", "n19", "A", "zzz", "-"] {
        let expected: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .collect();
        for page in [1, 3, 100] {
            let listed = subject.names(prefix, page).await;
            assert_eq!(
                listed.iter().collect::<Vec<_>>(),
                expected,
                "{prefix} by {page}"
            );
        }
    }
}

async fn lists_the_remaining_blobs_during_deletions(subject: Subject) {
    let names = upload_odd_names(&subject).await;
    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let page = subject.container.list("", from, 5).await.unwrap();
        for entry in page.blobs {
            subject.container.delete(&blob(&entry.name)).await.unwrap();
            seen.push(entry.name);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, names);
    assert!(subject.names("", 5).await.is_empty());
}

async fn keeps_concurrent_listings_apart(subject: Subject) {
    let names = upload_odd_names(&subject).await;
    let listings = (0..5).map(|i| subject.names("", 2 + i));
    for listed in join_all(listings).await {
        assert_eq!(listed, names);
    }
}

async fn accepts_concurrent_uploads(subject: Subject) {
    let blobs: BTreeMap<String, Vec<u8>> = (0..64)
        .map(|i| (format!("blob-{i:02}"), pattern(i * 1000)))
        .collect();
    join_all(
        blobs
            .iter()
            .map(|(name, content)| subject.put(name, content.clone())),
    )
    .await;
    for (name, content) in &blobs {
        assert!(subject.get(name).await == *content, "{name}");
    }
    let names: Vec<&String> = blobs.keys().collect();
    assert_eq!(
        subject.names("", 50).await.iter().collect::<Vec<_>>(),
        names
    );
}

async fn keeps_one_of_competing_uploads_complete(subject: Subject) {
    let contents: Vec<Vec<u8>> = (0..8u8)
        .map(|i| vec![i; 100_000 + usize::from(i)])
        .collect();
    join_all(
        contents
            .iter()
            .map(|content| subject.put("blob", content.clone())),
    )
    .await;
    let kept = subject.get("blob").await;
    assert!(
        contents.iter().any(|content| kept == *content),
        "{} bytes",
        kept.len()
    );
}

async fn accepts_the_names_of_objects(subject: Subject) {
    let fields = FilehandleFields {
        container_id: 0xDEAD_BEEF,
        parent_directory_manager: 0,
        directory_manager: 0,
        file_type: FileType::Regular,
        sequence: 1000,
        random: 0x0123_4567_89AB_CDEF,
    };
    let handle: Filehandle = fields.filehandle().unwrap();
    let objects = [
        ObjectName::bucket(),
        ObjectName::root(),
        ObjectName::entity(handle, ObjectType::Regular, Filehandle::ROOT),
        ObjectName::block(BlockId([0xA5; 16]), ObjectType::Segment, handle),
    ];
    let mut names = Vec::new();
    for object in &objects {
        let name = BlobName::from(object);
        assert_eq!(BlobName::new(name.as_str()), Ok(name.clone()));
        subject.put(name.as_str(), name.to_string()).await;
        assert_eq!(subject.get(name.as_str()).await, name.as_str());
        names.push(name.to_string());
    }
    names.sort_unstable();
    assert_eq!(subject.names("", 3).await, names);
}

async fn reports_a_missing_container(subject: Subject) {
    subject.put("blob", "x").await;
    (subject.remove)();
    let container = &subject.container;
    let errors = [
        container
            .put(&blob("blob"), PutBody::object("y"))
            .await
            .unwrap_err(),
        container
            .get(&blob("blob"), MAX_BLOB_BYTES)
            .await
            .unwrap_err(),
        container.list("", None, 10).await.unwrap_err(),
        container.delete(&blob("blob")).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(
            error.kind(),
            &ContainerErrorKind::ContainerMissing,
            "{error}"
        );
        assert!(!error.is_transient());
    }
}

async fn accepts_logs(subject: Subject) {
    let name = blob("output.txt");
    subject
        .container
        .put(&name, PutBody::log("done\n"))
        .await
        .unwrap();
    assert_eq!(subject.get("output.txt").await, "done\n");
}
