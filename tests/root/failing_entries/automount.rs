//! A directory that is mounted when it is entered: an autofs mount whose daemon is this test.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::support::command::{CommandOutput, SEED, Scratch, clfsload};
use crate::support::mounts::{self, Mounted};
use clfsload_checker::{FolderBlobs, check};

/// `struct autofs_v5_packet` of linux/auto_fs4.h: its size with padding, and the offset of the token.
const PACKET: usize = 304;
const TOKEN: usize = 8;
/// `_IO(0x93, 0x60)` and `_IO(0x93, 0x61)`.
const READY: libc::c_ulong = 0x9360;
const FAIL: libc::c_ulong = 0x9361;

/// Mounts `source` with the type `kind`, using mount(2).
fn mount(source: &str, at: &Path, kind: &str, options: &str) {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap();
    let (source, kind) = (text(source.as_bytes()), text(kind.as_bytes()));
    let (at, options) = (text(at.as_os_str().as_bytes()), text(options.as_bytes()));
    // SAFETY: all four strings end with NUL and live until the call returns.
    let done = unsafe {
        libc::mount(
            source.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// A direct mount with a single trigger.
struct Trigger {
    at: PathBuf,
    requests: File,
    root: File,
    // Must be dropped last.
    _mounted: Mounted,
}

impl Trigger {
    fn new(at: &Path) -> Self {
        let (requests, daemon): (OwnedFd, OwnedFd) = {
            let (read, write) = std::io::pipe().unwrap();
            (read.into(), write.into())
        };
        let group = rustix::process::getpgrp().as_raw_nonzero();
        let options = format!(
            "fd={},pgrp={group},minproto=5,maxproto=5,direct",
            daemon.as_raw_fd()
        );
        mount("trigger", at, "autofs", &options);
        let mounted = Mounted::at(at);
        Trigger {
            at: at.to_path_buf(),
            requests: File::from(requests),
            // The daemon's process group does not trigger mounts.
            root: File::open(at).unwrap(),
            _mounted: mounted,
        }
    }

    /// Waits for the first request, and replies to it with a mount or with a failure.
    fn reply(&mut self, mounts: bool) -> Option<Mounted> {
        let mut waiting = [PollFd::new(&self.requests, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 30,
            tv_nsec: 0,
        };
        let ready = rustix::event::poll(&mut waiting, Some(&patience)).unwrap();
        assert_eq!(ready, 1, "nothing enters the directory");
        let mut packet = [0; PACKET];
        self.requests.read_exact(&mut packet).unwrap();
        let token = u32::from_ne_bytes(packet[TOKEN..TOKEN + 4].try_into().unwrap());
        let mounted = mounts.then(|| {
            mount("automounted", &self.at, "tmpfs", "");
            fs::write(self.at.join("inside"), "content").unwrap();
            chown(&self.at, Some(1234), Some(4321)).unwrap();
            fs::set_permissions(&self.at, Permissions::from_mode(0o2770)).unwrap();
            Mounted::at(&self.at)
        });
        let reply = if mounts { READY } else { FAIL };
        // SAFETY: the descriptor is open, and the request takes a number, not a pointer.
        let done = unsafe { libc::ioctl(self.root.as_raw_fd(), reply, libc::c_ulong::from(token)) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        mounted
    }
}

fn load(scratch: &Scratch, more: &[&str]) -> std::thread::JoinHandle<CommandOutput> {
    let mut command = clfsload();
    command
        .args(scratch.arguments("t", "t"))
        .args(["--seed", SEED]);
    // autofs does not send requests for its daemon's process group.
    command.args(more).process_group(0);
    std::thread::spawn(move || CommandOutput::from(command.output().unwrap()))
}

#[test]
fn an_automounted_directory_has_the_attributes_of_the_mounted_root() {
    if !mounts::possible() {
        return;
    }
    let scratch = Scratch::new();
    let at = scratch.source().join("auto");
    fs::create_dir(&at).unwrap();
    let mut trigger = Trigger::new(&at);
    let loading = load(&scratch, &["--new"]);
    let mounted = trigger.reply(true);
    loading.join().unwrap().expect(0);
    let source = fs::metadata(&at).unwrap();
    assert_eq!(
        (source.mode(), source.uid()),
        (0o42770, 1234),
        "what was mounted"
    );
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    let node = &checked.tree[b"auto".as_slice()];
    assert_eq!((node.mode, node.uid, node.gid), (0o42770, 1234, 4321));
    assert_eq!(node.file_id, source.ino());
    assert!(checked.tree.contains_key(b"auto/inside".as_slice()));
    drop(mounted);
}

#[test]
fn an_automount_that_fails_is_a_problem() {
    if !mounts::possible() {
        return;
    }
    let scratch = Scratch::new();
    let at = scratch.source().join("auto");
    fs::create_dir(&at).unwrap();
    let mut trigger = Trigger::new(&at);
    let loading = load(&scratch, &["--new"]);
    assert!(trigger.reply(false).is_none());
    loading
        .join()
        .unwrap()
        .refused(3, "auto: the file system that belongs here is not mounted");
    let listed = super::fixture::listed_problems(&scratch, "t");
    assert_eq!(listed["auto"].reason, "not-mounted");
    // The kernel does not cache the failure, so the mount is attempted again.
    let loading = load(&scratch, &[]);
    let mounted = trigger.reply(true);
    loading.join().unwrap().expect(0);
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    assert_eq!(checked.tree[b"auto".as_slice()].mode, 0o42770);
    drop(mounted);
}
