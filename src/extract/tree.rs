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
use super::folder::{FileId, Folder, Stored, is_type};
use super::limits::{Limits, OwnersRefused};
use super::opening::{OWNER_MAY_ALL, OpenedUp, keeps_owner_out};
use super::problem::{Action, ExtractError, Failure, LocalError, Reason};
use super::temporary::{Temporaries, Token};
use super::wanted::{Missing, Owners, Wanted};
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
    /// This run made it: nothing was in it.
    is_new: bool,
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

    /// Whether this run made it, so that nothing but what this run makes is in it.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
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

/// What is known of the place of an entry before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// The directory had this very name when it was entered.
    There,
    /// It had not. What is found under the name has another one: the file system takes both for one.
    Absent,
    /// The directory was not listed.
    Unknown,
}

/// How entries are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    /// Nothing is changed.
    pub(super) dry_run: bool,
    pub(super) owners: Owners,
    /// The file system keeps permissions.
    pub(super) permissions: bool,
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
    temporaries: Arc<Temporaries>,
    /// Of runs that may have left temporary files.
    unfinished: Vec<Token>,
    limits: Limits,
}

/// A directory as it was found or made.
struct Found {
    id: Option<FileId>,
    /// What killed runs had left in it.
    swept: u64,
    is_new: bool,
}

impl Found {
    /// In a dry run: there is none.
    const NOTHING: Self = Self {
        id: None,
        swept: 0,
        is_new: true,
    };
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
            temporaries: Arc::new(Temporaries::new()),
            unfinished: Vec::new(),
            limits: Limits::default(),
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

