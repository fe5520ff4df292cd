//! The directories of the destination that are being filled.
//!
//! A directory is finished (it gets its owner, permissions and times) when no work remains in it: each [`Node`]
//! counts the work in progress. Only a few directories are open at a time. The others are opened again from the
//! nearest open one above them, component by component, so that no path is too long.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clfs_format::Timestamp;
use lru::LruCache;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::attributes::{Missing, Owners, TargetAttributes};
use super::folder::{Component, FileId, Folder, Stored, is_type, set_mode_of};
use super::limits::{Limits, OwnersRefused};
use super::problem::{Action, ExtractError, Failure, LocalError, Reason};
use super::temporary::{Temporaries, Token};
use crate::read::{Entity, TreePath};

/// Directories that stay open. A walk visits siblings, so a few suffice. Together with the file and the blob
/// of each of 64 entries, 256 descriptors are enough.
// Evaluated by the compiler: 64 is not 0.
const OPEN_FOLDERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// File systems below the destination that are flushed at the end. Each needs a descriptor.
const MAX_SYNCED: usize = 32;

/// The attributes that a directory gets when it is finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinalAttributes {
    target: TargetAttributes,
    atime: Timestamp,
}

impl FinalAttributes {
    pub(super) fn of(entity: &Entity) -> Self {
        Self {
            target: TargetAttributes::of(entity),
            atime: entity.attributes.atime,
        }
    }
}

/// A directory that is being filled.
#[derive(Debug)]
pub(super) struct Node {
    number: u64,
    parent: Option<Arc<Node>>,
    name: Option<Component>,
    path: TreePath,
    /// None in a dry run if the directory does not exist.
    id: Option<FileId>,
    attributes: Option<FinalAttributes>,
    is_new: bool,
    /// Work in it, plus one while it is being listed.
    in_progress: AtomicUsize,
}

impl Node {
    pub(super) fn path(&self) -> &TreePath {
        &self.path
    }

    /// Returns whether the directory exists; it always does except in a dry run.
    pub(super) fn exists(&self) -> bool {
        self.id.is_some()
    }

    /// Returns whether this run created it, so that it holds only entries of this run.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Starts work in it; [`Node::release`] ends the work.
    pub(super) fn hold(&self) {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends work in it. Returns the node if no work remains.
    pub(super) fn release(self: &Arc<Self>) -> Option<Arc<Node>> {
        let last = self.in_progress.fetch_sub(1, Ordering::AcqRel) == 1;
        last.then(|| Arc::clone(self))
    }

    pub(super) fn parent(&self) -> Option<Arc<Node>> {
        self.parent.clone()
    }
}

impl Drop for Node {
    /// Drops a chain of many levels in a loop: nested calls would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut alone| alone.parent.take());
        }
    }
}

/// Whether a directory of the destination had an entry's name when it was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It had exactly this name.
    Exists,
    /// It had not. An entry that is found under the name has another one, which the file system treats as the
    /// same.
    Absent,
    /// The directory was not listed.
    Unknown,
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct WritePolicy {
    /// Nothing is changed.
    pub(super) dry_run: bool,
    pub(super) owners: Owners,
    /// Whether the file system stores permissions.
    pub(super) permissions: bool,
}

/// The permissions that an owner needs to fill a directory.
const OWNER_ALL: Mode = Mode::RWXU;

/// Returns whether a directory of this user denies the user access.
fn locks_owner_out(stat: &Stat) -> bool {
    let user = geteuid();
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    !user.is_root() && stat.st_uid == user.as_raw() && !mode.contains(OWNER_ALL)
}

/// A destination whose owner was locked out, for example because an earlier run gave it the root's mode 0555.
/// It has wider permissions until this is dropped.
#[derive(Debug)]
struct WidenedMode {
    descriptor: OwnedFd,
    original: Option<Mode>,
}

impl WidenedMode {
    /// Gives this user access to the destination. None if that is not needed or there is no directory.
    fn of_destination(path: &Path) -> Result<Option<Self>, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = match retry_on_intr(|| openat(CWD, path, flags, Mode::empty())) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened?,
        };
        let stat = fstat(&descriptor)?;
        if !locks_owner_out(&stat) {
            return Ok(None);
        }
        let original = Mode::from_raw_mode(stat.st_mode & 0o7777);
        set_mode_of(&descriptor, original | OWNER_ALL)?;
        Ok(Some(Self {
            descriptor,
            original: Some(original),
        }))
    }
}

