//! Entries that need special system calls: devices, sockets, paths longer than PATH_MAX.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat};

/// The depth of [`deep`]. 24 names of 255 bytes make a path of about 6,000 bytes; PATH_MAX is 4,096.
pub const DEEP_LEVELS: usize = 24;

/// Returns whether devices can be created and owners changed.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// One entry of every file type. Block and character devices are skipped unless run as root.
pub fn every_type(at: &Path) {
    std::fs::create_dir_all(at.join("directory/empty")).unwrap();
    std::fs::write(at.join("regular"), b"regular content\n").unwrap();
    std::os::unix::fs::symlink("regular", at.join("symlink")).unwrap();
    std::os::unix::fs::symlink("no/such/\u{e4}\u{4e16}", at.join("dangling")).unwrap();
    std::os::unix::fs::symlink("t".repeat(1023), at.join("long-symlink")).unwrap();
    let mut target = vec![b'\\', 0xff, b'\n'];
    target.extend_from_slice(b"../x");
    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&target);
    std::os::unix::fs::symlink(target, at.join("odd-symlink")).unwrap();
    node(at, "fifo", FileType::Fifo, 0);
    drop(socket(at));
    if is_superuser() {
        node(at, "block-7-300", FileType::BlockDevice, makedev(7, 300));
        node(at, "char-1-3", FileType::CharacterDevice, makedev(1, 3));
        node(
            at,
            "char-4095-1048575",
            FileType::CharacterDevice,
            makedev(4095, 1_048_575),
        );
    }
}

/// Binds a socket through /proc/self/fd: `sun_path` holds only 108 bytes, and the paths of temporary folders may
/// be longer.
fn socket(at: &Path) -> UnixListener {
    let folder = File::open(at).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
    UnixListener::bind(format!("/proc/self/fd/{number}/socket")).unwrap()
}

fn node(at: &Path, name: &str, kind: FileType, device: u64) {
    let folder = File::open(at).unwrap();
    mknodat(&folder, name, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

/// A chain of directories whose path is longer than PATH_MAX, with a file on each level.
pub fn deep(at: &Path) {
    let name = "d".repeat(255);
    let mut folder = std::os::fd::OwnedFd::from(File::open(at).unwrap());
    for level in 0..DEEP_LEVELS {
        mkdirat(&folder, &name, Mode::from_raw_mode(0o755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        folder = openat(&folder, &name, flags, Mode::empty()).unwrap();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = openat(&folder, "file", flags, Mode::from_raw_mode(0o644)).unwrap();
        File::from(file)
            .write_all(format!("level {level}\n").as_bytes())
            .unwrap();
    }
}
