//! `listxattrat(2)` of Linux 6.13, which neither the C library nor rustix has yet.
//!
//! A path through `/proc/self/fd` takes more than twice as long, for each entry of a tree
//! (docs/performance.md).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::Errno;

/// Whether the call is unavailable: the kernel is older, or a filter rejects unknown calls.
static IS_MISSING: AtomicBool = AtomicBool::new(false);

/// Lists the names of the extended attributes of `name` in `directory`, without following a symlink. None if
/// the call is unavailable.
pub(super) fn listxattrat(
    directory: BorrowedFd<'_>,
    name: &CStr,
    list: &mut [u8],
) -> Option<Result<usize, Errno>> {
    if IS_MISSING.load(Relaxed) {
        return None;
    }
    match call(directory, name, list) {
        // Not an error of the file system: the kernel replaces its ENOSYS by another error (xattr(7)).
        Err(Errno::NOSYS | Errno::PERM) => {
            IS_MISSING.store(true, Relaxed);
            None
        }
        listed => Some(listed),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn call(directory: BorrowedFd<'_>, name: &CStr, list: &mut [u8]) -> Result<usize, Errno> {
    /// `__NR_listxattrat` in `asm-generic/unistd.h`, and the same on x86-64.
    const LISTXATTRAT: libc::c_long = 465;
    let (length, flags) = (list.len(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: the kernel reads `name` up to its zero, and writes no more than `length` bytes to `list`,
    // which is borrowed exclusively for the call. `directory` is open meanwhile.
    let written = unsafe {
        libc::syscall(
            LISTXATTRAT,
            directory.as_raw_fd(),
            name.as_ptr(),
            flags,
            list.as_mut_ptr(),
            length,
        )
    };
    usize::try_from(written).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn call(_: BorrowedFd<'_>, _: &CStr, _: &mut [u8]) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}
