//! One flipped bit, one lost blob, one wrong name, for each kind of object: all are found except changes that no
//! rule covers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clfs_format::{FileType, Filehandle};
use clfsload::verify::{Depth, Rule};

use super::harmless::{Nature, may_remain_undetected};
use super::run::verify_blobs;
use crate::checker_damage::edit::Container;
use crate::support::synthetic::Builder;
use clfsload_checker::{hash64, parse_handles, unwrap_blob};

/// An object to damage.
struct Victim {
    what: &'static str,
    id: Vec<u8>,
    nature: Nature,
}

fn victim(what: &'static str, id: &[u8], nature: Nature) -> Victim {
    Victim {
        what,
        id: id.to_vec(),
        nature,
    }
}

const SEGMENTED: Nature = Nature {
    segments: true,
    device: false,
    root: false,
};

/// One object of each kind except those below. Every file has one name.
fn container() -> (Container, Vec<Victim>) {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut many = build.directory(&mut root, "many");
    for number in 0..64 {
        let name = format!("{number:0250}");
        let file = build.handle(many.handle, FileType::Regular);
        many.add(&name, file);
        build.entity(file, &[many.handle], &name, b"");
    }
    let mut named = |name: &str, file_type, content: &[u8]| {
        let handle = build.handle(root.handle, file_type);
        root.add(name, handle);
        build.entity(handle, &[root.handle], name, content);
        handle
    };
    let small = named("small", FileType::Regular, &b"small text ".repeat(50));
    let symlink = named("symlink", FileType::Symlink, b"target");
    let device = named("device", FileType::Block, b"");
    build.finish_directory(&many);
    build.finish_directory(&root);
    build.finish_bucket();
    let container = Container { blobs: build.blobs };
    let entries = crate::checker_damage::fixture::segments(&container, many.handle.as_bytes(), 1);
    let plain = Nature::default();
    let victims = vec![
        victim("small file", small.as_bytes(), plain),
        victim("directory", many.handle.as_bytes(), SEGMENTED),
        victim("segment of a directory", &entries[0], plain),
        victim(
            "root",
            Filehandle::ROOT.as_bytes(),
            Nature {
                root: true,
                ..plain
            },
        ),
        victim("bucket", &crate::checker_damage::cases_names::BUCKET, plain),
        victim("symlink", symlink.as_bytes(), plain),
        victim(
            "device",
            device.as_bytes(),
            Nature {
                device: true,
                ..plain
            },
        ),
    ];
    (container, victims)
}

/// Returns a file of three segments, one of 8 MiB. Separate from the others because its verification takes long.
fn container_with_segments() -> (Container, Vec<Victim>) {
    let mut build = Builder::new();
    let mut root = build.root();
    let multi = build.handle(root.handle, FileType::Regular);
    root.add("multi", multi);
    let content = vec![7; 16_384 + (8 << 20) + 100];
    build.entity(multi, &[root.handle], "multi", &content);
    build.finish_directory(&root);
    build.finish_bucket();
    let container = Container { blobs: build.blobs };
    let segments = crate::checker_damage::fixture::segments(&container, multi.as_bytes(), 2);
    let plain = Nature::default();
    let victims = vec![
        victim("file of several segments", multi.as_bytes(), SEGMENTED),
        victim("segment in the middle", &segments[0], plain),
        victim("last segment", &segments[1], plain),
    ];
    (container, victims)
}

/// Returns a directory of 1,025 segments, the last two in an indirect block.
fn container_with_an_indirect_block() -> (Container, Vec<Victim>) {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut wide = build.directory(&mut root, "wide");
    for (name, numbers) in [("first", 0..1000), ("second", 1000..1025)] {
        let file = build.handle(wide.handle, FileType::Regular);
        let back = vec![wide.handle; numbers.len()];
        build.entity(file, &back, &numbers.start.to_string(), name.as_bytes());
        for number in numbers {
            wide.add(number.to_string(), file);
        }
    }
    build.finish_directory_one_entry_per_segment(&wide);
    build.finish_directory(&root);
    build.finish_bucket();
    let container = Container { blobs: build.blobs };
    let indirect = container
        .blobs
        .keys()
        .find(|name| name.contains(".0009."))
        .unwrap();
    let id = clfsload_checker::Name::parse(indirect).unwrap().id;
    let victims = vec![victim("indirect block", &id, Nature::default())];
    (container, victims)
}

/// A change to a container, with a description.
struct Damage {
    what: String,
    container: Container,
    /// Whether no rule covers the change.
    harmless: bool,
}

/// Verifies every damage. Each must cause an error or a warning, unless no rule covers it.
fn expect_all_found(damages: impl Iterator<Item = Damage> + Send) {
    let damages = Mutex::new(damages);
    let (count, harmless) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = damages.lock().unwrap().next();
                    let Some(damage) = next else { break };
                    count.fetch_add(1, Ordering::Relaxed);
                    let verified = verify_blobs(&damage.container.blobs, Depth::Full);
                    if damage.harmless {
                        harmless.fetch_add(1, Ordering::Relaxed);
                    } else if verified.summary.is_clean() {
                        missed.lock().unwrap().push(damage.what);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:#?}");
    let (count, harmless) = (count.into_inner(), harmless.into_inner());
    println!("{count} damages, {harmless} of them not covered by a rule");
    let enough = count * every() > 100 && harmless * 2 < count;
    assert!(enough, "{harmless} of {count}");
}

/// Returns the distance of the tested bytes: each flip verifies an entire container, so only every third byte is
/// tested unless all are requested.
fn every() -> usize {
    match std::env::var_os("CLFSLOAD_ALL_FLIPS") {
        Some(_) => 1,
        None => 3,
    }
}

/// Flips one bit of each of these bytes of a blob. The position of the bit varies.
fn flips<'c>(
    container: &'c Container,
    victim: &'c Victim,
    bytes: impl Iterator<Item = usize> + Send + 'c,
) -> impl Iterator<Item = Damage> + Send + 'c {
    let name = container.blob_name(&victim.id);
    let before = container.payload(&victim.id);
    bytes.step_by(every()).map(move |at| {
        let mut damaged = container.clone();
        let blob = damaged.blobs.get_mut(&name).unwrap();
        let bit = 1 << (at % 8);
        blob[at] ^= bit;
        let after = unwrap_blob(blob);
        // A payload can be compressed in several ways.
        let harmless = after.1.is_empty()
            && after
                .0
                .is_some_and(|after| may_remain_undetected(&before, &after, victim.nature));
        Damage {
            what: format!("{}: bit {bit:#04x} of byte {at}", victim.what),
            container: damaged,
            harmless,
        }
    })
}

