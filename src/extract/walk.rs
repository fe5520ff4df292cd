//! Walks the container and starts a task for each entry.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use tokio::task::JoinSet;

use super::entry::Entry;
use super::folder::Component;
use super::problem::{ExtractError, Failure, Reason};
use super::run::Run;
use super::tree::{FinalAttributes, Node, Presence};
use super::{ExtractOptions, add};
use crate::read::{
    Entity, Pattern, Resolved, Step, TreePath, UnreadDirectories, Walk, WalkOptions, WalkProblem,
};

/// Entries in progress: as many as the reader has requests in flight.
const ENTRIES: usize = 64;

pub(super) struct Walker {
    run: Arc<Run>,
    exclude: Arc<Vec<Pattern>>,
    owns_destination: bool,
    /// Directories above the given paths. They are finished at the end.
    above: HashMap<Vec<u8>, Arc<Node>>,
    tasks: JoinSet<()>,
}

/// The names of the directory that is being listed, as keyed hashes of 64 bits: that two names of 10^7 have
/// the same hash, and one of them is reported as a duplicate, has a probability of 3 in a million.
#[derive(Default)]
struct Names {
    hasher: RandomState,
    seen: HashSet<u64>,
    in_destination: HashSet<u64>,
}

impl Names {
    fn add_existing(&mut self, name: &[u8]) {
        self.in_destination.insert(self.hasher.hash_one(name));
    }

    /// Takes a name of the container's directory. Returns whether the destination's directory has it; none if
    /// an earlier entry has the same name.
    fn take(&mut self, name: &[u8]) -> Option<bool> {
        let hash = self.hasher.hash_one(name);
        let is_first = self.seen.insert(hash);
        is_first.then(|| self.in_destination.remove(&hash))
    }
}

