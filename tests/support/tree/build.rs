//! Trees of ordinary entries with unusual names, sizes, counts, times and owners.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::special::{deep, every_type, is_superuser};

/// Builds all of these trees except the [`sparse`] file, each in its own directory.
pub fn full(root: &Path) {
    type Build<'b> = &'b dyn Fn(&Path);
    let builders: [(&str, Build<'_>); 9] = [
        ("types", &every_type),
        ("names", &odd_names),
        ("links", &|at| hard_links(at, 1040)),
        ("wide", &|at| wide(at, 3000)),
        ("sizes", &sizes),
        ("deep", &deep),
        ("modes", &modes_and_owners),
        ("times", &times),
        ("empty", &|_| ()),
    ];
    for (name, build) in builders {
        let at = root.join(name);
        fs::create_dir_all(&at).unwrap();
        build(&at);
    }
}

/// A file and a directory for each unusual name.
pub fn odd_names(at: &Path) {
    let longest = [b'n'; 255];
    let mut longest_invalid = [0x80; 255];
    longest_invalid[0] = b'-';
    let names: [&[u8]; 24] = [
        b" ",
        b" leading and trailing ",
        b"-",
        b"--help",
        b"-rf",
        b"...",
        b".hidden",
        b".tmp-looks-temporary",
        b"new\nline",
        b"\n",
        b"\r\n",
        b"tab\tbell\x07escape\x1b[31m",
        b"\x01",
        b"\x7f",
        b"back\\slash",
        b"quote'\"`$(x)",
        b"*?[a]",
        b"invalid-\xff\xfe-utf8",
        b"\xc3\x28",
        b"\xed\xa0\x80 surrogate",
        "\u{e4}\u{4e16}\u{754c}\u{1f600} and e\u{301}".as_bytes(),
        b"%2e%2e%2fC:",
        &longest,
        &longest_invalid,
    ];
    let directories = at.join("directories");
    fs::create_dir(&directories).unwrap();
    for name in names {
        fs::write(at.join(OsStr::from_bytes(name)), name).unwrap();
        let directory = directories.join(OsStr::from_bytes(name));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("inside"), name).unwrap();
    }
}

/// `count` paths of one file in three directories, and a file with two names in one directory.
pub fn hard_links(at: &Path, count: usize) {
    let path = |number: usize| {
        at.join(["a", "b", "c"][number % 3])
            .join(format!("link-{number:05}"))
    };
    for name in ["a", "b", "c"] {
        fs::create_dir(at.join(name)).unwrap();
    }
    fs::write(path(0), vec![b'l'; 20_000]).unwrap();
    for number in 1..count {
        fs::hard_link(path(0), path(number)).unwrap();
    }
    fs::write(at.join("one"), b"two names").unwrap();
    fs::hard_link(at.join("one"), at.join("two")).unwrap();
    fs::hard_link(at.join("one"), at.join("a/three")).unwrap();
    std::os::unix::fs::symlink("target", at.join("symlink")).unwrap();
    fs::hard_link(at.join("symlink"), at.join("b/symlink-too")).unwrap();
}

/// A directory of `count` entries with names of 180 to 230 bytes. 3,000 entries need several segments.
pub fn wide(at: &Path, count: usize) {
    for number in 0..count {
        let name = format!("{number:06}-{}", "w".repeat(173 + number % 51));
        if number % 100 == 7 {
            fs::create_dir(at.join(name)).unwrap();
        } else {
            fs::write(at.join(name), number.to_string()).unwrap();
        }
    }
}

/// Files with sizes at every boundary of the segmentation, compressible and not.
pub fn sizes(at: &Path) {
    const SEGMENT: usize = 8 << 20;
    let edges = [0, 1, 2, 16_383, 16_384, 16_385, 300_000];
    let large = [SEGMENT + 16_383, SEGMENT + 16_384, SEGMENT + 16_385];
    for size in edges.into_iter().chain(large) {
        fs::write(at.join(format!("random-{size}")), random(size)).unwrap();
        let text: Vec<u8> = b"compressible text, "
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect();
        fs::write(at.join(format!("text-{size}")), text).unwrap();
    }
}

/// Returns bytes that do not compress; the same bytes for the same length.
fn random(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// An 8.65 GB file that needs indirect blocks (those start at 8,573,173,760 bytes), with data at the start,
/// on both sides of that boundary and at the end.
pub fn sparse(at: &Path) {
    const DIRECT_BYTES: u64 = 16_384 + 1023 * (8 << 20);
    const SIZE: u64 = 8_650_000_001;
    let file = File::create(at.join("sparse")).unwrap();
    file.set_len(SIZE).unwrap();
    for island in [0, 16_380, 1 << 32, DIRECT_BYTES - 50, SIZE - 100] {
        file.write_all_at(&random(100), island).unwrap();
    }
}

/// Files with various mode bits and, if run as root, various owners.
pub fn modes_and_owners(at: &Path) {
    let modes = [0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o6000, 0o001];
    for mode in modes {
        let file = at.join(format!("file-{mode:04o}"));
        fs::write(&file, b"mode").unwrap();
        let directory = at.join(format!("directory-{mode:04o}"));
        fs::create_dir(&directory).unwrap();
        // The tree must remain readable for a user other than root.
        let mode = if is_superuser() { mode } else { mode | 0o500 };
        for path in [file, directory] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    if is_superuser() {
        // u32::MAX means "leave it" to chown(2).
        let owners = [
            (1, 2),
            (65_534, 65_535),
            (65_536, 100_000),
            (u32::MAX - 1, u32::MAX - 1),
        ];
        for (uid, gid) in owners {
            let path = at.join(format!("owner-{uid}-{gid}"));
            File::create(&path).unwrap().write_all(b"owned").unwrap();
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            let link = at.join(format!("symlink-{uid}-{gid}"));
            std::os::unix::fs::symlink("x", &link).unwrap();
            std::os::unix::fs::lchown(&link, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// Modification times with nanoseconds, before 1970, and beyond 32 bits. A file system that cannot store one
/// stores the nearest; `walk_source` reads the stored time.
pub fn times(at: &Path) {
    let times = [
        (0, 0),
        (0, 1),
        (1, 999_999_999),
        (1_400_000_000, 123_456_789),
        (-1, 0),
        (-1, 999_999_999),
        (-2_000_000_000, 5),
        (i64::from(u32::MAX), 999_999_999),
        (i64::from(u32::MAX) + 1, 1),
        (i64::from(i32::MAX), 7),
        (i64::from(i32::MAX) + 1, 8),
    ];
    for (number, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        let file = at.join(format!("file-{number}"));
        fs::write(&file, b"time").unwrap();
        let directory = at.join(format!("directory-{number}"));
        fs::create_dir(&directory).unwrap();
        let link = at.join(format!("symlink-{number}"));
        std::os::unix::fs::symlink("x", &link).unwrap();
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let both = Timestamps {
            last_access: time,
            last_modification: time,
        };
        for path in [file, directory, link] {
            utimensat(CWD, &path, &both, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
}
