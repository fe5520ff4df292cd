//! The container to damage, with the ids of its objects.

use clfs_format::{FileType, Filehandle};

use super::edit::Container;
use crate::support::synthetic::Builder;
use clfsload_checker::parse_handles;

/// Links in the directory `many`.
const MANY: usize = 1000;

/// One of everything.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) container: Container,
    pub(crate) root: Vec<u8>,
    /// A directory with `small`, `linked` and the directory `inner`.
    pub(crate) a: Vec<u8>,
    /// Empty, in `a`.
    pub(crate) inner: Vec<u8>,
    /// A directory with two more links of `linked`.
    pub(crate) b: Vec<u8>,
    /// A directory of three segments, all links of `links`.
    pub(crate) many: Vec<u8>,
    pub(crate) many_segments: Vec<Vec<u8>>,
    pub(crate) small: Vec<u8>,
    pub(crate) linked: Vec<u8>,
    pub(crate) links: Vec<u8>,
    /// A file of three segments, compressible.
    pub(crate) multi: Vec<u8>,
    pub(crate) multi_segments: Vec<Vec<u8>>,
    pub(crate) symlink: Vec<u8>,
    pub(crate) block: Vec<u8>,
    pub(crate) fifo: Vec<u8>,
    /// Paths in the tree.
    pub(crate) paths: usize,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let mut build = Builder::new();
        let mut root = build.root();
        let mut a = build.directory(&mut root, "a");
        let mut b = build.directory(&mut root, "b");
        let inner = build.directory(&mut a, "inner");
        let mut many = build.directory(&mut root, "many");

        let small = build.handle(a.handle, FileType::Regular);
        a.add("small", small);
        build.entity(small, &[a.handle], "small", &b"small text ".repeat(50));
        let linked = build.handle(a.handle, FileType::Regular);
        a.add("linked", linked);
        b.add("linked-2", linked).add("linked-3", linked);
        let back = [a.handle, b.handle, b.handle];
        build.entity(linked, &back, "linked", b"linked");
        let links = build.handle(many.handle, FileType::Regular);
        for number in 0..MANY {
            many.add(format!("{number:0250}"), links);
        }
        let name = format!("{:0250}", 0);
        build.entity(links, &[many.handle; MANY], &name, b"");

        let multi = build.handle(root.handle, FileType::Regular);
        root.add("multi", multi);
        build.entity(
            multi,
            &[root.handle],
            "multi",
            &vec![7; 16_384 + (8 << 20) + 100],
        );
        let mut special = |name: &str, file_type, content: &[u8]| {
            let handle = build.handle(root.handle, file_type);
            root.add(name, handle);
            build.entity(handle, &[root.handle], name, content);
            handle
        };
        let symlink = special("symlink", FileType::Symlink, "t\u{e4}rget".as_bytes());
        let block = special("block", FileType::Block, b"");
        special("character", FileType::Character, b"");
        special("socket", FileType::Socket, b"");
        let fifo = special("fifo", FileType::Fifo, b"");

        let directories = [&root, &a, &b, &inner, &many];
        let paths = 1 + directories.iter().map(|d| d.entries.len()).sum::<usize>();
        for directory in directories {
            build.finish_directory(directory);
        }
        build.finish_bucket();
        let container = Container { blobs: build.blobs };
        let bytes = |handle: Filehandle| handle.as_bytes().to_vec();
        Fixture {
            root: bytes(root.handle),
            a: bytes(a.handle),
            inner: bytes(inner.handle),
            b: bytes(b.handle),
            many_segments: segments(&container, many.handle.as_bytes(), 2),
            many: bytes(many.handle),
            small: bytes(small),
            linked: bytes(linked),
            links: bytes(links),
            multi_segments: segments(&container, multi.as_bytes(), 2),
            multi: bytes(multi),
            symlink: bytes(symlink),
            block: bytes(block),
            fifo: bytes(fifo),
            paths,
            container,
        }
    }
}

/// Returns the direct segments of an entity with a 24-byte filehandle.
pub(crate) fn segments(container: &Container, handle: &[u8], count: usize) -> Vec<Vec<u8>> {
    let payload = container.payload(handle);
    let (handles, _) = parse_handles(&payload);
    let map = handles.iter().find(|handle| handle.kind == 5).unwrap();
    // u32 first, u32 other, u32 count, then u16 24 and block 0.
    let ids = &payload[map.data.start + 12 + 26..];
    (0..count)
        .map(|n| ids[18 * n + 2..18 * n + 18].to_vec())
        .collect()
}
