//! Directories of the source by id, and what is opened in them.

use std::ffi::{CStr, CString};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::activity::{Activity, CallKind, OpenCall, Stalled};
use super::expected::Expected;
use super::identity::{self, Children, Mismatch, SourceIdentity};
use super::lineage::Lineage;
use super::mounts;
use super::stat::EntryStat;
use clfs_format::FileType;
use lru::LruCache;
use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, open, openat};
use rustix::io::Errno;

use crate::entry::{
    EntryId, KnownDirectory, LinkKey, Mount, MountBelow, Mounted, NewEntry, Place, SourceAttributes,
};
use crate::problem::{Problem, Reason, is_exhaustion};
use crate::state::StateError;

/// Default number of directories that are kept open. A listing works through siblings, so few are needed.
/// The number stays well below the usual limit of 1,024 descriptors.
// Evaluated at compile time: 256 is not 0.
pub const OPEN_DIRECTORIES: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Maximum number of recorded entries that are compared to identify the root of a mount.
const COMPARED_CHILDREN: u32 = 64;

/// The locations and recorded attributes of directories.
pub trait DirectoryLookup: Send {
    /// Returns the place of directory `id`.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn place(&self, id: EntryId) -> Result<Option<Place>, StateError>;

    /// Returns up to `at_most` recorded entries of directory `id` on which nothing is mounted: names and
    /// attributes.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn children(
        &self,
        _id: EntryId,
        _at_most: u32,
    ) -> Result<Vec<(Vec<u8>, SourceAttributes)>, StateError> {
        Ok(Vec::new())
    }
}

impl DirectoryLookup for crate::state::Reader {
    fn place(&self, id: EntryId) -> Result<Option<Place>, StateError> {
        self.directory_place(id)
    }

    fn children(
        &self,
        id: EntryId,
        at_most: u32,
    ) -> Result<Vec<(Vec<u8>, SourceAttributes)>, StateError> {
        self.recorded_children(id, at_most)
    }
}

/// Why something in the source could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The source failed: a problem of that entry.
    Problem(Problem),
    /// The state failed: an error of the run.
    State(StateError),
}

impl OpenError {
    /// Returns whether the name does not exist.
    pub fn is_not_found(&self) -> bool {
        let not_found = Some(Errno::NOENT.raw_os_error());
        matches!(self, OpenError::Problem(problem) if problem.errno == not_found)
    }
}

impl From<StateError> for OpenError {
    fn from(error: StateError) -> Self {
        OpenError::State(error)
    }
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        if is_exhaustion(errno) {
            return OpenError::State(StateError::Exhausted(errno.into()));
        }
        OpenError::Problem(Problem::from_errno(errno))
    }
}

/// An open directory of the source.
#[derive(Debug)]
pub struct Directory {
    /// Its id.
    pub id: EntryId,
    /// The directory that it lies in; the root lies in itself.
    pub parent: EntryId,
    /// For openat(2) and statx(2) relative to it. Opened with `O_PATH`, or for reading if the directory
    /// was listed.
    descriptor: OwnedFd,
    lineage: Arc<Lineage>,
    /// The mounts that are expected in it or below.
    expected: Option<Arc<Expected>>,
    /// It belongs to an autofs: each name in it may be a trigger.
    is_autofs: bool,
    /// How often it was listed again.
    listed_again: AtomicU32,
}

/// A directory that is open for reading its names, from the first on.
#[derive(Debug)]
pub struct Listable {
    directory: Arc<Directory>,
    /// A descriptor of its own, if that of the directory cannot be read, or not from the start.
    names: Option<OwnedFd>,
}

impl Listable {
    /// Lists a directory that is open already.
    ///
    /// # Errors
    /// The error of openat(2).
    pub fn of(directory: Arc<Directory>) -> Result<Self, Errno> {
        let names = Some(directory.open_unread(c".", OFlags::DIRECTORY)?);
        Ok(Listable { directory, names })
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        self.names.as_ref().unwrap_or(&self.directory.descriptor)
    }
}

/// The source of a transfer.
pub struct SourceTree {
    root: Arc<Directory>,
    identity: SourceIdentity,
    places: Mutex<Box<dyn DirectoryLookup>>,
    /// Calls of the scan.
    scanning: Activity,
    /// Calls of encoders.
    encoding: Activity,
    open: Mutex<LruCache<EntryId, Arc<Directory>>>,
}

