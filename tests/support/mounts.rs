//! File systems that a test mounts: folders, images on loop devices, and what automounts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns true if file systems can be mounted here; skips the test otherwise.
#[track_caller]
pub fn possible() -> bool {
    super::skip::needs_root("mounting")
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Something that is mounted; unmounted when dropped.
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Mounts a folder on another.
    pub fn folder(from: &Path, at: &Path) -> Self {
        run(Command::new("mount").arg("--bind").arg(from).arg(at));
        Mounted::at(at)
    }

    /// Mounts a loop device.
    pub fn device(device: &Loop, at: &Path) -> Self {
        run(Command::new("mount").arg(&device.0).arg(at));
        Mounted::at(at)
    }

    /// Mounts a FUSE whose server is gone: each call is answered with `ENOTCONN`.
    pub fn dead(at: &Path) -> Self {
        let script = "exec 3<>/dev/fuse && \
            mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 dead \"$0\"";
        run(Command::new("sh").arg("-c").arg(script).arg(at));
        assert!(fs::metadata(at).is_err(), "it answers");
        Mounted::at(at)
    }

    /// What is mounted there already.
    pub fn at(at: &Path) -> Self {
        Mounted {
            at: at.to_path_buf(),
        }
    }

    /// Unmounts it, which must succeed.
    pub fn unmount(self) {
        run(Command::new("umount").arg(&self.at));
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A command of a failed test may still be in it: umount(2) would be EBUSY.
        drop(Command::new("umount").arg("-l").arg(&self.at).output());
    }
}

/// An image on a loop device; detached when dropped.
pub struct Loop(PathBuf);

impl Loop {
    /// Attaches an image to a free device.
    pub fn of(image: &Path) -> Self {
        let device = run(Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image));
        Loop(device.into())
    }

    /// Attaches images to each other's devices.
    pub fn swap(one: &Loop, one_image: &Path, other: &Loop, other_image: &Path) {
        for device in [one, other] {
            run(Command::new("losetup").arg("--detach").arg(&device.0));
        }
        for (device, image) in [(one, other_image), (other, one_image)] {
            run(Command::new("losetup").arg(&device.0).arg(image));
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(
            Command::new("losetup")
                .arg("--detach")
                .arg(&self.0)
                .output(),
        );
    }
}

/// Makes an image of 4 MiB with an ext4 that holds what is in `content`, and a file `used`: a file system
/// that was never used is like any other that was made in the same second.
pub fn image(path: &Path, content: &Path) {
    fs::File::create(path).unwrap().set_len(4 << 20).unwrap();
    // Inodes of 256 bytes have birth times, and nanoseconds.
    let options = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-I",
        "256",
        "-O",
        "^has_journal",
        "-d",
    ];
    run(Command::new("mke2fs").args(options).arg(content).arg(path));
    let at = path.with_extension("mounted");
    fs::create_dir(&at).unwrap();
    let device = Loop::of(path);
    let mounted = Mounted::device(&device, &at);
    fs::write(at.join("used"), path.as_os_str().as_encoded_bytes()).unwrap();
    mounted.unmount();
}