impl Drop for WidenedMode {
    fn drop(&mut self) {
        if let Some(mode) = self.original {
            // The same call succeeded before; if the directory was removed since, nothing is lost.
            let _: Result<(), Errno> = set_mode_of(&self.descriptor, mode);
        }
    }
}

/// A directory of each file system that was written to, by `st_dev`: syncfs(2) flushes one at a time.
#[derive(Debug, Default)]
struct FileSystems {
    folders: BTreeMap<u64, Arc<Folder>>,
    too_many: bool,
}

/// The destination.
#[derive(Debug)]
pub(super) struct Tree {
    root: Option<Arc<Folder>>,
    widened: Mutex<Option<WidenedMode>>,
    path: PathBuf,
    policy: WritePolicy,
    next_number: AtomicU64,
    open: Mutex<LruCache<u64, Arc<Folder>>>,
    file_systems: Mutex<FileSystems>,
    temporaries: Arc<Temporaries>,
    /// The tokens of earlier runs that may have left temporary files.
    unfinished: Vec<Token>,
    limits: Limits,
}

/// A directory that was found or created.
struct Entered {
    id: Option<FileId>,
    leftovers_removed: u64,
    is_new: bool,
}

impl Entered {
    /// A directory that a dry run does not create.
    const NOTHING: Self = Self {
        id: None,
        leftovers_removed: 0,
        is_new: true,
    };
}

impl Tree {
    /// Opens the destination, or creates it if it is missing, but not its parents. Returns whether it is new or
    /// empty. No other extraction can write to it until the tree is dropped.
    pub(super) fn open(path: PathBuf, policy: WritePolicy) -> Result<(Self, bool), ExtractError> {
        let failed = |errno| ExtractError::Destination {
            path: path.clone(),
            errno,
        };
        let widened = match policy.dry_run {
            true => None,
            false => WidenedMode::of_destination(&path).map_err(failed)?,
        };
        let root = match Folder::open_destination(&path) {
            Err(Errno::NOENT) if policy.dry_run => None,
            Err(Errno::NOENT) => {
                // With the umask, as any folder that a user creates.
                let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
                rustix::fs::mkdir(&path, mode).map_err(failed)?;
                Some(Folder::open_destination(&path).map_err(failed)?)
            }
            opened => Some(opened.map_err(failed)?),
        };
        let mut fresh = true;
        if let Some(root) = &root {
            // Other errors are ignored: some network file systems have no locks.
            if !policy.dry_run
                && flock(root.descriptor(), FlockOperation::NonBlockingLockExclusive)
                    == Err(Errno::WOULDBLOCK)
            {
                return Err(ExtractError::InUse(path));
            }
            fresh = root.is_empty().map_err(failed)?;
        }
        let tree = Self {
            root: root.map(Arc::new),
            widened: Mutex::new(widened),
            path,
            policy,
            next_number: AtomicU64::new(1),
            open: Mutex::new(LruCache::new(OPEN_FOLDERS)),
            file_systems: Mutex::default(),
            temporaries: Arc::new(Temporaries::new()),
            unfinished: Vec::new(),
            limits: Limits::default(),
        };
        Ok((tree, fresh))
    }

    /// Returns the identity of the destination; none in a dry run if it does not exist.
    pub(super) fn id(&self) -> Result<Option<FileId>, ExtractError> {
        let stat = self.root.as_ref().map(|root| root.stat()).transpose();
        let stat = stat.map_err(|errno| ExtractError::Destination {
            path: self.path.clone(),
            errno,
        })?;
        Ok(stat.map(|stat| FileId::of(&stat)))
    }