/// How often one directory is listed again at most.
const LISTED_AGAIN: u32 = 64;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl SourceTree {
    /// Opens the source folder.
    ///
    /// # Errors
    /// When it does not exist or is not a directory.
    pub fn open(path: &Path, places: Box<dyn DirectoryLookup>) -> Result<Self, Errno> {
        let descriptor = open(path, DIRECTORY, Mode::empty())?;
        let seen = EntryStat::open(&descriptor)?;
        let root = Directory {
            id: EntryId::ROOT,
            parent: EntryId::ROOT,
            lineage: Lineage::root(seen.device, seen.attributes.inode),
            expected: None,
            is_autofs: mounts::is_autofs(&descriptor),
            listed_again: AtomicU32::new(0),
            descriptor,
        };
        Ok(SourceTree {
            root: Arc::new(root),
            identity: SourceIdentity::default(),
            places: Mutex::new(places),
            scanning: Activity::default(),
            encoding: Activity::default(),
            open: Mutex::new(LruCache::new(OPEN_DIRECTORIES)),
        })
    }

    /// Identifies the source in this way.
    pub fn with_identity(self, identity: SourceIdentity) -> Self {
        SourceTree { identity, ..self }
    }

    /// Expects these file systems. If none is mounted at the place of one, examining its entry fails
    /// with [`Reason::NotMounted`]; if another one is, with [`Reason::Replaced`].
    pub fn with_mounts(mut self, mounts: &[MountBelow]) -> Self {
        // The root is not shared yet.
        if let Some(root) = Arc::get_mut(&mut self.root) {
            root.expected = Expected::of(mounts);
        }
        self
    }

    /// Checks that the source is the one of which `known` was recorded.
    ///
    /// # Errors
    /// When the state cannot be read, or the source does not respond.
    pub fn check_root(&self, known: &KnownDirectory) -> Result<Result<(), Mismatch>, OpenError> {
        let seen = EntryStat::open(&self.root.descriptor)?;
        let Mounted::This(recorded) = &known.mounted else {
            return self.check_mount(EntryId::ROOT, known, None, &self.root.descriptor, &seen);
        };
        self.check_mount(
            EntryId::ROOT,
            known,
            Some(recorded),
            &self.root.descriptor,
            &seen,
        )
    }

    fn check_mount(
        &self,
        id: EntryId,
        known: &KnownDirectory,
        recorded: Option<&Mount>,
        descriptor: &OwnedFd,
        seen: &EntryStat,
    ) -> Result<Result<(), Mismatch>, OpenError> {
        let now = mounts::of(descriptor, true);
        let mut failed = None;
        let children = |is_supported| match self.compare_children(id, descriptor, is_supported) {
            Ok(children) => children,
            Err(error) => {
                failed = Some(error);
                Children::None
            }
        };
        let by = match self.identity {
            // Accepts a source that cannot be identified, but no mount below it.
            SourceIdentity::Accept if id != EntryId::ROOT => SourceIdentity::Inodes,
            by => by,
        };
        let checked = identity::check_mount(&known.attributes, recorded, seen, &now, by, children);
        match failed {
            Some(error) => Err(error),
            None => Ok(checked),
        }
    }

    /// Compares recorded entries of directory `id` with the present ones; see
    /// [`identity::shows_mount`].
    fn compare_children(
        &self,
        id: EntryId,
        descriptor: &OwnedFd,
        is_supported: bool,
    ) -> Result<Children, OpenError> {
        let recorded = self.places().children(id, COMPARED_CHILDREN)?;
        let (mut compared, mut failed) = (Children::None, None);
        for (name, known) in recorded {
            if compared == Children::None {
                compared = Children::Gone;
            }
            match EntryStat::at(descriptor, &component(name)?) {
                Ok(seen) if identity::shows_mount(&known, &seen.attributes, is_supported) => {
                    return Ok(Children::Found);
                }
                Ok(seen) if seen.attributes.file_type == known.file_type => {
                    compared = Children::Named;
                }
                Ok(_) | Err(Errno::NOENT) => {}
                // One damaged inode does not hide the evidence of the others.
                Err(errno) => failed = Some(errno),
            }
        }
        match failed {
            Some(errno) if compared == Children::Gone => Err(errno.into()),
            _ => Ok(compared),
        }
    }

    /// Returns the directory `id` that was opened in `above`, if it is the recorded one and not one of its own
    /// ancestors.
    fn enter(
        &self,
        above: &Arc<Directory>,
        id: EntryId,
        place: &Place,
        descriptor: OwnedFd,
        seen: &EntryStat,
    ) -> Result<Arc<Directory>, OpenError> {
        let device_above = above.lineage.device;
        if let Some(known) = &place.known {
            let checked = identity::check_directory(known, seen, device_above, above.is_autofs);
            let checked = match checked {
                Some(checked) => checked,
                None => {
                    let recorded = match &known.mounted {
                        Mounted::This(mount) => Some(mount),
                        Mounted::Nothing | Mounted::Unknown => None,
                    };
                    let checked = self.check_mount(id, known, recorded, &descriptor, seen)?;
                    checked.map_err(|_| Reason::Replaced)
                }
            };
            checked.map_err(Problem::new)?;
        }
        let lineage = above
            .lineage
            .below(id, seen.device, seen.attributes.inode)
            .ok_or(Problem::new(Reason::ContainsItself))?;
        let directory = Arc::new(Directory {
            id,
            parent: above.id,
            // Determined once for each mount, because it costs a request to the server.
            is_autofs: match seen.device == device_above {
                true => above.is_autofs,
                false => mounts::is_autofs(&descriptor),
            },
            expected: above.expected_at(&place.name).cloned(),
            listed_again: AtomicU32::new(0),
            descriptor,
            lineage,
        });
        self.cache().put(id, Arc::clone(&directory));
        Ok(directory)
    }

    /// Keeps at most `at_most` directories open.
    pub fn with_open_directories(self, at_most: NonZeroUsize) -> Self {
        self.cache().resize(at_most);
        self
    }

    /// Records a call to the source for `entry` until the guard is dropped. Anything else that happens
    /// meanwhile, such as a query of the state, counts as the source's time.
    pub fn begin_call(&self, kind: CallKind, entry: EntryId) -> OpenCall<'_> {
        self.activity(kind).begin_call(entry)
    }

    /// Returns the number of calls that take longer than that.
    pub fn slow_calls(&self, longer_than: Duration) -> usize {
        self.scanning.slow_calls(longer_than) + self.encoding.slow_calls(longer_than)
    }

    /// Returns the number of calls of that kind that take longer than that.
    pub fn slow_calls_of(&self, kind: CallKind, longer_than: Duration) -> usize {
        self.activity(kind).slow_calls(longer_than)
    }

    fn activity(&self, kind: CallKind) -> &Activity {
        match kind {
            CallKind::Scan => &self.scanning,
            CallKind::Encoder => &self.encoding,
        }
    }

    /// Entries for which the source did not respond within `patience`; each call is returned once.
    pub fn stalled(&self, patience: Duration) -> Vec<Stalled> {
        let mut stalled = self.scanning.stalled(patience);
        stalled.extend(self.encoding.stalled(patience));
        stalled
    }

    /// Returns the directory `id`.
    ///
    /// # Errors
    /// When it or a directory above it cannot be opened, or is not in the state.
    pub fn directory(&self, id: EntryId) -> Result<Arc<Directory>, OpenError> {
        // Ascend to a directory that is open, then descend and open one after the other.
        let mut below = Vec::new();
        let mut at = id;
        let mut directory = loop {
            if let Some(open) = self.cached(at) {
                break open;
            }
            let place = self.places().place(at)?;
            let place = place.ok_or(Problem::new(Reason::Vanished))?;
            let parent = place.parent;
            if parent >= at && at != EntryId::ROOT {
                // A directory is recorded before its entries. Anything else could be a loop.
                return Err(Problem::new(Reason::Vanished).into());
            }
            below.push((at, place));
            at = parent;
        };
        while let Some((id, place)) = below.pop() {
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            let descriptor = directory
                .open(&component(place.name.clone())?, flags)
                .map_err(|errno| missing(&place, errno))?;
            let seen = EntryStat::open(&descriptor)?;
            directory = self.enter(&directory, id, &place, descriptor, &seen)?;
        }
        Ok(directory)
    }

    /// Opens the directory `id` for listing.
    ///
    /// The same descriptor serves for reading the names and for examining them, because each open costs a
    /// request to the server.
    ///
    /// # Errors
    /// As [`directory`](Self::directory), and when it may not be read.
    pub fn listable(&self, id: EntryId, place: &Place) -> Result<Listable, OpenError> {
        if let Some(directory) = self.cached(id) {
            return Ok(Listable::of(directory)?);
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let name = component(place.name.clone())?;
        let above = self.directory(place.parent)?;
        let descriptor = above
            .open_unread(&name, flags)
            .map_err(|errno| missing(place, errno))?;
        // If the directory may be read but not searched, none of its names can be examined. That is one
        // problem of the directory. Examining "." needs the same permission.
        let seen = EntryStat::at(&descriptor, c".")?;
        Ok(Listable {
            directory: self.enter(&above, id, place, descriptor, &seen)?,
            names: None,
        })
    }

    fn cached(&self, id: EntryId) -> Option<Arc<Directory>> {
        if id == EntryId::ROOT {
            return Some(Arc::clone(&self.root));
        }
        self.cache().get(&id).map(Arc::clone)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, LruCache<EntryId, Arc<Directory>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Box<dyn DirectoryLookup>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        OpenError::Problem(problem)
    }
}