    /// Finds out what the destination does not hold. `owner`: whom files are to be given to.
    pub(super) fn try_out(&mut self, owner: Option<(u32, u32)>) -> Result<(), ExtractError> {
        if let Some(root) = &self.root {
            let limits = Limits::of(root, &self.temporaries, owner);
            self.limits = limits.map_err(|OwnersRefused(errno)| ExtractError::OwnersRefused {
                path: self.path.clone(),
                errno,
            })?;
            self.making.permissions = self.limits.keeps_permissions();
        }
        Ok(())
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether an entry stands under its very name. Fails when another one does, or when the name
    /// cannot be.
    pub(super) fn is_there(
        &self,
        folder: &Arc<Folder>,
        name: &Component,
        presence: Presence,
    ) -> Result<bool, Failure> {
        if presence == Presence::There {
            return Ok(true);
        }
        let look = |errno| Action::Look.failed(errno);
        let Some(stat) = folder.look(name).map_err(look)? else {
            if self.limits.refuses_names() && !self.making.dry_run && !name.is_plain() {
                self.try_name(folder, name)?;
            }
            return Ok(false);
        };
        match folder.stored(name, &stat).map_err(look)? {
            Stored::As(other) => Err(Reason::OneName { other }.into()),
            Stored::Exactly => Ok(true),
            // It is gone, or the directory lists it under a name that nothing shows.
            Stored::Nowhere => match folder.look(name).map_err(look)? {
                Some(_) => Err(Reason::OtherName.into()),
                None => Ok(false),
            },
        }
    }

    /// Whether a name can be, before anything is downloaded for it.
    fn try_name(&self, folder: &Arc<Folder>, name: &Component) -> Result<(), Failure> {
        let made = folder.create_file(name);
        let open = made.map_err(|errno| named(errno, name, folder, Action::Make))?;
        let stat = rustix::fs::fstat(&open).map_err(|errno| Action::Look.failed(errno))?;
        let stored = folder.stored(name, &stat);
        let removed = folder.remove(name);
        removed.map_err(|errno| Action::Remove.failed(errno))?;
        match stored.map_err(|errno| Action::Look.failed(errno))? {
            Stored::As(other) => Err(Reason::NameChanged { other }.into()),
            Stored::Exactly | Stored::Nowhere => Ok(()),
        }
    }

    /// Takes the names that are in a directory.
    pub(super) fn each_name(
        &self,
        node: &Arc<Node>,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if node.is_new() || !node.is_there() {
            return Ok(());
        }
        let folder = self.folder(node)?;
        folder
            .each_name(|name| take(name).map_err(Listing::Taking))
            .map_err(|error| match error {
                Listing::Reading(errno) => Action::Look.failed(errno).into(),
                Listing::Taking(failure) => failure,
            })
    }

    /// What runs with these tokens left is removed from the directories that are entered.
    pub(super) fn sweep_for(&mut self, unfinished: Vec<Token>) {
        self.unfinished = unfinished;
    }

    pub(super) fn token(&self) -> Token {
        self.temporaries.token()
    }

    pub(super) fn temporaries(&self) -> &Arc<Temporaries> {
        &self.temporaries
    }

    /// The tokens with which nothing is left, now that nothing is in progress any more. `saw_all`:
    /// every directory was entered.
    pub(super) fn tokens_of_nothing(&self, saw_all: bool) -> Vec<Token> {
        let mut tokens = match saw_all {
            true => self.unfinished.clone(),
            false => Vec::new(),
        };
        if !self.temporaries.left_some() {
            tokens.push(self.token());
        }
        tokens
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
                    swept = root
                        .sweep(&self.unfinished)
                        .map_err(|errno| Action::Remove.failed(errno))?;
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
            is_new: false,
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
        presence: Presence,
    ) -> Result<(Arc<Node>, u64), Failure> {
        let name = path.name().and_then(Component::new);
        let name = name.ok_or(Reason::Name)?;
        let found = match parent.is_there() {
            true => self.found(&self.folder(parent)?, &name, presence)?,
            false => Found::NOTHING,
        };
        parent.hold();
        let node = Node {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            parent: Some(Arc::clone(parent)),
            name: Some(name),
            path,
            id: found.id,
            finish: Some(finish),
            is_new: found.is_new,
            under_way: AtomicUsize::new(1),
        };
        Ok((Arc::new(node), found.swept))
    }

    fn found(
        &self,
        parent: &Arc<Folder>,
        name: &Component,
        presence: Presence,
    ) -> Result<Found, Failure> {
        self.is_there(parent, name, presence)?;
        let look =
            |stat: Result<Option<Stat>, Errno>| stat.map_err(|errno| Action::Look.failed(errno));
        match look(parent.look(name))? {
            Some(stat) if is_type(&stat, FileType::Directory) => {
                return self.existing(parent, name, &stat);
            }
            // It may point anywhere, so it is not followed; it is no data either.
            Some(stat) if is_type(&stat, FileType::Symlink) => {
                if self.making.dry_run {
                    return Ok(Found::NOTHING);
                }
                let removed = parent.remove(name);
                removed.map_err(|errno| Action::Remove.failed(errno))?;
            }
            Some(_) => return Err(Reason::InTheWay.into()),
            None if self.making.dry_run => return Ok(Found::NOTHING),
            None => {}
        }
        let made = parent.make_folder(name);
        made.map_err(|errno| match errno {
            Errno::EXIST => taken(parent, name),
            errno => named(errno, name, parent, Action::Make),
        })?;
        let stat = look(parent.look(name))?.ok_or(Action::Look.failed(Errno::NOENT))?;
        let id = Some(FileId::of(&stat));
        Ok(Found {
            id,
            swept: 0,
            is_new: true,
        })
    }

    fn existing(&self, parent: &Folder, name: &Component, stat: &Stat) -> Result<Found, Failure> {
        let id = Some(FileId::of(stat));
        if self.making.dry_run {
            return Ok(Found {
                id,
                swept: 0,
                is_new: false,
            });
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
        let swept = folder.sweep(&self.unfinished);
        let swept = swept.map_err(|errno| Action::Remove.failed(errno))?;
        Ok(Found {
            id,
            swept,
            is_new: false,
        })
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
    pub(super) fn finish(&self, node: &Arc<Node>) -> Result<(bool, Missing), Failure> {
        let Some(Finish { wanted, atime }) = &node.finish else {
            return Ok((false, Missing::default()));
        };
        let mut missing = Missing::default();
        if !self.making.dry_run {
            let folder = self.folder(node)?;
            self.cache().pop(&node.number);
            missing = wanted.set_on(folder.descriptor(), *atime, self.making)?;
            if node.parent.is_none() {
                let opened_up = self.opened_up.lock();
                let opened_up = opened_up.unwrap_or_else(PoisonError::into_inner).take();
                if let Some(opened_up) = opened_up {
                    opened_up.has_others();
                }
            }
        }
        Ok((true, missing))
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

/// Why the names of a directory could not be taken.
enum Listing {
    Reading(Errno),
    Taking(Failure),
}

impl From<Errno> for Listing {
    fn from(errno: Errno) -> Self {
        Self::Reading(errno)
    }
}

/// Why a name was taken although its directory did not have it.
pub(super) fn taken(folder: &Folder, name: &Component) -> Failure {
    let stored = folder.look(name).map(|stat| match stat {
        Some(stat) => folder.stored(name, &stat),
        None => Ok(Stored::Nowhere),
    });
    match stored {
        Ok(Ok(Stored::As(other))) => Reason::OneName { other }.into(),
        // Somebody else made it just now.
        _ => Action::Place.failed(Errno::EXIST).into(),
    }
}

/// Why an entry did not get its name.
pub(super) fn named(errno: Errno, name: &Component, folder: &Folder, action: Action) -> Failure {
    match errno {
        Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG => {
            let most = rustix::fs::fstatvfs(folder.descriptor());
            let most = most.map(|disk| disk.f_namemax).unwrap_or(255);
            let bytes = name.as_bytes().len();
            Reason::NameRefused { errno, bytes, most }.into()
        }
        errno => action.failed(errno).into(),
    }
}