    /// Probes the limits of the destination's file system. `owner`: an owner that files will get.
    pub(super) fn probe(&mut self, owner: Option<(u32, u32)>) -> Result<(), ExtractError> {
        if let Some(root) = &self.root {
            let limits = Limits::probe(root, &self.temporaries, owner);
            self.limits = limits.map_err(|OwnersRefused(errno)| ExtractError::OwnersRefused {
                path: self.path.clone(),
                errno,
            })?;
            self.policy.permissions = self.limits.keeps_permissions();
        }
        Ok(())
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns whether an entry exists under exactly this name. Fails if another entry has the name in this file
    /// system, or if the file system rejects the name.
    pub(super) fn entry_exists(
        &self,
        folder: &Arc<Folder>,
        name: &Component,
        presence: Presence,
    ) -> Result<bool, Failure> {
        if presence == Presence::Exists {
            return Ok(true);
        }
        let failed = |errno| Action::Stat.failed(errno);
        let Some(stat) = folder.stat_of(name).map_err(failed)? else {
            if self.limits.rejects_names() && !self.policy.dry_run && !name.is_plain() {
                self.probe_name(folder, name)?;
            }
            return Ok(false);
        };
        match folder.stored(name, &stat).map_err(failed)? {
            Stored::As(other) => Err(Reason::SameName { other }.into()),
            Stored::Exactly => Ok(true),
            // It was removed since, or the directory lists it under a name that cannot be determined.
            Stored::Nowhere => match folder.stat_of(name).map_err(failed)? {
                Some(_) => Err(Reason::UnknownSameName.into()),
                None => Ok(false),
            },
        }
    }

    /// Fails if the file system rejects or changes a name, before anything is downloaded for it. Creates a
    /// temporary file whose name ends with that name: a killed run must not leave an empty file under an
    /// entry's own name.
    fn probe_name(&self, folder: &Arc<Folder>, name: &Component) -> Result<(), Failure> {
        let max = max_name_bytes(folder);
        let bytes = name.as_bytes().len();
        if bytes as u64 > max {
            let errno = Errno::NAMETOOLONG;
            return Err(Reason::NameRejected { errno, bytes, max }.into());
        }
        let made = self.temporaries.create_like(folder, name, max as usize);
        let (probe, open) =
            made.map_err(|errno| name_error(errno, name, folder, Action::Create))?;
        let failed = |errno| Action::Stat.failed(errno);
        let stat = fstat(&open).map_err(failed)?;
        let probed = probe.name().map_err(failed)?;
        match folder.stored(probed, &stat).map_err(failed)? {
            Stored::As(other) => Err(Reason::NameChanged { other }.into()),
            Stored::Exactly | Stored::Nowhere => Ok(()),
        }
    }

    /// Calls `visit` with the names in a directory; a new one has none.
    pub(super) fn each_name(
        &self,
        node: &Arc<Node>,
        visit: impl FnMut(&[u8]),
    ) -> Result<(), LocalError> {
        if node.is_new() || !node.exists() {
            return Ok(());
        }
        let read = self.folder(node)?.each_name(visit);
        read.map_err(|errno| Action::Stat.failed(errno))
    }

    /// Leftovers of the runs with these tokens are removed from the directories that are entered.
    pub(super) fn remove_leftovers_of(&mut self, unfinished: Vec<Token>) {
        self.unfinished = unfinished;
    }

    pub(super) fn token(&self) -> Token {
        self.temporaries.token()
    }

    pub(super) fn temporaries(&self) -> &Arc<Temporaries> {
        &self.temporaries
    }

    /// Returns the tokens of which no temporary file is left, when no work is in progress any more. `saw_everything`:
    /// every directory was entered.
    pub(super) fn tokens_without_leftovers(&self, saw_everything: bool) -> Vec<Token> {
        let mut tokens = match saw_everything {
            true => self.unfinished.clone(),
            false => Vec::new(),
        };
        if !self.temporaries.has_leftovers() {
            tokens.push(self.token());
        }
        tokens
    }

    pub(super) fn policy(&self) -> WritePolicy {
        self.policy
    }

    /// Returns the node of the destination, and the number of leftovers that were removed from it. It gets
    /// `attributes` at the end, if there are any.
    pub(super) fn root_node(
        &self,
        attributes: Option<FinalAttributes>,
    ) -> Result<(Arc<Node>, u64), Failure> {
        let mut removed = 0;
        let id = match &self.root {
            None => None,
            Some(root) => {
                let stat = root.stat().map_err(|errno| Action::Stat.failed(errno))?;
                if !self.policy.dry_run {
                    removed = root
                        .sweep(&self.unfinished)
                        .map_err(|errno| Action::Remove.failed(errno))?;
                }
                self.note_file_system(&stat, root);
                Some(FileId::of(&stat))
            }
        };
        let node = Node {
            number: 0,
            parent: None,
            name: None,
            path: TreePath::root(),
            id,
            attributes,
            is_new: false,
            in_progress: AtomicUsize::new(1),
        };
        Ok((Arc::new(node), removed))
    }

    /// Creates a directory, or enters the existing one. Returns the number of leftovers that were removed.
    pub(super) fn enter(
        &self,
        parent: &Arc<Node>,
        path: TreePath,
        attributes: FinalAttributes,
        presence: Presence,
    ) -> Result<(Arc<Node>, u64), Failure> {
        let name = path.name().and_then(Component::new);
        let name = name.ok_or(Reason::Name)?;
        let entered = match parent.exists() {
            true => self.find_or_create(&self.folder(parent)?, &name, presence)?,
            false => Entered::NOTHING,
        };
        parent.hold();
        let node = Node {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            parent: Some(Arc::clone(parent)),
            name: Some(name),
            path,
            id: entered.id,
            attributes: Some(attributes),
            is_new: entered.is_new,
            in_progress: AtomicUsize::new(1),
        };
        Ok((Arc::new(node), entered.leftovers_removed))
    }

    fn find_or_create(
        &self,
        parent: &Arc<Folder>,
        name: &Component,
        presence: Presence,
    ) -> Result<Entered, Failure> {
        let stat_of = || {
            let stat = parent.stat_of(name);
            stat.map_err(|errno| Action::Stat.failed(errno))
        };
        // Before the check: an entry with the same name in this file system may be created meanwhile, and
        // must not be taken for this one.
        let existing = stat_of()?;
        self.entry_exists(parent, name, presence)?;
        match existing {
            Some(stat) if is_type(&stat, FileType::Directory) => {
                return self.enter_existing(parent, name, &stat);
            }
            // Its target may be anywhere, so it is not followed. It holds no data either.
            Some(stat) if is_type(&stat, FileType::Symlink) => {
                if self.policy.dry_run {
                    return Ok(Entered::NOTHING);
                }
                let removed = parent.remove(name);
                removed.map_err(|errno| Action::Remove.failed(errno))?;
            }
            Some(_) => return Err(in_the_way(parent, name)),
            None if self.policy.dry_run => return Ok(Entered::NOTHING),
            None => {}
        }
        let created = parent.create_folder(name);
        created.map_err(|errno| match errno {
            Errno::EXIST => name_in_use(parent, name),
            errno => name_error(errno, name, parent, Action::Create),
        })?;
        let stat = stat_of()?.ok_or(Action::Stat.failed(Errno::NOENT))?;
        Ok(Entered {
            id: Some(FileId::of(&stat)),
            leftovers_removed: 0,
            is_new: true,
        })
    }

    fn enter_existing(
        &self,
        parent: &Folder,
        name: &Component,
        stat: &Stat,
    ) -> Result<Entered, Failure> {
        let mut entered = Entered {
            id: Some(FileId::of(stat)),
            leftovers_removed: 0,
            is_new: false,
        };
        if self.policy.dry_run {
            return Ok(entered);
        }
        // An earlier run may have finished it with permissions that lock its owner out.
        if locks_owner_out(stat) {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777) | OWNER_ALL;
            let set = parent.set_mode(name, mode);
            set.map_err(|errno| Action::SetMode.failed(errno))?;
        }
        let folder = parent.open_folder(name);
        let folder = Arc::new(folder.map_err(|errno| Action::Open.failed(errno))?);
        // Another file system may be mounted there.
        self.note_file_system(stat, &folder);
        let removed = folder.sweep(&self.unfinished);
        entered.leftovers_removed = removed.map_err(|errno| Action::Remove.failed(errno))?;
        Ok(entered)
    }

