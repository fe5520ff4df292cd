//! A container with two objects of each kind, for tests that store one object's bytes under another's name.

use std::collections::HashMap;

use clfs_format::{FileType, Filehandle, ObjectName};

use super::synthetic::{Builder, Directory};

/// The size of a file that has one segment besides its inode.
pub(crate) const LARGE: usize = 16_384 + 100;

/// One kind of object, and the effects of damage to it.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) what: &'static str,
    /// Its blob.
    pub(crate) blob: String,
    /// The blob of another object of the same kind; `None` if a container has only one.
    pub(crate) other: Option<String>,
    /// The entry that is damaged; `None` if no entry becomes unreadable.
    pub(crate) damaged: Option<&'static str>,
    /// The other paths that become unreachable.
    pub(crate) unreachable: &'static [&'static str],
}

/// The container.
#[derive(Clone)]
pub(crate) struct Kinds {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) kinds: Vec<Kind>,
}

/// One object's bytes stored under another object's name.
pub(crate) struct Swap<'k> {
    pub(crate) what: String,
    pub(crate) kind: &'k Kind,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
}

impl Kinds {
    pub(crate) fn new() -> Self {
        let mut build = Builder::new();
        let mut root = build.root();
        let mut kinds = Vec::new();
        let large = vec![b'x'; LARGE];
        let files: [(&'static str, FileType, &[u8], [&'static str; 2]); 7] = [
            ("small file", FileType::Regular, b"text", ["/alice", "/bob"]),
            (
                "large file",
                FileType::Regular,
                &large,
                ["/large", "/large2"],
            ),
            ("symlink", FileType::Symlink, b"alice", ["/link", "/link2"]),
            ("fifo", FileType::Fifo, b"", ["/fifo", "/fifo2"]),
            ("socket", FileType::Socket, b"", ["/socket", "/socket2"]),
            ("block device", FileType::Block, b"", ["/block", "/block2"]),
            (
                "character device",
                FileType::Character,
                b"",
                ["/character", "/character2"],
            ),
        ];
        let mut owners = Vec::new();
        for (what, file_type, content, paths) in files {
            let handles =
                paths.map(|path| add(&mut build, &mut root, &path[1..], file_type, content));
            let [blob, other] = handles.map(|handle| inode(&build, handle));
            kinds.push(kind(what, blob, Some(other), Some(paths[0]), &[]));
            if content.len() == LARGE {
                owners = handles.to_vec();
            }
        }
        let [segment, other] = [0, 1].map(|n| segments(&build, owners[n])[0].clone());
        kinds.push(kind(
            "segment of a file",
            segment,
            Some(other),
            Some("/large"),
            &[],
        ));

