//! The index of names (format.md §4).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clfs_format::{BlockId, Filehandle, NameKind, ObjectId, ObjectName, ObjectType, WellKnownId};
use clfsload::container::Container;
use clfsload::read::index::{Aside, AsideReason, Index, IndexError, Listed, ListingPlan};
use clfsload::read::{OpenOptions, ReadError, Reader};

use super::fixture::{Counted, container, open, run};

/// More than two pages of a listing.
const OBJECTS: u64 = 12_000;

fn id(number: u64) -> BlockId {
    let mut id = [0xee; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    BlockId(id)
}

fn segment(number: u64, version: u64) -> ObjectName {
    let name = ObjectName::block(id(number), ObjectType::Segment, Filehandle::ROOT);
    ObjectName { version, ..name }
}

fn odd_names() -> Vec<(String, AsideReason)> {
    let snapshot = ObjectName {
        snapshot: 7,
        ..segment(3, 9)
    };
    let twin = ObjectName {
        kind: NameKind::V2 {
            object_type: ObjectType::Segment,
            owner_hash: 0,
        },
        ..segment(4, 9)
    };
    let wrong_hash = segment(5, 9).to_string();
    let first = if wrong_hash.starts_with('0') {
        "1"
    } else {
        "0"
    };
    vec![
        ("z-last.txt".to_owned(), AsideReason::Log),
        ("-first".to_owned(), AsideReason::Foreign),
        ("0-readme".to_owned(), AsideReason::Foreign),
        ("Az".to_owned(), AsideReason::Foreign),
        ("zz_below".to_owned(), AsideReason::Foreign),
        (format!("{first}{}", &wrong_hash[1..]), AsideReason::BadName),
        (segment(1, 8).to_string(), AsideReason::Leftover),
        (segment(2, 9).to_string(), AsideReason::Leftover),
        (snapshot.to_string(), AsideReason::Snapshot),
        (twin.to_string(), AsideReason::Twin),
    ]
}

async fn many() -> Counted {
    let objects = (0..OBJECTS)
        .filter(|number| *number != 2)
        .map(|number| segment(number, 9));
    let names = objects
        .chain([segment(2, 11), ObjectName::bucket(), ObjectName::root()])
        .map(|name| name.to_string())
        .chain(odd_names().into_iter().map(|(name, _)| name));
    container(names.map(|name| (name, &b"1234"[..]))).await
}

fn all(index: &Index) -> (Vec<Listed>, Vec<Aside>) {
    let mut objects: Vec<Listed> = Vec::new();
    loop {
        let last = objects
            .last()
            .map(|listed| clfsload::read::index::ObjectKey::new(&listed.name.id));
        let more = index.after(last.as_ref(), 999).unwrap();
        if more.is_empty() {
            break;
        }
        objects.extend(more);
    }
    let aside = index.aside_after(0, 1000).unwrap();
    let mut aside: Vec<Aside> = aside.into_iter().map(|(_, aside)| aside).collect();
    aside.sort_by(|a, b| a.name.cmp(&b.name));
    (objects, aside)
}

async fn build(from: &Counted, plan: ListingPlan, keep: Option<&Path>) -> Result<Index, ReadError> {
    let container: Arc<dyn Container> = from.clone();
    Index::build(&container, "here", plan, keep, &std::env::temp_dir()).await
}

#[test]
fn every_name_is_classified() {
    run(async {
        let container = many().await;
        let index = build(&container, ListingPlan::Sequential, None)
            .await
            .unwrap();
        let (objects, aside) = all(&index);
        assert_eq!(objects.len() as u64, OBJECTS + 2);
        for object in &objects {
            let ObjectId::Block(block) = object.name.id else {
                continue;
            };
            let version = if block == id(2) { 11 } else { 9 };
            assert_eq!((object.name.version, object.size), (version, 4));
        }
        let mut expected = odd_names();
        expected.sort();
        let found: Vec<_> = aside.iter().map(|a| (a.name.clone(), a.reason)).collect();
        // Of two names with the same version, the greater one is used, in either order.
        let counts = index.find(&ObjectId::Block(id(4))).unwrap().unwrap();
        for ((name, reason), (expected, expected_reason)) in found.iter().zip(&expected) {
            assert_eq!(reason, expected_reason, "{name}");
            if *reason != AsideReason::Twin {
                assert_eq!(name, expected);
            } else {
                assert_ne!(*name, counts.name.to_string());
            }
        }
        assert_eq!(found.len(), expected.len());
        let leftover = aside.iter().find(|a| a.name == segment(2, 9).to_string());
        assert_eq!(leftover.unwrap().detail, segment(2, 11).to_string());
        let counted = index.count().unwrap();
        assert!(
            counted.contains(&(ObjectType::Segment, OBJECTS)),
            "{counted:?}"
        );
    });
}

#[test]
fn listings_by_prefix_equal_one_complete_listing() {
    run(async {
        let container = many().await;
        let one = build(&container, ListingPlan::Sequential, None)
            .await
            .unwrap();
        let before = container.counts().lists.calls;
        let other = build(&container, ListingPlan::Prefixes, None)
            .await
            .unwrap();
        assert!(
            container.counts().lists.calls - before > 90,
            "no prefixes were listed"
        );
        assert_eq!(all(&one), all(&other));
    });
}

#[test]
fn a_small_container_is_listed_with_one_request() {
    run(async {
        let container = container([(ObjectName::root().to_string(), &b""[..])]).await;
        let index = build(&container, ListingPlan::Prefixes, None)
            .await
            .unwrap();
        assert_eq!(container.counts().lists.calls, 1);
        assert_eq!(all(&index).0.len(), 1);
    });
}

#[test]
fn objects_are_found_by_id() {
    run(async {
        let container = many().await;
        for lists_all in [true, false] {
            let reader = open(&container, lists_all).await.unwrap();
            let find = |id| {
                let reader = Arc::clone(&reader);
                async move { reader.locate(&id).await.map(|listed| listed.name) }
            };
            let found = find(ObjectId::Block(id(2))).await.unwrap();
            assert_eq!(found, segment(2, 11));
            let found = find(ObjectId::WellKnown(WellKnownId::Bucket))
                .await
                .unwrap();
            assert_eq!(found, ObjectName::bucket());
            let found = find(ObjectId::Entity(Filehandle::ROOT)).await.unwrap();
            assert_eq!(found, ObjectName::root());
            // An object that exists only in a snapshot, and one that does not exist.
            let missing = find(ObjectId::Block(BlockId([9; 16]))).await;
            assert!(matches!(missing, Err(ReadError::Missing(_))), "{missing:?}");
            // Together, each gets its own object.
            let find = &find;
            let lookups = (0..60u8).map(|number| async move {
                let found = match number % 3 {
                    0 => find(ObjectId::Block(id(2))).await.ok() == Some(segment(2, 11)),
                    1 => {
                        let root = find(ObjectId::Entity(Filehandle::ROOT)).await;
                        root.ok() == Some(ObjectName::root())
                    }
                    _ => find(ObjectId::Block(BlockId([9; 16]))).await.is_err(),
                };
                assert!(found, "{number}");
            });
            futures::future::join_all(lookups).await;
        }
    });
}

/// A runtime that is being shut down drops the work of a lookup without running it. Lookups of another runtime must not wait
/// for that work.
#[test]
fn a_runtime_that_is_shut_down_does_not_block_lookups_of_another_one() {
    let root = ObjectId::Entity(Filehandle::ROOT);
    let first = tokio::runtime::Runtime::new().unwrap();
    let reader = first.block_on(async { open(&many().await, true).await.unwrap() });
    let handle = first.handle().clone();
    first.shutdown_timeout(Duration::from_secs(5));
    run(async {
        let mut lookup = std::pin::pin!(reader.locate(&root));
        {
            let _first = handle.enter();
            let _ = futures::poll!(&mut lookup);
        }
        let lookup = tokio::time::timeout(Duration::from_secs(5), reader.locate(&root));
        let found = lookup.await.expect("the lookup hangs").unwrap();
        assert_eq!(found.name, ObjectName::root());
    });
}

#[test]
fn a_kept_index_is_reused_only_for_its_container() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("index");
        let container = many().await;
        let built = build(&container, ListingPlan::Sequential, Some(&file))
            .await
            .unwrap();
        let listed = container.counts().lists.calls;
        let mut options = OpenOptions::default();
        options.index = Some(file.clone());
        let shared: Arc<dyn Container> = container.clone();
        let plan = ListingPlan::Sequential;
        let reader = Reader::with_container(shared, "here", plan, false, &options)
            .await
            .unwrap();
        assert_eq!(
            container.counts().lists.calls,
            listed,
            "it was listed again"
        );
        assert_eq!(all(reader.index().unwrap()), all(&built));

        // A blob that was deleted after listing: the error suggests removing the index.
        let lost = segment(7, 9).to_string();
        container
            .delete(&clfsload::container::BlobName::new(lost).unwrap())
            .await
            .unwrap();
        let error = reader.fetch_id(&ObjectId::Block(id(7))).await.unwrap_err();
        assert!(matches!(error, ReadError::Gone { .. }) && error.is_damage());
        assert!(
            error.to_string().contains("remove it and run again"),
            "{error}"
        );

        let other = Index::open(&file, "elsewhere");
        assert!(matches!(other, Err(IndexError::OtherContainer(of)) if of == "here"));
        let foreign = folder.path().join("foreign");
        std::fs::write(&foreign, "some text, long enough to be no database at all").unwrap();
        let text = Index::open(&foreign, "here");
        assert!(matches!(text, Err(IndexError::NotAnIndex)), "{text:?}");
        let database = folder.path().join("database");
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(
            Index::open(&database, "here"),
            Err(IndexError::NotAnIndex)
        ));
    });
}

#[test]
fn a_damaged_index_is_an_error() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        for damage in [
            "UPDATE object SET type = 99",
            "UPDATE object SET type = -1",
            "UPDATE object SET key = x'00'",
            "UPDATE object SET key = zeroblob(24)",
            "UPDATE object SET key = zeroblob(1000)",
        ] {
            let file = folder.path().join("index");
            let container = container([(segment(1, 9).to_string(), &b""[..])]).await;
            drop(
                build(&container, ListingPlan::Sequential, Some(&file))
                    .await
                    .unwrap(),
            );
            let connection = rusqlite::Connection::open(&file).unwrap();
            connection.execute_batch(damage).unwrap();
            drop(connection);
            let index = Index::open(&file, "here").unwrap();
            assert!(index.after(None, 10).is_err(), "{damage}");
            std::fs::remove_file(&file).unwrap();
        }
    });
}

#[test]
fn a_temporary_index_is_removed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let container: Arc<dyn Container> = many().await;
        let plan = ListingPlan::Sequential;
        let index = Index::build(&container, "here", plan, None, folder.path())
            .await
            .unwrap();
        assert!(index.path().starts_with(folder.path()));
        drop(index);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}