    fn note_file_system(&self, stat: &Stat, folder: &Arc<Folder>) {
        let mut noted = lock(&self.file_systems);
        if noted.folders.contains_key(&stat.st_dev) {
            return;
        }
        match noted.folders.len() < MAX_SYNCED {
            true => drop(noted.folders.insert(stat.st_dev, Arc::clone(folder))),
            false => noted.too_many = true,
        }
    }

    /// Opens the directory of a node.
    pub(super) fn folder(&self, node: &Arc<Node>) -> Result<Arc<Folder>, LocalError> {
        // Climbs to the nearest open directory, then opens one after the other below it.
        let mut below = Vec::new();
        let mut at = node;
        let mut folder = loop {
            if let Some(open) = self.open_folder(at) {
                break open;
            }
            below.push(at);
            match &at.parent {
                Some(parent) => at = parent,
                None => return Err(Action::Open.failed(Errno::NOENT)),
            }
        };
        let failed = |errno| Action::Open.failed(errno);
        while let Some(node) = below.pop() {
            let name = node.name.as_ref().ok_or(failed(Errno::NOENT))?;
            let opened = folder.open_folder(name).map_err(failed)?;
            let stat = opened.stat().map_err(failed)?;
            // Another program replaced the directory.
            if Some(FileId::of(&stat)) != node.id {
                return Err(failed(Errno::STALE));
            }
            folder = Arc::new(opened);
            lock(&self.open).put(node.number, Arc::clone(&folder));
        }
        Ok(folder)
    }

