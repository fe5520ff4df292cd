//! What an entry is to look like in the end, how it is told whether it does, and how it is made so.

use std::os::fd::AsFd;

use clfs_format::{FileType, Timestamp};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, futimens,
    utimensat,
};
use rustix::io::Errno;

use super::component::Component;
use super::folder::Folder;
use super::problem::{Action, LocalError};
use super::tree::Making;
use crate::read::Entity;

const LAST_NANOSECOND: u32 = 999_999_999;
/// To chown(2) it means "leave it".
const NO_ID: u32 = u32::MAX;
/// Set-user-ID and set-group-ID.
const SET_ID: u16 = 0o6000;

/// Whether files get the owners that they have in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// They do; what that takes is the superuser's right.
    Same,
    /// They belong to whoever extracts them. Set-user-ID and set-group-ID are then left out: they
    /// would lend the rights of somebody else than meant.
    Mine,
}

/// The first attribute that the destination refused. The entry stands there without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub(super) struct Missing(pub(super) Option<LocalError>);

impl Missing {
    /// Takes the outcome of a call. What is no refusal ends the work on the entry.
    fn note(&mut self, action: Action, done: Result<(), Errno>) -> Result<(), LocalError> {
        match done {
            Ok(()) => Ok(()),
            Err(
                errno @ (Errno::PERM
                | Errno::ACCESS
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::OVERFLOW),
            ) => {
                self.0.get_or_insert(action.failed(errno));
                Ok(())
            }
            Err(errno) => Err(action.failed(errno)),
        }
    }
}

/// The attributes of an entry as they are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) file_type: FileType,
    /// Bytes of a file or of a symlink's target; 0 of anything else.
    pub(super) size: u64,
    /// Its nanoseconds are below a second.
    pub(super) mtime: Timestamp,
    /// The low twelve bits of `st_mode`.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    /// Numbers of a device.
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Wanted {
    pub(super) fn of(entity: &Entity) -> Self {
        let attributes = &entity.attributes;
        let device = matches!(entity.file_type, FileType::Block | FileType::Character);
        Self {
            file_type: entity.file_type,
            size: match entity.file_type {
                FileType::Regular => attributes.size,
                // Some loaders count characters (docs/format.md section 7).
                _ => entity.target().map_or(0, |target| target.len() as u64),
            },
            mtime: settable(attributes.mtime),
            mode: attributes.mode & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            nlink: attributes.nlink,
            major: if device { attributes.major } else { 0 },
            minor: if device { attributes.minor } else { 0 },
        }
    }

    /// Whether what stands there has this type, size, modification time and device number. `kept` is
    /// the time that the file system made of the wanted one.
    pub(super) fn stands(&self, stat: &Stat, kept: Option<Timestamp>) -> bool {
        let mtime = mtime_of(stat);
        let same_time = mtime.is_some() && (mtime == Some(self.mtime) || mtime == kept);
        self.has_size(stat) && same_time
    }

    /// Whether what stands there has this type, size and device number.
    pub(super) fn has_size(&self, stat: &Stat) -> bool {
        let same_size = match self.file_type {
            FileType::Regular | FileType::Symlink => u64::try_from(stat.st_size) == Ok(self.size),
            _ => true,
        };
        let same_device = match self.file_type {
            FileType::Block | FileType::Character => stat.st_rdev == self.device(),
            _ => true,
        };
        FileType::from_mode(stat.st_mode) == Some(self.file_type) && same_size && same_device
    }

    pub(super) fn device(&self) -> u64 {
        rustix::fs::makedev(self.major, self.minor)
    }

    /// Whether permissions are others than they should be.
    pub(super) fn differs(&self, stat: &Stat, making: Making) -> bool {
        self.file_type != FileType::Symlink
            && making.permissions
            && stat.st_mode & 0o7777 != u32::from(self.mode_bits(making.owners))
    }

    /// Whether set-user-ID or set-group-ID is wanted: they lend the owner's rights.
    pub(super) fn lends_rights(&self) -> bool {
        self.mode & SET_ID != 0
    }

    /// Whether the one who owns what stands there is the one who should. Another may have it open
    /// for writing: given away, with set-user-ID, it would do what that one writes.
    pub(super) fn has_owner(&self, stat: &Stat, owners: Owners) -> bool {
        owners == Owners::Mine || (stat.st_uid, stat.st_gid) == (self.uid, self.gid)
    }

    fn mode_bits(&self, owners: Owners) -> u16 {
        match owners {
            Owners::Same => self.mode,
            Owners::Mine => self.mode & !SET_ID,
        }
    }

    fn file_mode(&self, owners: Owners) -> Mode {
        Mode::from_raw_mode(self.mode_bits(owners).into())
    }

    fn ids(&self) -> Result<(Option<Uid>, Option<Gid>), LocalError> {
        if self.uid == NO_ID || self.gid == NO_ID {
            return Err(Action::SetOwner.failed(Errno::INVAL));
        }
        Ok((Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))))
    }

    /// Sets owner, permissions and times of an open file or directory.
    pub(super) fn set_on(
        &self,
        open: impl AsFd,
        atime: Timestamp,
        making: Making,
    ) -> Result<Missing, LocalError> {
        let open = open.as_fd();
        let mut missing = self.set_rights_on(open, making)?;
        let times = self.times(atime);
        missing.note(Action::SetTimes, futimens(open, &times))?;
        Ok(missing)
    }

    /// Sets owner and permissions of an open file or directory, in this order: chown(2) clears
    /// set-user-ID and set-group-ID.
    pub(super) fn set_rights_on(
        &self,
        open: impl AsFd,
        making: Making,
    ) -> Result<Missing, LocalError> {
        let open = open.as_fd();
        let mut missing = Missing::default();
        if making.owners == Owners::Same {
            let (uid, gid) = self.ids()?;
            missing.note(Action::SetOwner, fchown(open, uid, gid))?;
        }
        if making.permissions {
            let mode = self.mode_without(missing, making.owners);
            missing.note(Action::SetMode, fchmod(open, mode))?;
        }
        Ok(missing)
    }

    /// Without its owner, an entry lends nobody's rights.
    fn mode_without(&self, missing: Missing, owners: Owners) -> Mode {
        match missing.0 {
            None => self.file_mode(owners),
            Some(_) => self.file_mode(Owners::Mine),
        }
    }

    /// The same for what cannot or need not be opened.
    pub(super) fn set_at(
        &self,
        folder: &Folder,
        name: &Component,
        atime: Timestamp,
        making: Making,
    ) -> Result<Missing, LocalError> {
        let mut missing = self.mend_at(folder, name, making)?;
        let (at, name) = (folder.descriptor(), name.as_c_str());
        let set = utimensat(at, name, &self.times(atime), AtFlags::SYMLINK_NOFOLLOW);
        missing.note(Action::SetTimes, set)?;
        Ok(missing)
    }

    /// Sets owner and permissions only.
    pub(super) fn mend_at(
        &self,
        folder: &Folder,
        name: &Component,
        making: Making,
    ) -> Result<Missing, LocalError> {
        let mut missing = Missing::default();
        if making.owners == Owners::Same {
            let (uid, gid) = self.ids()?;
            let at = folder.descriptor();
            let set = chownat(at, name.as_c_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            missing.note(Action::SetOwner, set)?;
        }
        if self.file_type != FileType::Symlink && making.permissions {
            let mode = self.mode_without(missing, making.owners);
            missing.note(Action::SetMode, folder.set_mode(name, mode))?;
        }
        Ok(missing)
    }

    fn times(&self, atime: Timestamp) -> Timestamps {
        let timespec = |time: Timestamp| Timespec {
            tv_sec: time.seconds.into(),
            tv_nsec: time.nanoseconds.into(),
        };
        Timestamps {
            last_access: timespec(settable(atime)),
            last_modification: timespec(self.mtime),
        }
    }
}