/// Stores the object's payload uncompressed.
fn uncompressed(container: &Container, id: &[u8]) -> Container {
    let mut container = container.clone();
    let payload = container.payload(id);
    container.raw(id, |blob| {
        *blob = vec![0; 4];
        blob.extend_from_slice(&payload);
    });
    container
}

/// Returns the bytes of an uncompressed blob to test: all headers and padding, and the first and some other
/// content bytes of each handle.
fn bytes_of_handles(container: &Container, id: &[u8]) -> Vec<usize> {
    let payload = container.payload(id);
    let (handles, _) = parse_handles(&payload);
    let mut bytes = Vec::new();
    let mut end = 0;
    for handle in handles {
        bytes.extend(end..handle.data.start);
        // The length of the attributes.
        let dense = handle.data.clone().take(108);
        let sparse = handle.data.clone().skip(108);
        bytes.extend(dense.chain(sparse.step_by(1 + handle.data.len() / 12)));
        end = handle.data.end;
    }
    bytes.extend(end..payload.len());
    bytes.into_iter().map(|at| at + 4).collect()
}

#[test]
fn flips_in_wrappers_and_frames_are_found() {
    for (container, victims) in [container(), container_with_segments()] {
        flips_in_blobs_are_found(&container, &victims);
    }
}

fn flips_in_blobs_are_found(container: &Container, victims: &[Victim]) {
    expect_all_found(victims.iter().flat_map(|victim| {
        let length = container.blobs[&container.blob_name(&victim.id)].len();
        let start = 0..length.min(40);
        let rest = (40..length).step_by(1 + length / 12);
        let end = length.saturating_sub(6).max(40)..length;
        flips(container, victim, start.chain(rest).chain(end))
    }));
}

#[test]
fn flips_in_handles_are_found() {
    for (container, victims) in [container(), container_with_segments()] {
        flips_in_payloads_are_found(&container, &victims);
    }
}

fn flips_in_payloads_are_found(container: &Container, victims: &[Victim]) {
    let plain: Vec<Container> = victims
        .iter()
        .map(|victim| uncompressed(container, &victim.id))
        .collect();
    let both = plain.iter().zip(victims);
    expect_all_found(both.flat_map(|(container, victim)| {
        let bytes = bytes_of_handles(container, &victim.id);
        flips(container, victim, bytes.into_iter())
    }));
}

#[test]
fn flips_in_an_indirect_block_are_found() {
    let (container, victims) = container_with_an_indirect_block();
    let verified = verify_blobs(&container.blobs, Depth::Full);
    assert_eq!(verified.findings, [], "{}", verified.shown());
    let victim = &victims[0];
    let container = uncompressed(&container, &victim.id);
    let bytes = bytes_of_handles(&container, &victim.id);
    expect_all_found(flips(&container, victim, bytes.into_iter()));
}

#[test]
fn lost_blobs_and_wrong_names_are_found() {
    for (container, victims) in [
        container(),
        container_with_segments(),
        container_with_an_indirect_block(),
    ] {
        for victim in &victims {
            let found = |damage: &dyn Fn(&mut Container)| {
                let mut damaged = container.clone();
                damage(&mut damaged);
                verify_blobs(&damaged.blobs, Depth::Quick).rules()
            };
            let id = &victim.id;
            let removed = found(&|container| drop(container.remove(id)));
            let expected = match victim.what {
                "root" => Rule::Unfinished,
                "bucket" => Rule::BucketMissing,
                _ => Rule::Dangling,
            };
            assert!(removed.contains(&expected), "{}: {removed:?}", victim.what);
            let version = |container: &mut Container, version: &str| {
                let name = container.blob_name(id);
                let blob = container.blobs[&name].clone();
                let newer = name.replacen("00000000009", version, 1);
                container.blobs.insert(newer, blob);
            };
            let newer = found(&|container| version(container, "00000000010"));
            assert!(newer.contains(&Rule::Leftover), "{}", victim.what);
            if victim.what == "bucket" {
                continue;
            }
            let wrong_owner = |name: &str| {
                let mut fields: Vec<&str> = name.split('.').collect();
                let owner = format!("{:016X}", hash64(b"somebody else"));
                fields[2] = &owner;
                fields.join(".")
            };
            let owner = found(&|container| container.rename(id, wrong_owner));
            assert!(owner.contains(&Rule::Owner), "{}: {owner:?}", victim.what);
            let twin = found(&|container| {
                let name = container.blob_name(id);
                let blob = container.blobs[&name].clone();
                container.blobs.insert(wrong_owner(&name), blob);
            });
            assert!(twin.contains(&Rule::Twin), "{}: {twin:?}", victim.what);
        }
    }
}