impl std::fmt::Debug for SourceTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceTree")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Returns the error of a recorded directory that cannot be opened. A mount point may have been removed together with
/// the mount.
fn missing(place: &Place, errno: Errno) -> OpenError {
    let mounted = place.known.as_ref().map(|known| &known.mounted);
    match (errno, mounted) {
        (Errno::NOENT, Some(Mounted::This(_))) => Problem::new(Reason::NotMounted).into(),
        _ => errno.into(),
    }
}

/// Returns a name as a C string.
pub(super) fn component(name: Vec<u8>) -> Result<CString, Errno> {
    CString::new(name).map_err(|_| Errno::INVAL)
}

impl Directory {
    /// Returns whether the directory may be listed again because names in it vanished. The number is limited, because
    /// many entries of a large directory may be deleted during the scan.
    pub fn may_be_listed_again(&self) -> bool {
        self.listed_again.fetch_add(1, Ordering::Relaxed) < LISTED_AGAIN
    }

    fn open(&self, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        retry_interrupted(|| openat(&self.descriptor, name, flags, Mode::empty()))
    }

    /// Opens a regular file in it for reading.
    ///
    /// # Errors
    /// The error of openat(2); a symlink, directory, fifo or socket in its place is one.
    pub fn open_file(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        // O_NONBLOCK: opening a fifo that replaced the file would block.
        self.open_unread(
            &component(name.to_vec())?,
            OFlags::NOFOLLOW | OFlags::NONBLOCK,
        )
    }

