//! The directories below the destination that are being filled.
//!
//! A directory is finished (it gets its owner, permissions and times) when nothing in it is under way
//! any more: each [`Node`] counts what is. Few directories are open at a time; the others are opened
//! again from the nearest open one above them, component by component, so no path is too long.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clfs_format::Timestamp;
use lru::LruCache;
use rustix::fs::{FileType, FlockOperation, Mode, Stat, flock};
use rustix::io::Errno;

use super::component::Component;
use super::disks::Disks;
use super::folder::{FileId, Folder, is_type};
use super::opening::{OWNER_MAY_ALL, OpenedUp, keeps_owner_out};
use super::problem::{Action, ExtractError, Failure, LocalError, Reason};
use super::wanted::{Owners, Wanted};
use crate::read::{Entity, TreePath};

/// Directories that stay open: a walk works through siblings, so few are needed. With a file being
/// written and a blob being read by each of 64 tasks, 256 descriptors are enough for everything.
// Evaluated when this is compiled: 64 is not 0.
const OPEN_FOLDERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What a directory gets when everything in it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    wanted: Wanted,
    atime: Timestamp,
}

impl Finish {
    pub(super) fn of(entity: &Entity) -> Self {
        Self {
            wanted: Wanted::of(entity),
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
    /// None in a dry run when there is no such directory.
    id: Option<FileId>,
    finish: Option<Finish>,
    /// What is under way in it, and one while it is being listed.
    under_way: AtomicUsize,
}

impl Node {
    pub(super) fn path(&self) -> &TreePath {
        &self.path
    }

    /// Whether there is such a directory; only a dry run goes on without.
    pub(super) fn is_there(&self) -> bool {
        self.id.is_some()
    }

    /// Something begins in it; [`Node::release`] ends it.
    pub(super) fn hold(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Something in it is done. Gives it back when it was the last.
    pub(super) fn release(self: &Arc<Self>) -> Option<Arc<Node>> {
        let last = self.under_way.fetch_sub(1, Ordering::AcqRel) == 1;
        last.then(|| Arc::clone(self))
    }

    pub(super) fn parent(&self) -> Option<Arc<Node>> {
        self.parent.clone()
    }
}

impl Drop for Node {
    /// A chain of very many levels must not be dropped by as many nested calls.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut alone| alone.parent.take());
        }
    }
}

/// How directories are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    /// Nothing is changed.
    pub(super) dry_run: bool,
    pub(super) owners: Owners,
}

/// The destination.
#[derive(Debug)]
pub(super) struct Tree {
    root: Option<Arc<Folder>>,
    opened_up: Mutex<Option<OpenedUp>>,
    path: PathBuf,
    making: Making,
    next_number: AtomicU64,
    open: Mutex<LruCache<u64, Arc<Folder>>>,
    disks: Mutex<Disks>,
}

/// A directory as it was found or made.
struct Found {
    id: Option<FileId>,
    /// What killed runs had left in it.
    swept: u64,
}

impl Tree {
    /// Opens the destination, and makes it when it is missing; its parents are not made. Says whether
    /// it was made or is empty. Until the tree is dropped no other extraction may write there.
    pub(super) fn open(path: PathBuf, making: Making) -> Result<(Self, bool), ExtractError> {
        let failed = |errno| ExtractError::Destination {
            path: path.clone(),
            errno,
        };
        let opened_up = match making.dry_run {
            true => None,
            false => OpenedUp::destination(&path).map_err(failed)?,
        };
        let root = match Folder::open_destination(&path) {
            Err(Errno::NOENT) if making.dry_run => None,
            Err(Errno::NOENT) => {
                // With the usual mask, as any folder that a user makes.
                let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
                rustix::fs::mkdir(&path, mode).map_err(failed)?;
                Some(Folder::open_destination(&path).map_err(failed)?)
            }
            opened => Some(opened.map_err(failed)?),
        };
        let mut fresh = true;
        if let Some(root) = &root {
            // Some network file systems have no locks; there the user has to take care.
            if !making.dry_run
                && flock(root.descriptor(), FlockOperation::NonBlockingLockExclusive)
                    == Err(Errno::WOULDBLOCK)
            {
                return Err(ExtractError::InUse(path));
            }
            fresh = root.is_empty().map_err(failed)?;
        }
        let tree = Self {
            root: root.map(Arc::new),
            opened_up: Mutex::new(opened_up),
            path,
            making,
            next_number: AtomicU64::new(1),
            open: Mutex::new(LruCache::new(OPEN_FOLDERS)),
            disks: Mutex::default(),
        };
        Ok((tree, fresh))
    }

    /// What the destination is; none in a dry run without one.
    pub(super) fn id(&self) -> Result<Option<FileId>, ExtractError> {
        let stat = self.root.as_ref().map(|root| root.stat()).transpose();
        let stat = stat.map_err(|errno| ExtractError::Destination {
            path: self.path.clone(),
            errno,
        })?;
        Ok(stat.map(|stat| FileId::of(&stat)))
    }

    pub(super) fn making(&self) -> Making {
        self.making
    }