        let folders = ["dir", "dir2", "many", "many2"].map(|name| {
            let mut folder = build.directory(&mut root, name);
            for name in ["one", "two"] {
                add(
                    &mut build,
                    &mut folder,
                    name,
                    FileType::Regular,
                    name.as_bytes(),
                );
            }
            folder
        });
        for folder in &folders {
            match folder.name.starts_with(b"many") {
                true => build.finish_directory_one_entry_per_segment(folder),
                false => build.finish_directory(folder),
            }
        }
        build.finish_directory(&root);
        build.finish_bucket();
        let [dir, dir2, many, many2] = folders.map(|folder| folder.handle);
        let [blob, other] = [dir, dir2].map(|handle| inode(&build, handle));
        kinds.push(kind(
            "directory",
            blob,
            Some(other),
            Some("/dir"),
            &["/dir/one", "/dir/two"],
        ));
        let [blob, other] = [many, many2].map(|handle| segments(&build, handle)[0].clone());
        kinds.push(kind(
            "segment of a directory",
            blob,
            Some(other),
            Some("/many"),
            &["/many/one"],
        ));
        kinds.push(kind(
            "root",
            ObjectName::root().to_string(),
            None,
            Some("/"),
            &[],
        ));
        kinds.push(kind(
            "bucket",
            ObjectName::bucket().to_string(),
            None,
            None,
            &[],
        ));
        let blobs = build.blobs;
        assert!(kinds.iter().all(|kind| blobs.contains_key(&kind.blob)));
        Self { blobs, kinds }
    }

    /// Returns every pair of kinds, with the bytes of the second stored under the name of the first. Within one
    /// kind, the bytes are those of another object.
    pub(crate) fn swaps(&self) -> impl Iterator<Item = Swap<'_>> {
        let indirect = ("indirect block", indirect_block());
        self.kinds.iter().flat_map(move |kind| {
            let donors = self.kinds.iter().filter_map(|donor| {
                let same = donor.blob == kind.blob;
                let blob = match same {
                    true => donor.other.as_ref()?,
                    false => &donor.blob,
                };
                Some((donor.what, self.blobs[blob].clone()))
            });
            let donors: Vec<_> = donors.chain([indirect.clone()]).collect();
            donors.into_iter().map(move |(donor, bytes)| {
                let mut blobs = self.blobs.clone();
                let before = blobs.insert(kind.blob.clone(), bytes.clone());
                assert_ne!(before, Some(bytes), "{donor} is the same object");
                Swap {
                    what: format!("{donor} under the name of a {}", kind.what),
                    kind,
                    blobs,
                }
            })
        })
    }
}

fn kind(
    what: &'static str,
    blob: String,
    other: Option<String>,
    damaged: Option<&'static str>,
    unreachable: &'static [&'static str],
) -> Kind {
    Kind {
        what,
        blob,
        other,
        damaged,
        unreachable,
    }
}

fn add(
    build: &mut Builder,
    folder: &mut Directory,
    name: &str,
    file_type: FileType,
    content: &[u8],
) -> Filehandle {
    let handle = build.handle(folder.handle, file_type);
    folder.add(name, handle);
    build.entity(handle, &[folder.handle], name, content);
    handle
}

/// Returns the blob of an entity's inode.
pub(crate) fn inode(build: &Builder, handle: Filehandle) -> String {
    let id = format!("_{handle}.");
    let mut names = build.blobs.keys();
    names.find(|name| name.contains(&id)).unwrap().clone()
}

/// Returns the blobs of an entity's segments, in order.
fn segments(build: &Builder, handle: Filehandle) -> Vec<String> {
    let owner = format!(".0008.{:016X}.", handle.hash64());
    let of_owner = build.blobs.keys().filter(|name| name.contains(&owner));
    let mut names: Vec<String> = of_owner.cloned().collect();
    // Names begin with a hash, but the builder assigns ids in ascending order.
    names.sort_by_key(|name| name[17..].to_owned());
    names
}

/// Returns the bytes of an indirect block.
fn indirect_block() -> Vec<u8> {
    let (blobs, [name, _]) = two_wide_directories();
    blobs[&name].clone()
}

/// Creates two directories of 1,024 segments, `/wide` and `/wide2`. Returns also the blobs of their indirect
/// blocks, which contain the last entry of each, `last`.
pub(crate) fn two_wide_directories() -> (HashMap<String, Vec<u8>>, [String; 2]) {
    let mut build = Builder::new();
    let mut root = build.root();
    let blobs = ["wide", "wide2"].map(|name| {
        let mut wide = build.directory(&mut root, name);
        let file = build.handle(wide.handle, FileType::Regular);
        build.entity(file, &vec![wide.handle; 1023], "0", b"first");
        for number in 0..1023 {
            wide.add(number.to_string(), file);
        }
        add(&mut build, &mut wide, "last", FileType::Regular, b"last");
        build.finish_directory_one_entry_per_segment(&wide);
        let owner = format!(".0009.{:016X}.", wide.handle.hash64());
        let mut names = build.blobs.keys();
        names.find(|name| name.contains(&owner)).unwrap().clone()
    });
    build.finish_directory(&root);
    build.finish_bucket();
    (build.blobs, blobs)
}