    /// Opens the directory of a path that was written before. Returns it with the path's last component.
    pub(super) fn folder_of(&self, path: &[u8]) -> Result<(Arc<Folder>, Component), LocalError> {
        let failed = |errno| Action::Open.failed(errno);
        let mut folder = self.root.clone().ok_or(failed(Errno::NOENT))?;
        let mut components = path.split(|byte| *byte == b'/').peekable();
        while let Some(component) = components.next() {
            let name = Component::new(component).ok_or(failed(Errno::INVAL))?;
            if components.peek().is_none() {
                return Ok((folder, name));
            }
            folder = Arc::new(folder.open_folder(&name).map_err(failed)?);
        }
        Err(failed(Errno::INVAL))
    }

    /// Sets the attributes of a directory in which no work remains. False if it is a destination that keeps its
    /// own attributes.
    pub(super) fn finish(&self, node: &Arc<Node>) -> Result<(bool, Missing), Failure> {
        let Some(FinalAttributes { target, atime }) = &node.attributes else {
            return Ok((false, Missing::default()));
        };
        let mut missing = Missing::default();
        if !self.policy.dry_run {
            let folder = self.folder(node)?;
            lock(&self.open).pop(&node.number);
            missing = target.set_on(folder.descriptor(), *atime, self.policy)?;
            if node.parent.is_none()
                && let Some(widened) = lock(&self.widened).as_mut()
            {
                // It has final permissions now and keeps them.
                widened.original = None;
            }
        }
        Ok((true, missing))
    }

    /// Flushes everything that was written to the disks. False if there are too many file systems for that.
    pub(super) fn sync(&self) -> Result<bool, ExtractError> {
        let noted = lock(&self.file_systems);
        for folder in noted.folders.values() {
            let synced = rustix::fs::syncfs(folder.descriptor());
            synced.map_err(|errno| ExtractError::Sync {
                path: self.path.clone(),
                errno,
            })?;
        }
        Ok(!noted.too_many)
    }

    fn open_folder(&self, node: &Node) -> Option<Arc<Folder>> {
        match node.parent {
            None => self.root.clone(),
            Some(_) => lock(&self.open).get(&node.number).map(Arc::clone),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns why an entry of another type exists under a name.
pub(super) fn in_the_way(folder: &Folder, name: &Component) -> Failure {
    same_name(folder, name).unwrap_or(Reason::InTheWay.into())
}

/// Returns why a name is in use although its directory did not have it.
pub(super) fn name_in_use(folder: &Folder, name: &Component) -> Failure {
    // Otherwise another program created it meanwhile.
    same_name(folder, name).unwrap_or(Action::Rename.failed(Errno::EXIST).into())
}

/// Returns the failure if the existing entry has another name, which is the same in this file system. It may have
/// been created since the name was checked.
fn same_name(folder: &Folder, name: &Component) -> Option<Failure> {
    let stat = folder.stat_of(name).ok()??;
    match folder.stored(name, &stat) {
        Ok(Stored::As(other)) => Some(Reason::SameName { other }.into()),
        _ => None,
    }
}

/// Returns why an entry did not get its name.
pub(super) fn name_error(
    errno: Errno,
    name: &Component,
    folder: &Folder,
    action: Action,
) -> Failure {
    match errno {
        Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG => {
            let (bytes, max) = (name.as_bytes().len(), max_name_bytes(folder));
            Reason::NameRejected { errno, bytes, max }.into()
        }
        errno => action.failed(errno).into(),
    }
}

/// Returns the maximum length of a name, as the file system reports it.
fn max_name_bytes(folder: &Folder) -> u64 {
    let answer = rustix::fs::fstatvfs(folder.descriptor());
    answer.map_or(255, |answer| answer.f_namemax)
}
