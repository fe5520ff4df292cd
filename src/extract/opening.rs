//! A destination whose permissions keep its owner out: it is opened up for a run.
//!
//! An earlier run may have given it the root's permissions, such as 0555.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::folder::set_mode_of;

/// What an owner needs to fill a directory.
pub(super) const OWNER_MAY_ALL: Mode = Mode::RWXU;

/// A destination with wider permissions than its own. It gets those back when this is dropped.
#[derive(Debug)]
pub(super) struct OpenedUp {
    descriptor: OwnedFd,
    mode: Option<Mode>,
}

impl OpenedUp {
    /// Lets this user in, who owns the destination. None when nothing has to be done for it, or it is
    /// no directory.
    pub(super) fn destination(path: &Path) -> Result<Option<Self>, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = match retry_on_intr(|| openat(CWD, path, flags, Mode::empty())) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened?,
        };
        let stat = fstat(&descriptor)?;
        if !keeps_owner_out(&stat) {
            return Ok(None);
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        set_mode_of(&descriptor, mode | OWNER_MAY_ALL)?;
        let mode = Some(mode);
        Ok(Some(Self { descriptor, mode }))
    }

    /// It has got others meanwhile, which it keeps.
    pub(super) fn has_others(mut self) {
        self.mode = None;
    }
}

impl Drop for OpenedUp {
    fn drop(&mut self) {
        if let Some(mode) = self.mode {
            // It was set a while ago in the same way; when it was removed meanwhile, nothing is lost.
            let _: Result<(), Errno> = set_mode_of(&self.descriptor, mode);
        }
    }
}

/// Whether a directory's permissions keep this user out, who owns it.
pub(super) fn keeps_owner_out(stat: &Stat) -> bool {
    let owner = geteuid();
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    !owner.is_root() && stat.st_uid == owner.as_raw() && !mode.contains(OWNER_MAY_ALL)
}