impl Walker {
    pub(super) fn new(run: &Arc<Run>, options: &ExtractOptions, owns_destination: bool) -> Self {
        Self {
            run: Arc::clone(run),
            exclude: Arc::new(options.exclude.clone()),
            owns_destination,
            above: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Waits for the tasks, and finishes the directories above the given paths.
    pub(super) fn join(&mut self) {
        while self.join_one() {}
        for (_, node) in self.above.drain() {
            self.run.release(&node);
        }
    }

    pub(super) fn run(
        &mut self,
        options: &ExtractOptions,
        root: Entity,
    ) -> Result<(), ExtractError> {
        if options.is_everything() {
            let (path, entity) = (TreePath::root(), Arc::new(root));
            return self.walk(Resolved { path, entity }, None);
        }
        for path in disjoint(&options.paths) {
            if self.run.halted() {
                return Ok(());
            }
            if let Err(failure) = self.extract_path(path) {
                self.run.failed(path.clone(), None, failure);
            }
        }
        Ok(())
    }

    /// Extracts one of the given paths.
    fn extract_path(&mut self, path: &TreePath) -> Result<(), Failure> {
        let mut above = Vec::new();
        let reader = Arc::clone(&self.run.reader);
        let found = reader.resolve_through(path, |resolved| above.push(resolved));
        let found = self.run.read(found)?;
        let mut parent = None;
        for directory in above {
            parent = Some(self.enter_above(parent, directory)?);
        }
        if found.entity.file_type == FileType::Directory {
            self.walk(found, parent)?;
        } else if let Some(parent) = parent {
            let (handle, file_type) = (found.entity.handle, found.entity.file_type);
            self.start(&parent, found.path, handle, file_type, Presence::Unknown);
        }
        Ok(())
    }

    /// Enters a directory above a given path.
    fn enter_above(
        &mut self,
        parent: Option<Arc<Node>>,
        directory: Resolved,
    ) -> Result<Arc<Node>, Failure> {
        let key = directory.path.to_bytes();
        if let Some(node) = self.above.get(&key) {
            return Ok(Arc::clone(node));
        }
        let (path, entity) = (directory.path, directory.entity);
        let node = self.enter(parent, path, &entity, Presence::Unknown)?;
        self.above.insert(key, Arc::clone(&node));
        Ok(node)
    }

    /// Extracts a directory and everything below it.
    fn walk(&mut self, start: Resolved, base: Option<Arc<Node>>) -> Result<(), ExtractError> {
        let run = Arc::clone(&self.run);
        let mut walk = Walk::new(&run.reader, start, self.walk_options());
        let mut inside: Vec<Arc<Node>> = Vec::new();
        let mut names = Names::default();
        let mut unread = UnreadDirectories::default();
        // Of the subdirectories that wait to be entered: those whose name an earlier entry has, and those whose
        // name the destination's directory did not have.
        let mut duplicates: HashSet<Filehandle> = HashSet::new();
        let mut absent: HashSet<Filehandle> = HashSet::new();
        while !run.halted() {
            let step = run.read(walk.next()).map_err(ExtractError::of_reading)?;
            let Some(step) = step else {
                break;
            };
            match step {
                Step::Enter { path, entity } => {
                    if duplicates.remove(&entity.handle) {
                        walk.pass_over();
                        continue;
                    }
                    let presence = match inside.last() {
                        None => Presence::Unknown,
                        Some(parent) => presence(parent, !absent.remove(&entity.handle)),
                    };
                    names = Names::default();
                    let parent = inside.last().or(base.as_ref()).cloned();
                    let entered = self.enter(parent, path.clone(), &entity, presence);
                    let listed = entered.and_then(|node| {
                        // Before anything is created in it.
                        let listed = run.tree.each_name(&node, |name| names.add_existing(name));
                        match listed {
                            Ok(()) => Ok(node),
                            Err(error) => {
                                run.release(&node);
                                Err(error.into())
                            }
                        }
                    });
                    match listed {
                        Ok(node) => inside.push(node),
                        Err(failure) => {
                            walk.pass_over();
                            run.failed(path, Some(FileType::Directory), failure);
                        }
                    }
                }
                Step::Entry {
                    path,
                    handle,
                    file_type,
                } => {
                    let is_directory = file_type == FileType::Directory;
                    let Some(exists) = names.take(path.name().unwrap_or_default()) else {
                        run.problem(path, Some(file_type), Reason::DuplicateName);
                        if is_directory {
                            duplicates.insert(handle);
                        }
                        continue;
                    };
                    let Some(parent) = inside.last() else {
                        continue;
                    };
                    let presence = presence(parent, exists);
                    if !is_directory {
                        self.start(parent, path, handle, file_type, presence);
                    } else if presence == Presence::Absent && !parent.is_new() {
                        absent.insert(handle);
                    }
                }
                Step::Listed { .. } => {}
                Step::Leave { .. } => {
                    if let Some(node) = inside.pop() {
                        run.release(&node);
                    }
                }
                Step::Problem(problem) => {
                    unread.count(&problem);
                    self.report(problem);
                }
            }
        }
        add(&run.counters.directories_unread, unread.completely);
        add(&run.counters.directories_unread_in_part, unread.partly);
        // Drops the innermost first. After an early end, directories are not finished.
        while inside.pop().is_some() {}
        Ok(())
    }

    fn walk_options(&self) -> WalkOptions {
        let mut options = WalkOptions::default();
        if !self.exclude.is_empty() {
            let (exclude, run) = (Arc::clone(&self.exclude), Arc::clone(&self.run));
            options.prune = Some(Box::new(move |path, _| {
                let excluded = exclude.iter().any(|pattern| pattern.matches(path));
                if excluded {
                    add(&run.counters.excluded, 1);
                }
                excluded
            }));
        }
        options
    }

    fn report(&self, problem: WalkProblem) {
        let directory = Some(FileType::Directory);
        let (path, file_type, reason) = match problem {
            WalkProblem::Unreadable { path, error }
            | WalkProblem::PartUnreadable { path, error } => (path, directory, Reason::Read(error)),
            WalkProblem::BadEntry { path, blob, entry } => {
                (path, directory, Reason::BadEntry { blob, entry })
            }
            WalkProblem::NoChild { path } => (path, None, Reason::Name),
            WalkProblem::Again { path, .. } => (path, directory, Reason::SecondPath),
        };
        self.run.problem(path, file_type, reason);
    }

    /// Creates a directory, or opens the existing one.
    fn enter(
        &self,
        parent: Option<Arc<Node>>,
        path: TreePath,
        entity: &Arc<Entity>,
        presence: Presence,
    ) -> Result<Arc<Node>, Failure> {
        if entity.file_type != FileType::Directory {
            return Err(Reason::TypeMismatch.into());
        }
        let run = &self.run;
        if !entity.deviations.is_empty() {
            add(&run.counters.deviating, 1);
        }
        let attributes = FinalAttributes::of(entity);
        let (node, removed) = match parent {
            Some(parent) => run.tree.enter(&parent, path, attributes, presence)?,
            None => run
                .tree
                .root_node(self.owns_destination.then_some(attributes))?,
        };
        add(&run.counters.leftovers_removed, removed);
        Ok(node)
    }

    /// Starts a task for an entry that is not a directory. Waits until fewer than [`ENTRIES`] are in progress.
    fn start(
        &mut self,
        parent: &Arc<Node>,
        path: TreePath,
        handle: Filehandle,
        file_type: FileType,
        presence: Presence,
    ) {
        let Some(name) = path.name().and_then(Component::new) else {
            self.run.problem(path, Some(file_type), Reason::Name);
            return;
        };
        while self.tasks.len() >= ENTRIES && self.join_one() {}
        parent.hold();
        let entry = Entry {
            parent: Arc::clone(parent),
            name,
            path,
            handle,
            file_type,
            presence,
        };
        let run = Arc::clone(&self.run);
        let work = move || {
            entry.extract(&run);
            run.release(&entry.parent);
        };
        self.tasks.spawn_blocking_on(work, &self.run.runtime);
    }

    /// Waits for a task to end. False if there is none.
    fn join_one(&mut self) -> bool {
        let joined = self.run.runtime.block_on(self.tasks.join_next());
        if let Some(Err(_)) = joined {
            let path = TreePath::root();
            self.run.failed(path, None, ExtractError::Thread.into());
        }
        joined.is_some()
    }
}

/// Returns the presence of an entry. `exists`: the destination had its name when its directory was entered.
fn presence(parent: &Node, exists: bool) -> Presence {
    match exists && !parent.is_new() {
        true => Presence::Exists,
        false => Presence::Absent,
    }
}

/// Returns the paths without duplicates and without those that lie below another.
fn disjoint(paths: &[TreePath]) -> Vec<&TreePath> {
    let mut sorted: Vec<(Vec<&[u8]>, &TreePath)> =
        paths.iter().map(|path| (path.components(), path)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    // Paths below a path follow it.
    sorted.dedup_by(|(below, _), (above, _)| below.starts_with(above));
    sorted.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_another_is_not_walked_twice() {
        let given = ["a/b", "a b", "a", "c", "a/b/c", "c", "ab"];
        let paths: Vec<TreePath> = given
            .iter()
            .map(|p| TreePath::parse(p.as_bytes()))
            .collect();
        let kept: Vec<Vec<u8>> = disjoint(&paths)
            .into_iter()
            .map(TreePath::to_bytes)
            .collect();
        assert_eq!(kept, [&b"a"[..], b"a b", b"ab", b"c"]);
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut names = Names::default();
        names.add_existing(b"a");
        assert_eq!(names.take(b"a\xff"), Some(false));
        assert_eq!(names.take(b"a"), Some(true));
        assert_eq!(names.take(b"a"), None);
        assert_eq!(names.take(b"a\xff"), None);
    }
}
