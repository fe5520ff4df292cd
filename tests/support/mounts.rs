//! File systems that a test mounts: bind mounts, images on loop devices, and automounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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

/// A mount. It is unmounted on drop.
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Bind-mounts a folder on another.
    pub fn folder(from: &Path, at: &Path) -> Self {
        run(Command::new("mount").arg("--bind").arg(from).arg(at));
        Mounted::at(at)
    }

    /// Mounts a loop device.
    pub fn device(device: &Loop, at: &Path) -> Self {
        run(Command::new("mount").arg(&device.0).arg(at));
        Mounted::at(at)
    }

    /// Mounts a FUSE file system whose server has exited. Each call fails with `ENOTCONN`.
    pub fn dead(at: &Path) -> Self {
        let script = "exec 3<>/dev/fuse && \
            mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 dead \"$0\"";
        run(Command::new("sh").arg("-c").arg(script).arg(at));
        assert!(fs::metadata(at).is_err(), "the mount responds");
        Mounted::at(at)
    }

    /// Takes over an existing mount.
    pub fn at(at: &Path) -> Self {
        Mounted {
            at: at.to_path_buf(),
        }
    }

    /// Unmounts it. Panics if that fails for five seconds: the kernel may close the files of a killed process after its
    /// exit was reported, and umount(2) fails with EBUSY until then.
    pub fn unmount(self) {
        let umount = || Command::new("umount").arg(&self.at).output().unwrap();
        let mut output = umount();
        for _ in 0..50 {
            if output.status.success() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            output = umount();
        }
        assert!(output.status.success(), "{output:?}");
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // umount(2) fails with EBUSY while the command of a failed test uses the mount.
        drop(Command::new("umount").arg("-l").arg(&self.at).output());
    }
}

/// An image on a loop device. It is detached on drop.
pub struct Loop(PathBuf);

impl Loop {
    /// Attaches an image to a free device.
    pub fn of(image: &Path) -> Self {
        let device = run(Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image));
        Loop(device.into())
    }

    /// Swaps the images of two devices.
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

/// Creates a 4 MiB ext4 image with the entries of `content` and a file `used`. File systems that were created in
/// the same second and never written to could not be distinguished.
pub fn image(path: &Path, content: &Path) {
    fs::File::create(path).unwrap().set_len(4 << 20).unwrap();
    // Only inodes of 256 bytes store birth times and nanoseconds.
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
