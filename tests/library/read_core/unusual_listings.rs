//! Containers with unusual but valid responses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clfs_format::{FileType, Filehandle, ObjectId, ObjectName, ObjectType};
use clfsload::container::folder::Folder;
use clfsload::container::location::ContainerLocation;
use clfsload::container::memory::InMemory;
use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};
use clfsload::load::{LoadOptions, Mode, prepare_with};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, ReadError, Reader, TreePath};

use super::fixture::{container, open, run};
use crate::support::synthetic::Builder;

/// Lists one name per page, as a busy service may.
#[derive(Debug)]
struct ShortPages(InMemory);

#[async_trait]
impl Wrapper for ShortPages {
    fn wrapped(&self) -> &dyn Container {
        &self.0
    }

    async fn on_list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        _at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.0.list(prefix, from, 1).await
    }
}

#[test]
fn the_highest_version_is_used_from_any_page() {
    run(async {
        let memory = InMemory::new();
        for version in [9, 10, 12] {
            let name = ObjectName {
                version,
                ..ObjectName::root()
            };
            let name = BlobName::new(name.to_string()).unwrap();
            memory.put(&name, PutBody::object(&b""[..])).await.unwrap();
        }
        let shared: Arc<dyn Container> = Arc::new(ShortPages(memory));
        for lists_all in [true, false] {
            let (plan, options) = (ListingPlan::Prefixes, OpenOptions::default());
            let shared = Arc::clone(&shared);
            let reader = Reader::with_container(shared, "memory", plan, lists_all, &options).await;
            let found = reader.unwrap();
            let found = found.locate(&ObjectId::Entity(Filehandle::ROOT)).await;
            assert_eq!(found.unwrap().name.version, 12, "all listed: {lists_all}");
        }
    });
}

/// Lists nothing, and always returns the same continuation token.
#[derive(Debug)]
struct SamePage(InMemory);

#[async_trait]
impl Wrapper for SamePage {
    fn wrapped(&self) -> &dyn Container {
        &self.0
    }

    async fn on_list(
        &self,
        _prefix: &str,
        _from: Option<ListMarker>,
        _at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let page = self.0.list("", None, 1).await?;
        Ok(ListPage {
            blobs: Vec::new(),
            ..page
        })
    }
}

async fn same_page() -> Arc<dyn Container> {
    let memory = InMemory::new();
    for name in ["one", "two"] {
        let name = BlobName::new(name).unwrap();
        memory.put(&name, PutBody::object("x")).await.unwrap();
    }
    Arc::new(SamePage(memory))
}

#[test]
fn a_listing_without_progress_fails() {
    let message = "the listing makes no progress";
    run(async {
        for plan in [ListingPlan::Prefixes, ListingPlan::Sequential] {
            let options = OpenOptions::default();
            let opened = Reader::with_container(same_page().await, "memory", plan, true, &options);
            let opened = tokio::time::timeout(Duration::from_secs(30), opened).await;
            let error = opened.unwrap().unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let nowhere = ContainerLocation::Folder {
        path: folder.path().join("nowhere"),
    };
    let options = LoadOptions::new(folder.path().join("state"), source, nowhere);
    let mut container = None;
    run(async { container = Some(same_page().await) });
    let prepared = prepare_with(options, Mode::New, |_| Ok(container.unwrap()));
    let error = prepared.err().unwrap();
    assert!(error.to_string().contains(message), "{error}");
}

/// Replaces a listed blob with a directory, which cannot be read.
#[test]
fn unreadable_blobs_are_damage_until_no_blob_can_be_read() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        let handles: Vec<Filehandle> = (0..150)
            .map(|number| {
                let handle = build.handle(root.handle, FileType::Fifo);
                root.add(format!("{number}"), handle);
                build.entity(handle, &[root.handle], &format!("{number}"), b"");
                handle
            })
            .collect();
        build.finish_directory(&root);
        let folder = tempfile::tempdir().unwrap();
        let mut fifos = Vec::new();
        for (name, blob) in &build.blobs {
            std::fs::write(folder.path().join(name), blob).unwrap();
            if name.contains(".0007.") {
                fifos.push(folder.path().join(name));
            }
        }
        let shared: Arc<dyn Container> = Arc::new(Folder::open(folder.path(), false).unwrap());
        let (plan, options) = (ListingPlan::Sequential, OpenOptions::default());
        let reader = Reader::with_container(shared, "folder", plan, true, &options).await;
        let reader = reader.unwrap();
        for path in &fifos {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }
        let read = async |from: usize, to: usize| {
            let mut damaged = 0;
            for handle in &handles[from..to] {
                damaged += usize::from(reader.entity(*handle).await.unwrap_err().is_damage());
            }
            damaged
        };
        reader.root().await.unwrap();
        assert_eq!(read(0, 150).await, 150);
        assert_eq!(read(0, 150).await, 150);
        // Now the root, which could be read before, cannot be read either.
        let replaced = build.blobs.keys().filter(|name| !name.contains(".0007."));
        for path in replaced.map(|name| folder.path().join(name)) {
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        }
        assert!(read(0, 150).await <= 100);
        let error = reader.entity(handles[0]).await.unwrap_err();
        assert!(
            error.to_string().contains("could not read the blob"),
            "{error}"
        );
    });
}

#[test]
fn an_indirect_block_named_as_a_segment_is_not_fetched() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        for number in 0..1500 {
            let handle = build.handle(root.handle, FileType::Fifo);
            root.add(format!("{number}"), handle);
        }
        build.finish_directory_one_entry_per_segment(&root);
        let [indirect] = &build
            .blobs
            .keys()
            .filter(|name| name.contains(".0009."))
            .cloned()
            .collect::<Vec<_>>()[..]
        else {
            panic!("one indirect block");
        };
        let content = build.blobs.remove(indirect).unwrap();
        let named = ObjectName::parse(indirect).unwrap();
        let ObjectId::Block(id) = named.id else {
            panic!("no block");
        };
        let wrong = ObjectName::block(id, ObjectType::Segment, Filehandle::ROOT);
        build.blobs.insert(wrong.to_string(), content);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let last = TreePath::parse(b"1499");
        let error = reader.resolve(&last).await.unwrap_err();
        assert!(matches!(error, ReadError::Misplaced { .. }), "{error}");
        // The inode and 1,023 segments.
        assert_eq!(container.counts().gets.calls, 1024);
    });
}

#[test]
fn an_entry_without_its_object_is_damaged_not_missing() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        root.add("broken", Filehandle::NULL);
        build.finish_directory(&root);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let error = reader
            .resolve(&TreePath::parse(b"broken"))
            .await
            .unwrap_err();
        assert!(matches!(error, ReadError::Format { .. }), "{error}");
        let error = reader
            .resolve(&TreePath::parse(b"other"))
            .await
            .unwrap_err();
        assert!(matches!(error, ReadError::NoEntry { .. }), "{error}");
    });
}
