//! A default ACL of the destination: everything that is made below inherits it.

use std::path::Path;

use rustix::fs::getxattr;

/// Whether what is made at `destination` inherits an ACL. With one, chmod(2) sets its mask: the modes look
/// like those of the container, and users and groups that it names have access.
pub fn inherits_acl(destination: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(destination) else {
        return false;
    };
    // One that is not there yet inherits that of the folder in which it is made.
    let there = absolute.ancestors().find(|path| path.exists());
    let mut acl = [0; 64 << 10];
    there.is_some_and(|path| {
        getxattr(path, "system.posix_acl_default", acl.as_mut_slice()).is_ok_and(|bytes| bytes > 0)
    })
}