    /// Examines an entry in it, with its ACL and extended attributes.
    ///
    /// # Errors
    /// See [`examine_cstr`](Self::examine_cstr).
    pub fn examine(&self, name: &[u8]) -> Result<EntryStat, OpenError> {
        self.examine_cstr(&component(name.to_vec())?)
    }

    /// Does the same as [`examine`](Self::examine) for a C string.
    ///
    /// A directory on which something is, or may be, mounted is opened, so that the attributes are those of
    /// the mounted directory, not those of an automount trigger.
    ///
    /// # Errors
    /// The error of statx(2) or openat(2); [`Reason::NotMounted`] if an expected file system is not mounted,
    /// [`Reason::Replaced`] if another one is.
    pub fn examine_cstr(&self, name: &CStr) -> Result<EntryStat, OpenError> {
        let Some(expected) = self.expected_at(name.to_bytes()) else {
            return self.examine_mounting(name);
        };
        let seen = match self.examine_mounting(name) {
            // The mount point was removed together with the mount.
            Err(error) if error.is_not_found() => {
                return Err(Problem::new(Reason::NotMounted).into());
            }
            seen => seen?,
        };
        expected
            .check(&seen, self.lineage.device)
            .map_err(Problem::new)?;
        Ok(seen)
    }

    /// Returns the names in it at or below which something should be mounted.
    pub(super) fn expected_names(&self) -> impl Iterator<Item = &[u8]> {
        self.expected.iter().flat_map(|expected| expected.names())
    }

