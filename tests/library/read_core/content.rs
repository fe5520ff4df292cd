//! Content of files (format.md §6 "Regular file").

use std::ops::Range;
use std::sync::Arc;

use clfs_format::{FileType, ObjectId};
use clfsload::read::{Entity, InlineContent, ReadError, Reader};

use super::fixture::{container, open, run};
use crate::support::synthetic::Builder;

const FIRST: u64 = 16_384;
const SEGMENT: u64 = 8 << 20;
const SIZE: u64 = FIRST + SEGMENT + 100;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 4096 + at % 251) as u8).collect()
}

/// Builds a container with one file of three segments.
fn build(size: u64) -> (Builder, clfs_format::Filehandle) {
    let mut build = Builder::new();
    let mut root = build.root();
    let file = build.handle(root.handle, FileType::Regular);
    root.add("file", file);
    let bytes = content();
    build.entity(file, &[root.handle], "file", &bytes[..size as usize]);
    build.finish_directory(&root);
    (build, file)
}

async fn read(
    reader: &Arc<Reader>,
    entity: &Arc<Entity>,
    range: Range<u64>,
) -> (Vec<u8>, Option<ReadError>) {
    let mut content = reader.content(entity, range);
    let mut bytes = Vec::new();
    loop {
        match content.next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
            Ok(None) => return (bytes, None),
            Err(error) => {
                assert!(
                    content.next().await.unwrap().is_none(),
                    "more after an error"
                );
                return (bytes, Some(error));
            }
        }
    }
}

#[test]
fn ranges_at_segment_boundaries_are_exact() {
    run(async {
        let (build, file) = build(SIZE);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let entity = Arc::new(reader.entity(file).await.unwrap());
        let complete = content();
        let borders = [0, 1, FIRST, FIRST + SEGMENT, SIZE, SIZE + 10];
        for from in borders {
            for to in borders {
                for (from, to) in [(from, to), (from.saturating_sub(1), to + 1)] {
                    let gets = container.counts().gets.calls;
                    let (found, error) = read(&reader, &entity, from..to).await;
                    assert!(error.is_none(), "{error:?}");
                    let end = to.min(SIZE) as usize;
                    let expected = complete.get(from as usize..end).unwrap_or_default();
                    assert!(found == expected, "{from}..{to}");
                    let needed = [(FIRST, FIRST + SEGMENT), (FIRST + SEGMENT, SIZE)]
                        .iter()
                        .filter(|(start, end)| from < *end && to > *start && from < to)
                        .count() as u64;
                    let gets = container.counts().gets.calls - gets;
                    assert_eq!(gets, needed, "requests for {from}..{to}");
                }
            }
        }
    });
}

#[test]
fn content_before_the_damage_is_returned() {
    run(async {
        let (build, file) = build(SIZE);
        let of_file = |name: &str, kind: &str| name.contains(kind);
        let segments: Vec<String> = build
            .blobs
            .keys()
            .filter(|name| of_file(name, ".0008."))
            .cloned()
            .collect();
        assert_eq!(segments.len(), 2);
        for lost in &segments {
            let mut blobs = build.blobs.clone();
            blobs.remove(lost);
            let container = container(blobs).await;
            let reader = open(&container, true).await.unwrap();
            let entity = Arc::new(reader.entity(file).await.unwrap());
            let (bytes, error) = read(&reader, &entity, 0..SIZE).await;
            assert!(matches!(
                error,
                Some(ReadError::Missing(ObjectId::Block(_)))
            ));
            let complete = content();
            assert!(bytes.len() as u64 >= FIRST && complete.starts_with(&bytes));
            // The content before the damage is readable.
            let (bytes, error) = read(&reader, &entity, 0..FIRST).await;
            assert!(error.is_none() && bytes.len() as u64 == FIRST);
        }
    });
}