    /// The destination itself. With `finish` it gets those attributes in the end.
    pub(super) fn root_node(&self, finish: Option<Finish>) -> Result<(Arc<Node>, u64), Failure> {
        let mut swept = 0;
        let id = match &self.root {
            None => None,
            Some(root) => {
                let stat = root.stat().map_err(|errno| Action::Look.failed(errno))?;
                if !self.making.dry_run {
                    swept = root.sweep().map_err(|errno| Action::Remove.failed(errno))?;
                }
                self.note_disk(&stat, root);
                Some(FileId::of(&stat))
            }
        };
        let node = Node {
            number: 0,
            parent: None,
            name: None,
            path: TreePath::root(),
            id,
            finish,
            under_way: AtomicUsize::new(1),
        };
        Ok((Arc::new(node), swept))
    }

    /// Makes a directory, or takes the one that is there. Says how many leftovers were removed.
    pub(super) fn enter(
        &self,
        parent: &Arc<Node>,
        path: TreePath,
        finish: Finish,
    ) -> Result<(Arc<Node>, u64), Failure> {
        let name = path.name().and_then(Component::new);
        let name = name.ok_or(Reason::Name)?;
        let found = match parent.is_there() {
            true => self.found(&*self.folder(parent)?, &name)?,
            false => Found { id: None, swept: 0 },
        };
        parent.hold();
        let node = Node {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            parent: Some(Arc::clone(parent)),
            name: Some(name),
            path,
            id: found.id,
            finish: Some(finish),
            under_way: AtomicUsize::new(1),
        };
        Ok((Arc::new(node), found.swept))
    }

    fn found(&self, parent: &Folder, name: &Component) -> Result<Found, Failure> {
        let look =
            |stat: Result<Option<Stat>, Errno>| stat.map_err(|errno| Action::Look.failed(errno));
        match look(parent.look(name))? {
            Some(stat) if is_type(&stat, FileType::Directory) => {
                return self.existing(parent, name, &stat);
            }
            // It may point anywhere, so it is not followed; it is no data either.
            Some(stat) if is_type(&stat, FileType::Symlink) => {
                if self.making.dry_run {
                    return Ok(Found { id: None, swept: 0 });
                }
                let removed = parent.remove(name);
                removed.map_err(|errno| Action::Remove.failed(errno))?;
            }
            Some(_) => return Err(Reason::InTheWay.into()),
            None if self.making.dry_run => return Ok(Found { id: None, swept: 0 }),
            None => {}
        }
        let made = parent.make_folder(name);
        made.map_err(|errno| Action::Make.failed(errno))?;
        let stat = look(parent.look(name))?.ok_or(Action::Look.failed(Errno::NOENT))?;
        let id = Some(FileId::of(&stat));
        Ok(Found { id, swept: 0 })
    }

    fn existing(&self, parent: &Folder, name: &Component, stat: &Stat) -> Result<Found, Failure> {
        let id = Some(FileId::of(stat));
        if self.making.dry_run {
            return Ok(Found { id, swept: 0 });
        }
        // An earlier run may have finished it with permissions that keep its owner out.
        if keeps_owner_out(stat) {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777) | OWNER_MAY_ALL;
            let set = parent.set_mode(name, mode);
            set.map_err(|errno| Action::SetMode.failed(errno))?;
        }
        let folder = parent.open_folder(name);
        let folder = Arc::new(folder.map_err(|errno| Action::Open.failed(errno))?);
        // Another disk may be mounted there.
        self.note_disk(stat, &folder);
        let swept = folder.sweep();
        let swept = swept.map_err(|errno| Action::Remove.failed(errno))?;
        Ok(Found { id, swept })
    }

    fn note_disk(&self, stat: &Stat, folder: &Arc<Folder>) {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disks.note(stat.st_dev, folder);
    }

    /// The directory itself.
    pub(super) fn folder(&self, node: &Arc<Node>) -> Result<Arc<Folder>, LocalError> {
        // Climb to a directory that is open, then descend again, opening one after the other.
        let mut below = Vec::new();
        let mut at = node;
        let mut folder = loop {
            if let Some(open) = self.opened(at) {
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
            // Somebody else put another directory there.
            if Some(FileId::of(&stat)) != node.id {
                return Err(failed(Errno::STALE));
            }
            folder = Arc::new(opened);
            self.cache().put(node.number, Arc::clone(&folder));
        }
        Ok(folder)
    }

    /// The directory of a path that was written before, and the last component.
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

    /// Gives a directory its attributes, now that everything in it is done. False when it is the
    /// destination and not ours.
    pub(super) fn finish(&self, node: &Arc<Node>) -> Result<bool, Failure> {
        let Some(Finish { wanted, atime }) = &node.finish else {
            return Ok(false);
        };
        if !self.making.dry_run {
            let folder = self.folder(node)?;
            self.cache().pop(&node.number);
            wanted.set_on(folder.descriptor(), *atime, self.making.owners)?;
            if node.parent.is_none() {
                let opened_up = self.opened_up.lock();
                let opened_up = opened_up.unwrap_or_else(PoisonError::into_inner).take();
                if let Some(opened_up) = opened_up {
                    opened_up.has_others();
                }
            }
        }
        Ok(true)
    }

    /// Waits until everything that was written is on the disks; false when there are too many.
    pub(super) fn store(&self) -> Result<bool, ExtractError> {
        let disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disks.store().map_err(|errno| ExtractError::Sync {
            path: self.path.clone(),
            errno,
        })
    }

    fn opened(&self, node: &Node) -> Option<Arc<Folder>> {
        match node.parent {
            None => self.root.clone(),
            Some(_) => self.cache().get(&node.number).map(Arc::clone),
        }
    }

    fn cache(&self) -> MutexGuard<'_, LruCache<u64, Arc<Folder>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