    fn expected_at(&self, name: &[u8]) -> Option<&Arc<Expected>> {
        self.expected.as_ref()?.at(name)
    }

    fn examine_mounting(&self, name: &CStr) -> Result<EntryStat, OpenError> {
        let mut seen = EntryStat::examined_at(&self.descriptor, name)?;
        let is_directory = seen.attributes.file_type == FileType::Directory;
        let may_be_mount = seen.device != self.lineage.device
            || seen.is_mount
            || seen.is_automount
            || self.is_autofs;
        if !is_directory && seen.is_mount {
            seen.mount = Some(Mount {
                is_other_device: seen.device != self.lineage.device,
                ..Mount::default()
            });
        }
        if !(is_directory && may_be_mount) || name == c"." {
            return Ok(seen);
        }
        let descriptor = match self.open(name, DIRECTORY | OFlags::NOFOLLOW) {
            // The directory exists: the file system is missing.
            Err(Errno::NOENT) => return Err(Problem::new(Reason::NotMounted).into()),
            opened => opened?,
        };
        let mut seen = EntryStat::examined_open(&descriptor)?;
        let is_other_device = seen.device != self.lineage.device;
        if is_other_device || seen.is_mount {
            seen.mount = Some(mounts::of(&descriptor, is_other_device));
        }
        Ok(seen)
    }

    /// Returns the device of the directory, within this run.
    pub fn device(&self) -> u64 {
        self.lineage.device
    }

    /// Returns the entry to record for what was seen under `name` in it.
    pub fn entry(&self, seen: EntryStat, name: Vec<u8>, preserve_hardlinks: bool) -> NewEntry {
        let several = seen.links > 1 && seen.attributes.file_type != FileType::Directory;
        let key = LinkKey {
            file_system: self.lineage.file_system,
            device: match seen.device == self.lineage.device {
                true => 0,
                false => seen.device,
            },
            inode: seen.attributes.inode,
        };
        NewEntry {
            name,
            attributes: seen.attributes,
            link: (preserve_hardlinks && several).then_some(key),
            clamped_times: seen.clamped_times,
            mount: seen.mount,
        }
    }

    /// Checks that the effective user may read a regular file in it.
    ///
    /// # Errors
    /// The error of faccessat2(2); `EACCES` where it may not.
    pub fn check_readable(&self, name: &CStr) -> Result<(), Errno> {
        accessat(&self.descriptor, name, Access::READ_OK, AtFlags::EACCESS)
    }

    /// Returns the target of a symlink in it.
    ///
    /// # Errors
    /// The error of readlinkat(2).
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let name = component(name.to_vec())?;
        rustix::fs::readlinkat(&self.descriptor, &name, Vec::new()).map(CString::into_bytes)
    }

    /// Opens for reading. Does not change the access time, which a later run stores, if that is allowed:
    /// `O_NOATIME` fails with `EPERM` for files of other users (open(2)).
    fn open_unread(&self, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        let try_open =
            |flags| retry_interrupted(|| openat(&self.descriptor, name, flags, Mode::empty()));
        match try_open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => try_open(flags),
            opened => opened,
        }
    }
}

/// Repeats a call that a signal interrupted; it had no effect (signal(7)).
pub(super) fn retry_interrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct NoPlaces;

    impl DirectoryLookup for NoPlaces {
        fn place(&self, _: EntryId) -> Result<Option<Place>, StateError> {
            Ok(None)
        }
    }

    #[test]
    fn calls_are_counted_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        let tree = SourceTree::open(folder.path(), Box::new(NoPlaces)).unwrap();
        let slow = || {
            [CallKind::Scan, CallKind::Encoder].map(|kind| tree.slow_calls_of(kind, Duration::ZERO))
        };
        let _listed = tree.begin_call(CallKind::Scan, EntryId::ROOT);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(slow(), [1, 0]);
        let read = [1000, 1001].map(|id| tree.begin_call(CallKind::Encoder, EntryId::new(id)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!((slow(), tree.slow_calls(Duration::ZERO)), ([1, 2], 3));
        assert_eq!(tree.stalled(Duration::ZERO).len(), 3);
        drop(read);
        assert_eq!(slow(), [1, 0]);
    }
}