/// The segments have the same length, so that only their DATABACKs differ.
#[test]
fn a_segment_of_another_place_or_file_is_rejected() {
    run(async {
        let size = FIRST + 2 * SEGMENT;
        let mut build = Builder::new();
        let mut root = build.root();
        let [one, other] = [1, 2].map(|byte| {
            let file = build.handle(root.handle, FileType::Regular);
            root.add(format!("{byte}"), file);
            let content = vec![byte; size as usize];
            build.entity(file, &[root.handle], &format!("{byte}"), &content);
            file
        });
        build.finish_directory(&root);
        let owned = |file: clfs_format::Filehandle| {
            let owner = format!(".0008.{:016X}.", file.hash64());
            let mut names: Vec<String> = build
                .blobs
                .keys()
                .filter(|name| name.contains(&owner))
                .cloned()
                .collect();
            // Names begin with a hash, but the builder assigns ids in ascending order.
            names.sort_by_key(|name| name[17..].to_owned());
            names
        };
        let [own, foreign] = [owned(one), owned(other)];
        for (to, from) in [(&own[0], &own[1]), (&own[0], &foreign[0])] {
            let mut blobs = build.blobs.clone();
            let content = blobs[from].clone();
            blobs.insert(to.clone(), content);
            let container = container(blobs).await;
            let reader = open(&container, true).await.unwrap();
            let entity = Arc::new(reader.entity(one).await.unwrap());
            let (bytes, error) = read(&reader, &entity, 0..size).await;
            assert_eq!(bytes.len() as u64, FIRST);
            assert!(
                matches!(error, Some(ReadError::OtherObject { .. })),
                "{error:?}"
            );
        }
    });
}

#[test]
fn a_size_beyond_the_segments_is_damage() {
    run(async {
        let (build, file) = build(SIZE);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let honest = reader.entity(file).await.unwrap();
        for size in [
            SIZE - 1,
            SIZE + 1,
            FIRST,
            FIRST + SEGMENT,
            SIZE + 2 * SEGMENT,
            u64::MAX,
        ] {
            let mut entity = honest.clone();
            entity.attributes.size = size;
            let entity = Arc::new(entity);
            let (bytes, error) = read(&reader, &entity, 0..u64::MAX).await;
            // A file whose size ends before the damaged segment is complete.
            let border = size == FIRST || size == FIRST + SEGMENT;
            assert_eq!(error.is_none(), border, "{size}: {error:?}");
            assert!(content().starts_with(&bytes));
        }
    });
}

#[test]
fn a_blob_that_decompresses_beyond_the_largest_object_is_rejected() {
    run(async {
        let (mut build, file) = build(100);
        let name = build
            .blobs
            .keys()
            .find(|name| name.contains(&format!("_{file}.")))
            .unwrap()
            .clone();
        // 3 MiB of zeros in an LZ4 frame of a few KiB.
        let mut bomb = vec![0, 0, 1, 0];
        let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut bomb);
        std::io::Write::write_all(&mut encoder, &vec![0; 3 << 20]).unwrap();
        encoder.finish().unwrap();
        assert!(bomb.len() < 64 << 10);
        build.blobs.insert(name.clone(), bomb);
        let small = container(build.blobs.clone()).await;
        let error = open(&small, true)
            .await
            .unwrap()
            .entity(file)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        // A blob whose stored size is too large is not fetched.
        build.blobs.insert(name, vec![0; 4 << 20]);
        let large = container(build.blobs).await;
        let error = open(&large, true)
            .await
            .unwrap()
            .entity(file)
            .await
            .unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
        assert_eq!(large.counts().gets.calls, 0);
    });
}

#[test]
fn an_inode_with_too_little_or_too_much_content_is_damage() {
    run(async {
        let (build, file) = build(SIZE);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let honest = reader.entity(file).await.unwrap();
        let InlineContent::Data(data) = honest.inline.clone() else {
            panic!("no data");
        };
        let longer = [&data[..], b"x"].concat();
        for data in [data.slice(1..), longer.into()] {
            let mut entity = honest.clone();
            entity.inline = InlineContent::Data(data);
            let (bytes, error) = read(&reader, &Arc::new(entity), 0..SIZE).await;
            assert!(bytes.is_empty());
            assert!(
                matches!(error, Some(ReadError::Misplaced { .. })),
                "{error:?}"
            );
        }
    });
}
