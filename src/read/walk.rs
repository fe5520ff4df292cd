//! Walks a tree of a container: depth first, in the order in which directories hold their entries,
//! or of their names, with the next directories fetched ahead.
//!
//! A hostile container may name a directory twice, or a directory above itself; followed, such a
//! tree has no end, or is exponentially larger than its container. So each directory is entered once;
//! what that takes is 16 bytes for each directory. What waits to be entered is held too: the
//! subdirectories of the directories on the way down, about 150 bytes each.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectName};

use super::ahead::Ahead;
use super::directory::{BadEntry, EntrySegments};
use super::{Entity, ReadError, Reader, Resolved, TreePath};

/// Directories that are fetched ahead.
const READ_AHEAD: usize = 32;

/// Decides whether an entry is passed over, with everything below it.
pub type Prune = Box<dyn FnMut(&TreePath, FileType) -> bool + Send>;

/// What a walk visits.
#[derive(Default)]
#[non_exhaustive]
pub struct WalkOptions {
    /// How many levels below the start are entered; 0: only the start's own entries are given.
    /// None: all.
    pub depth: Option<usize>,
    /// The entries of a directory that has at most so many are given in the order of their names'
    /// bytes; those of a larger one, and with 0 all, in the order in which the directory holds them.
    pub sorted_up_to: usize,
    /// Entries that are passed over.
    pub prune: Option<Prune>,
}

/// One step of a walk.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// A directory whose inode was read; its entries follow.
    Enter {
        /// Its path.
        path: TreePath,
        /// Its inode.
        entity: Arc<Entity>,
    },
    /// An entry of the directory that was entered last and not yet left by [`Step::Listed`].
    Entry {
        /// Its path.
        path: TreePath,
        /// What it names.
        handle: Filehandle,
        /// The type in the filehandle.
        file_type: FileType,
    },
    /// All entries of the directory were given; those that are directories are entered next.
    Listed {
        /// The directory.
        path: TreePath,
    },
    /// Everything below the directory was given.
    Leave {
        /// The directory.
        path: TreePath,
    },
    /// Something could not be read and is left out.
    Problem(WalkProblem),
}

/// What a walk left out.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalkProblem {
    /// A directory: nothing below it is given.
    Unreadable {
        /// The directory.
        path: TreePath,
        /// Why.
        error: ReadError,
    },
    /// A part of a directory's entries; the others are given.
    PartUnreadable {
        /// The directory.
        path: TreePath,
        /// Why.
        error: ReadError,
    },
    /// An entry whose name or filehandle breaks a rule.
    BadEntry {
        /// The directory.
        path: TreePath,
        /// The blob that holds the entry.
        blob: ObjectName,
        /// The entry.
        entry: BadEntry,
    },
    /// An entry `.` or `..` beyond the first two, or a filehandle without a type.
    NoChild {
        /// The entry.
        path: TreePath,
    },
    /// A directory that was entered before under another name.
    Again {
        /// The path under which it was met again.
        path: TreePath,
        /// The directory.
        handle: Filehandle,
    },
}

/// A walk under way.
pub struct Walk {
    reader: Arc<Reader>,
    options: WalkOptions,
    start_depth: usize,
    stack: Vec<Pending>,
    listing: Option<Listing>,
    ready: VecDeque<Step>,
    entered: HashSet<u64>,
    hasher: RandomState,
}

/// What is still to do, the next last.
enum Pending {
    Enter {
        path: TreePath,
        handle: Filehandle,
        ahead: Option<Ahead<Entity>>,
    },
    Leave(TreePath),
}

impl Step {
    /// The name by which an entry is sorted.
    fn name(&self) -> Option<&[u8]> {
        match self {
            Step::Entry { path, .. } | Step::Problem(WalkProblem::Again { path, .. }) => {
                path.name()
            }
            _ => None,
        }
    }
}

impl Pending {
    fn name(&self) -> Option<&[u8]> {
        match self {
            Pending::Enter { path, .. } | Pending::Leave(path) => path.name(),
        }
    }
}

/// The directory whose entries are being given.
struct Listing {
    path: TreePath,
    segments: EntrySegments,
    /// Entries of the segment so far; `.` and `..` are the first two.
    position: usize,
    /// Entries that wait to be sorted; none when the directory has too many for that.
    unsorted: Option<Vec<Step>>,
    children: Vec<Pending>,
}

impl Walk {
    /// Walks what lies below `start`. An entity that is no directory has nothing below it.
    pub fn new(reader: &Arc<Reader>, start: Resolved, options: WalkOptions) -> Self {
        let mut walk = Self {
            reader: Arc::clone(reader),
            options,
            start_depth: start.path.depth(),
            stack: Vec::new(),
            listing: None,
            ready: VecDeque::new(),
            entered: HashSet::new(),
            hasher: RandomState::new(),
        };
        if start.entity.file_type == FileType::Directory {
            let seen = walk.hasher.hash_one(start.entity.handle);
            walk.entered.insert(seen);
            walk.enter(start.path, start.entity);
        }
        walk
    }

