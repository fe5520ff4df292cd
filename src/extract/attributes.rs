//! The attributes that an entry gets: comparing them with those of an existing entry, and setting them.

use std::os::fd::AsFd;

use clfs_format::{FileType, Timestamp};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, futimens,
    utimensat,
};
use rustix::io::Errno;

use super::folder::{Component, Folder};
use super::problem::{Action, LocalError};
use super::tree::WritePolicy;
use crate::read::Entity;

const LAST_NANOSECOND: u32 = 999_999_999;
/// chown(2) does not change an id of this value.
const NO_ID: u32 = u32::MAX;
/// Set-user-ID and set-group-ID.
const SET_ID: u16 = 0o6000;

/// The owners that entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Those in the container. Only the superuser may set them.
    Same,
    /// The user who extracts them. Set-user-ID and set-group-ID are then not set: they would grant the rights
    /// of the wrong user.
    Mine,
}

/// The first attribute that the destination refused. The entry was written without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub(super) struct Missing(pub(super) Option<LocalError>);

impl Missing {
    /// Records a refused attribute. Any other error ends the work on the entry.
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

/// The attributes that an entry gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetAttributes {
    pub(super) file_type: FileType,
    /// Bytes of a file or of a symlink's target; 0 for other types.
    pub(super) size: u64,
    /// With nanoseconds below a second.
    pub(super) mtime: Timestamp,
    /// The lowest twelve bits of `st_mode`.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    /// The numbers of a device.
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl TargetAttributes {
    pub(super) fn of(entity: &Entity) -> Self {
        let attributes = &entity.attributes;
        let device = matches!(entity.file_type, FileType::Block | FileType::Character);
        Self {
            file_type: entity.file_type,
            size: match entity.file_type {
                FileType::Regular => attributes.size,
                // Some loaders count characters (format.md §7).
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

    /// Returns whether an existing entry has this type, size, modification time and device number. `kept`: the time
    /// that the file system stored instead of this one, for example rounded.
    pub(super) fn matches(&self, stat: &Stat, kept: Option<Timestamp>) -> bool {
        let mtime = mtime_of(stat);
        let same_time = mtime.is_some() && (mtime == Some(self.mtime) || mtime == kept);
        self.matches_size(stat) && same_time
    }

    /// Returns whether an existing entry has this type, size and device number.
    pub(super) fn matches_size(&self, stat: &Stat) -> bool {
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

    /// Returns whether an existing entry has other permissions.
    pub(super) fn has_other_mode(&self, stat: &Stat, policy: WritePolicy) -> bool {
        self.file_type != FileType::Symlink
            && policy.permissions
            && stat.st_mode & 0o7777 != u32::from(self.mode_bits(policy.owners))
    }

    /// Returns whether the entry gets set-user-ID or set-group-ID, which grant the owner's rights to others.
    pub(super) fn grants_rights(&self) -> bool {
        self.mode & SET_ID != 0
    }

    /// Returns whether an existing entry has the right owner. Another owner may have the file open for writing, and
    /// could change it after it was given away with set-user-ID.
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
        policy: WritePolicy,
    ) -> Result<Missing, LocalError> {
        let open = open.as_fd();
        let mut missing = self.set_rights_on(open, policy)?;
        let times = self.times(atime);
        missing.note(Action::SetTimes, futimens(open, &times))?;
        Ok(missing)
    }

    /// Sets owner and permissions of an open file or directory, in this order: chown(2) clears
    /// set-user-ID and set-group-ID.
    pub(super) fn set_rights_on(
        &self,
        open: impl AsFd,
        policy: WritePolicy,
    ) -> Result<Missing, LocalError> {
        let open = open.as_fd();
        let mut missing = Missing::default();
        if policy.owners == Owners::Same {
            let (uid, gid) = self.ids()?;
            missing.note(Action::SetOwner, fchown(open, uid, gid))?;
        }
        if policy.permissions {
            let mode = self.mode_without(missing, policy.owners);
            missing.note(Action::SetMode, fchmod(open, mode))?;
        }
        Ok(missing)
    }

    /// Returns the mode of an entry; without set-user-ID and set-group-ID if its owner was refused.
    fn mode_without(&self, missing: Missing, owners: Owners) -> Mode {
        match missing.0 {
            None => self.file_mode(owners),
            Some(_) => self.file_mode(Owners::Mine),
        }
    }

    /// Does the same for an entry that cannot or need not be opened.
    pub(super) fn set_at(
        &self,
        folder: &Folder,
        name: &Component,
        atime: Timestamp,
        policy: WritePolicy,
    ) -> Result<Missing, LocalError> {
        let mut missing = self.set_rights_at(folder, name, policy)?;
        let (at, name) = (folder.descriptor(), name.as_c_str());
        let set = utimensat(at, name, &self.times(atime), AtFlags::SYMLINK_NOFOLLOW);
        missing.note(Action::SetTimes, set)?;
        Ok(missing)
    }

    /// Sets owner and permissions only.
    pub(super) fn set_rights_at(
        &self,
        folder: &Folder,
        name: &Component,
        policy: WritePolicy,
    ) -> Result<Missing, LocalError> {
        let mut missing = Missing::default();
        if policy.owners == Owners::Same {
            let (uid, gid) = self.ids()?;
            let at = folder.descriptor();
            let set = chownat(at, name.as_c_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            missing.note(Action::SetOwner, set)?;
        }
        if self.file_type != FileType::Symlink && policy.permissions {
            let mode = self.mode_without(missing, policy.owners);
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

/// Returns the time without nanoseconds that utimensat(2) would refuse, or take for `UTIME_NOW` and `UTIME_OMIT`.
fn settable(time: Timestamp) -> Timestamp {
    Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds.min(LAST_NANOSECOND),
    }
}

/// The modification time; none if the format cannot hold it.
// The types of the fields differ between architectures.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn mtime_of(stat: &Stat) -> Option<Timestamp> {
    let (time, clamped) = Timestamp::from_unix(stat.st_mtime as i64, stat.st_mtime_nsec as u32);
    (!clamped).then_some(time)
}

/// Returns whether the user may create entries of this type: only the superuser may create devices (mknod(2)).
pub(super) fn may_create(file_type: FileType, superuser: bool) -> bool {
    superuser || !matches!(file_type, FileType::Block | FileType::Character)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_superuser_creates_devices() {
        for file_type in FileType::ALL {
            assert!(may_create(file_type, true));
            let device = matches!(file_type, FileType::Block | FileType::Character);
            assert_eq!(may_create(file_type, false), !device);
        }
    }

    fn target() -> TargetAttributes {
        TargetAttributes {
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
    fn rights_of_other_users_are_not_granted() {
        assert_eq!(target().mode_bits(Owners::Same), 0o6755);
        assert_eq!(target().mode_bits(Owners::Mine), 0o755);
    }

    #[test]
    fn an_id_that_chown_ignores_is_refused() {
        assert!(target().ids().is_ok());
        for (uid, gid) in [(NO_ID, 0), (0, NO_ID)] {
            let ids = TargetAttributes {
                uid,
                gid,
                ..target()
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
        let times = target().times(time);
        assert_eq!(times.last_access.tv_nsec, i64::from(LAST_NANOSECOND));
        assert_eq!(times.last_modification.tv_nsec, 8);
    }
}
