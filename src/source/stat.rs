//! Attributes of an entry, from `statx(2)`.

use std::ffi::CStr;
use std::os::fd::AsFd;

use clfs_format::{FileType, Timestamp};
use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use crate::entry::{DeviceNumber, Mount, SourceAttributes};
use crate::loss::Loss;

/// The requested fields: all that are recorded. `STATX_BLOCKS` is not requested, because it may cost a
/// request to the server.
const REQUESTED: StatxFlags = StatxFlags::BASIC_STATS.difference(StatxFlags::BLOCKS);

/// The result of one `statx(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStat {
    /// The attributes, as the format can hold them.
    pub attributes: SourceAttributes,
    /// `st_nlink`.
    pub links: u32,
    /// `st_dev`; only comparable within a run.
    pub device: u64,
    /// How many of the three times were clamped to the range of the format.
    pub clamped_times: u8,
    /// Bytes that are allocated in the source, if the file system returned them without a request.
    pub allocated: Option<u64>,
    /// Whether another file system is mounted there (`STATX_ATTR_MOUNT_ROOT`, since Linux 5.8).
    pub is_mount: bool,
    /// Whether opening it may mount a file system on it.
    pub is_automount: bool,
    /// The file system that is mounted there, if the entry was opened to find out.
    pub mount: Option<Mount>,
}

impl EntryStat {
    /// Examines `name` in `directory` without following a symlink or triggering a mount. Mode and losses
    /// are not yet those to store: see [`examined_at`](Self::examined_at).
    ///
    /// # Errors
    /// The error of the call; `EINVAL` for a type that no POSIX tree holds.
    pub fn at(directory: impl AsFd, name: &CStr) -> Result<EntryStat, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Self::of(directory, name, flags)
    }

    pub(super) fn of(
        directory: impl AsFd,
        path: impl rustix::path::Arg,
        flags: AtFlags,
    ) -> Result<EntryStat, Errno> {
        Self::from_statx(&statx(directory, path, flags, REQUESTED)?)
    }

    /// Examines an open file. Mode and losses are not yet those to store: see
    /// [`examined_open`](Self::examined_open).
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn open(file: impl AsFd) -> Result<EntryStat, Errno> {
        let flags = AtFlags::EMPTY_PATH;
        Self::from_statx(&statx(file, c"", flags, REQUESTED)?)
    }

    fn from_statx(found: &Statx) -> Result<EntryStat, Errno> {
        let file_type = FileType::from_mode(u32::from(found.stx_mode)).ok_or(Errno::INVAL)?;
        let mut clamped_times = 0;
        let mut time = |time: rustix::fs::StatxTimestamp| {
            let (held, clamped) = Timestamp::from_unix(time.tv_sec, time.tv_nsec);
            clamped_times += u8::from(clamped);
            held
        };
        let attributes = SourceAttributes {
            file_type,
            mode: found.stx_mode,
            uid: found.stx_uid,
            gid: found.stx_gid,
            size: found.stx_size,
            mtime: time(found.stx_mtime),
            ctime: time(found.stx_ctime),
            atime: time(found.stx_atime),
            inode: found.stx_ino,
            device: match file_type {
                FileType::Block | FileType::Character => DeviceNumber {
                    major: found.stx_rdev_major,
                    minor: found.stx_rdev_minor,
                },
                _ => DeviceNumber::default(),
            },
            losses: Loss::Unexamined.into(),
        };
        Ok(EntryStat {
            attributes,
            links: found.stx_nlink,
            device: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
            clamped_times,
            // stx_blocks counts 512 bytes each (statx(2)).
            allocated: (found.stx_mask & StatxFlags::BLOCKS.bits() != 0)
                .then(|| found.stx_blocks.saturating_mul(512)),
            is_mount: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            is_automount: found.stx_attributes.contains(StatxAttributes::AUTOMOUNT),
            mount: None,
        })
    }
}