    /// The next step; none when all was given.
    ///
    /// # Errors
    /// When the container itself fails; damage is a [`Step::Problem`].
    pub async fn next(&mut self) -> Result<Option<Step>, ReadError> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Ok(Some(step));
            }
            if self.listing.is_some() {
                self.list().await?;
                continue;
            }
            self.fetch_ahead();
            match self.stack.pop() {
                None => return Ok(None),
                Some(Pending::Leave(path)) => return Ok(Some(Step::Leave { path })),
                Some(Pending::Enter {
                    path,
                    handle,
                    ahead,
                }) => self.open(path, handle, ahead).await?,
            }
        }
    }

    /// Passes over the directory that was just given as [`Step::Enter`]: none of its entries comes,
    /// nor does [`Step::Leave`]. After any other step there is nothing to pass over.
    pub fn pass_over(&mut self) {
        // Between Enter and the first entry nothing is ready, and Leave waits on top.
        if self
            .listing
            .as_ref()
            .is_some_and(|listing| listing.position == 0)
            && self.ready.is_empty()
        {
            self.listing = None;
            self.stack.pop();
        }
    }

    fn fetch_ahead(&mut self) {
        let next = self.stack.iter_mut().rev().take(READ_AHEAD);
        for pending in next {
            if let Pending::Enter {
                handle,
                ahead: ahead @ None,
                ..
            } = pending
            {
                let (reader, handle) = (Arc::clone(&self.reader), *handle);
                *ahead = Some(Ahead::start(async move { reader.entity(handle).await }));
            }
        }
    }

    async fn open(
        &mut self,
        path: TreePath,
        handle: Filehandle,
        ahead: Option<Ahead<Entity>>,
    ) -> Result<(), ReadError> {
        let entity = match ahead {
            Some(ahead) => ahead.await,
            None => self.reader.entity(handle).await,
        };
        match entity {
            Ok(entity) => self.enter(path, Arc::new(entity)),
            Err(error) if error.is_damage() => {
                let problem = WalkProblem::Unreadable { path, error };
                self.ready.push_back(Step::Problem(problem));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn enter(&mut self, path: TreePath, entity: Arc<Entity>) {
        let segments = self.reader.entry_segments(&entity);
        self.listing = Some(Listing {
            path: path.clone(),
            segments,
            position: 0,
            unsorted: (self.options.sorted_up_to > 0).then(Vec::new),
            children: Vec::new(),
        });
        self.stack.push(Pending::Leave(path.clone()));
        self.ready.push_back(Step::Enter { path, entity });
    }

    /// Gives the next segment of the directory, or ends it.
    async fn list(&mut self) -> Result<(), ReadError> {
        let Some(mut listing) = self.listing.take() else {
            return Ok(());
        };
        match listing.segments.next().await {
            Ok(Some(segment)) => {
                for entry in segment.entries() {
                    self.entry(&mut listing, segment.blob, entry);
                }
            }
            Ok(None) => {
                if let Some(mut entries) = listing.unsorted {
                    entries.sort_by(|a, b| a.name().cmp(&b.name()));
                    self.ready.extend(entries);
                    listing.children.sort_by(|a, b| a.name().cmp(&b.name()));
                }
                self.ready.push_back(Step::Listed { path: listing.path });
                self.stack.extend(listing.children.into_iter().rev());
                return Ok(());
            }
            Err(error) if error.is_damage() => {
                let path = listing.path.clone();
                let problem = WalkProblem::PartUnreadable { path, error };
                self.ready.push_back(Step::Problem(problem));
            }
            Err(error) => return Err(error),
        }
        self.listing = Some(listing);
        Ok(())
    }

    fn entry(
        &mut self,
        listing: &mut Listing,
        blob: ObjectName,
        entry: Result<super::NamedHandle<'_>, BadEntry>,
    ) {
        let position = listing.position;
        listing.position += 1;
        let entry = match entry {
            Ok(entry) => entry,
            Err(entry) => {
                let path = listing.path.clone();
                let problem = WalkProblem::BadEntry { path, blob, entry };
                self.ready.push_back(Step::Problem(problem));
                return;
            }
        };
        let dots = matches!(entry.name, b"." | b"..");
        if dots && position < 2 {
            return;
        }
        let path = listing.path.child(entry.name);
        let file_type = match entry.handle.file_type() {
            Some(file_type) if !dots => file_type,
            _ => {
                let problem = WalkProblem::NoChild { path };
                self.ready.push_back(Step::Problem(problem));
                return;
            }
        };
        if let Some(prune) = &mut self.options.prune
            && prune(&path, file_type)
        {
            return;
        }
        if file_type == FileType::Directory {
            let level = listing.path.depth().saturating_sub(self.start_depth);
            if self.options.depth.is_none_or(|depth| level < depth) {
                if !self.entered.insert(self.hasher.hash_one(entry.handle)) {
                    let handle = entry.handle;
                    let problem = WalkProblem::Again { path, handle };
                    self.give(listing, Step::Problem(problem));
                    return;
                }
                listing.children.push(Pending::Enter {
                    path: path.clone(),
                    handle: entry.handle,
                    ahead: None,
                });
            }
        }
        let handle = entry.handle;
        self.give(
            listing,
            Step::Entry {
                path,
                handle,
                file_type,
            },
        );
    }

    /// Gives an entry now, or holds it until it can be sorted.
    fn give(&mut self, listing: &mut Listing, step: Step) {
        let Some(unsorted) = &mut listing.unsorted else {
            self.ready.push_back(step);
            return;
        };
        unsorted.push(step);
        if unsorted.len() > self.options.sorted_up_to {
            self.ready
                .extend(listing.unsorted.take().into_iter().flatten());
        }
    }
}