/// The time without what utimensat(2) would refuse, or take for `UTIME_NOW` and `UTIME_OMIT`.
fn settable(time: Timestamp) -> Timestamp {
    Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds.min(LAST_NANOSECOND),
    }
}

/// The modification time; none when the format could not hold it.
// The types of the fields are not the same on all architectures.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn mtime_of(stat: &Stat) -> Option<Timestamp> {
    let (time, clamped) = Timestamp::from_unix(stat.st_mtime as i64, stat.st_mtime_nsec as u32);
    (!clamped).then_some(time)
}

/// Whether an extraction by this user can make such an entry at all: mknod(2) gives devices to the
/// superuser only.
pub(super) fn may_make(file_type: FileType, superuser: bool) -> bool {
    superuser || !matches!(file_type, FileType::Block | FileType::Character)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_the_superusers() {
        for file_type in FileType::ALL {
            assert!(may_make(file_type, true));
            let device = matches!(file_type, FileType::Block | FileType::Character);
            assert_eq!(may_make(file_type, false), !device);
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            file_type: FileType::Regular,
            size: 3,
            mtime: Timestamp {
                seconds: 7,
                nanoseconds: 8,
            },
            mode: 0o6755,
            uid: 1,
            gid: 2,
            nlink: 1,
            major: 0,
            minor: 0,
        }
    }

    #[test]
    fn rights_of_somebody_else_are_not_lent() {
        assert_eq!(wanted().mode_bits(Owners::Same), 0o6755);
        assert_eq!(wanted().mode_bits(Owners::Mine), 0o755);
    }

    #[test]
    fn an_id_that_chown_would_pass_over_is_refused() {
        assert!(wanted().ids().is_ok());
        for (uid, gid) in [(NO_ID, 0), (0, NO_ID)] {
            let ids = Wanted {
                uid,
                gid,
                ..wanted()
            };
            assert_eq!(ids.ids().unwrap_err().action, Action::SetOwner);
        }
    }

    /// `UTIME_OMIT` is 0x3ffffffe: a container must not choose it.
    #[test]
    fn nanoseconds_stay_below_a_second() {
        let time = Timestamp {
            seconds: 1,
            nanoseconds: 0x3fff_fffe,
        };
        assert_eq!(settable(time).nanoseconds, LAST_NANOSECOND);
        let times = wanted().times(time);
        assert_eq!(times.last_access.tv_nsec, i64::from(LAST_NANOSECOND));
        assert_eq!(times.last_modification.tv_nsec, 8);
    }
}
