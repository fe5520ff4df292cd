//! Walks a tree of a container: depth first, in the stored order of the entries or in the order of
//! their names; the next directories are downloaded ahead.
//!
//! A hostile container may name a directory twice, or an ancestor in its descendant. The tree would
//! then be infinite, or exponentially larger than its container. Therefore each directory is entered
//! once, which takes 16 bytes for each directory. Subdirectories that wait are in memory too, about
//! 150 bytes each: those of the current directory and its ancestors.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectName};

use super::directory::{BadEntry, EntrySegments};
use super::{Ahead, Entity, NamedHandle, ReadError, Reader, Resolved, TreePath};

/// Directories that are downloaded ahead.
const READ_AHEAD: usize = 32;

/// Decides whether to skip an entry, with everything below it.
pub type Prune = Box<dyn FnMut(&TreePath, FileType) -> bool + Send>;

/// Options of a walk.
#[derive(Default)]
#[non_exhaustive]
pub struct WalkOptions {
    /// Number of levels below the start that are entered; 0 for only the entries of the start, none for
    /// all levels.
    pub depth: Option<usize>,
    /// Maximum number of entries of a directory that are sorted by the bytes of their names. Entries of
    /// larger directories are returned in the stored order.
    pub sorted_up_to: usize,
    /// Which entries are skipped.
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
    /// An entry of the directory that was entered last, before its [`Step::Listed`].
    Entry {
        /// Its path.
        path: TreePath,
        /// The entity that it names.
        handle: Filehandle,
        /// The type in the filehandle.
        file_type: FileType,
    },
    /// All entries of the directory were returned; its subdirectories are entered next.
    Listed {
        /// The directory.
        path: TreePath,
    },
    /// Everything below the directory was returned.
    Leave {
        /// The directory.
        path: TreePath,
    },
    /// Something could not be read and is skipped.
    Problem(WalkProblem),
}

/// What a walk skipped.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalkProblem {
    /// A directory: nothing below it is returned.
    Unreadable {
        /// The directory.
        path: TreePath,
        /// The cause.
        error: ReadError,
    },
    /// A part of a directory's entries; the others are returned.
    PartUnreadable {
        /// The directory.
        path: TreePath,
        /// The cause.
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
    /// A directory that was entered before under another path.
    Again {
        /// The path of the second entry that names it.
        path: TreePath,
        /// The directory.
        handle: Filehandle,
    },
}

/// A walk in progress.
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

/// A pending step; the next one is last on the stack.
enum Pending {
    Enter {
        path: TreePath,
        handle: Filehandle,
        ahead: Option<Ahead<Entity>>,
    },
    Leave(TreePath),
}

impl Step {
    /// Returns the name by which an entry is sorted.
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

/// The directory whose entries are being returned.
struct Listing {
    path: TreePath,
    segments: EntrySegments,
    /// Number of entries so far; `.` and `..` are the first two.
    position: usize,
    /// Entries that wait to be sorted; none if the directory has too many.
    unsorted: Option<Vec<Step>>,
    children: Vec<Pending>,
}

impl Walk {
    /// Walks everything below `start`; nothing if it is not a directory.
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

    /// Returns the next step; none at the end.
    ///
    /// # Errors
    /// If the container fails; damage is a [`Step::Problem`].
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

    /// Skips the directory of the [`Step::Enter`] that was just returned: neither its entries nor
    /// [`Step::Leave`] follow. Does nothing after any other step.
    pub fn pass_over(&mut self) {
        // Between Enter and the first entry nothing is ready, and Leave is on top of the stack.
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

    /// Reads the next segment of the directory, or ends the directory.
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
        entry: Result<NamedHandle<'_>, BadEntry>,
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
                    self.push(listing, Step::Problem(problem));
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
        self.push(
            listing,
            Step::Entry {
                path,
                handle,
                file_type,
            },
        );
    }

    /// Queues an entry, or holds it until it can be sorted.
    fn push(&mut self, listing: &mut Listing, step: Step) {
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

/// Counts directories that could not be read, at all or in part: what is missing below them is
/// unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadDirectories {
    /// Number of directories that could not be read at all.
    pub completely: u64,
    /// Number of directories of which a part could not be read.
    pub partly: u64,
    /// The last of them: the problems of one directory follow each other.
    last: Option<Vec<u8>>,
}

impl UnreadDirectories {
    /// Counts the directory of a problem.
    pub fn count(&mut self, problem: &WalkProblem) {
        match problem {
            WalkProblem::Unreadable { .. } => self.completely += 1,
            WalkProblem::PartUnreadable { path, .. } => {
                let path = path.to_bytes();
                if self.last.as_ref() != Some(&path) {
                    self.partly += 1;
                    self.last = Some(path);
                }
            }
            _ => {}
        }
    }

    /// Returns a sentence for each count that is not 0.
    pub fn lines(&self) -> Vec<String> {
        unread_directories(self.completely, self.partly)
    }
}

/// Returns a sentence for each count that is not 0: directories that could not be read, at all or in
/// part.
pub(crate) fn unread_directories(unread: u64, partial: u64) -> Vec<String> {
    let unread = (unread > 0).then(|| {
        format!(
            "{} could not be read: everything below is missing",
            Directories(unread)
        )
    });
    let partial = (partial > 0).then(|| {
        format!(
            "{} could be read only in part: entries are missing, with everything below them",
            Directories(partial)
        )
    });
    unread.into_iter().chain(partial).collect()
}

struct Directories(u64);

impl fmt::Display for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 directory"),
            count => write!(f, "{count} directories"),
        }
    }
}
