//! Walks what is to be brought out and hands entries to tasks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ExtractOptions;
use super::component::Component;
use super::entry::Entry;
use super::one_name::report;
use super::problem::{ExtractError, Failure, Reason};
use super::run::{Run, blocking};
use super::summary::add;
use super::tree::{Finish, Node, Presence};
use crate::read::{
    Entity, Pattern, Resolved, Step, TreePath, UnreadDirectories, Walk, WalkOptions, WalkProblem,
};

/// Entries that are worked on at a time: as many as the reader has requests under way.
const ENTRIES: usize = 64;

pub(super) struct Walking {
    run: Arc<Run>,
    exclude: Arc<Vec<Pattern>>,
    destination_is_ours: bool,
    /// Directories on the way to the given paths. They are finished in the end.
    passed: HashMap<Vec<u8>, Arc<Node>>,
    slots: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Walking {
    pub(super) fn new(run: &Arc<Run>, options: &ExtractOptions, destination_is_ours: bool) -> Self {
        Self {
            run: Arc::clone(run),
            exclude: Arc::new(options.exclude.clone()),
            destination_is_ours,
            passed: HashMap::new(),
            slots: Arc::new(Semaphore::new(ENTRIES)),
            tasks: JoinSet::new(),
        }
    }

    /// Waits for the tasks.
    pub(super) async fn join(&mut self) {
        while let Some(joined) = self.tasks.join_next().await {
            self.joined(joined);
        }
        for (_, node) in self.passed.drain() {
            self.run.release(&node).await;
        }
    }

    pub(super) async fn run(
        &mut self,
        options: &ExtractOptions,
        root: Entity,
    ) -> Result<(), ExtractError> {
        if options.is_everything() {
            let (path, entity) = (TreePath::root(), Arc::new(root));
            return self.walk(Resolved { path, entity }, None).await;
        }
        for path in apart(&options.paths) {
            if self.run.halted() {
                return Ok(());
            }
            if let Err(failure) = self.given(path).await {
                self.run.failed(path.clone(), None, failure);
            }
        }
        Ok(())
    }

    /// One of the paths that were asked for.
    async fn given(&mut self, path: &TreePath) -> Result<(), Failure> {
        let mut passed = Vec::new();
        let reader = Arc::clone(&self.run.reader);
        let found = reader.resolve_through(path, |resolved| passed.push(resolved));
        let found = self.run.reading(found).await?;
        let mut parent = None;
        for directory in passed {
            parent = Some(self.pass(parent, directory).await?);
        }
        if found.entity.file_type == FileType::Directory {
            self.walk(found, parent).await?;
            return Ok(());
        }
        if let Some(parent) = parent {
            let (handle, file_type) = (found.entity.handle, found.entity.file_type);
            let presence = Presence::Unknown;
            self.entry(&parent, found.path, handle, file_type, presence)
                .await;
        }
        Ok(())
    }

    /// A directory on the way to a given path.
    async fn pass(
        &mut self,
        parent: Option<Arc<Node>>,
        directory: Resolved,
    ) -> Result<Arc<Node>, Failure> {
        let key = directory.path.to_bytes();
        if let Some(node) = self.passed.get(&key) {
            return Ok(Arc::clone(node));
        }
        let (path, presence) = (directory.path, Presence::Unknown);
        let node = self.enter(parent, path, &directory.entity, presence);
        let node = node.await?;
        self.passed.insert(key, Arc::clone(&node));
        Ok(node)
    }

    /// A directory and everything below it.
    async fn walk(&mut self, start: Resolved, base: Option<Arc<Node>>) -> Result<(), ExtractError> {
        let options = self.walk_options();
        let reader = Arc::clone(&self.run.reader);
        let mut walk = Walk::new(&reader, start, options);
        let mut inside: Vec<Arc<Node>> = Vec::new();
        // Second entries of a name: as long as the directories that hold them.
        let mut refused: HashSet<Filehandle> = HashSet::new();
        let mut unread = UnreadDirectories::default();
        // Directories that the destination's directory did not have: the same.
        let mut absent: HashSet<Filehandle> = HashSet::new();
        while !self.run.halted() {
            let step = self.run.reading(walk.next()).await;
            let Some(step) = step.map_err(ExtractError::of_reading)? else {
                break;
            };
            match step {
                Step::Enter { path, entity } => {
                    if refused.contains(&entity.handle) {
                        walk.pass_over();
                        continue;
                    }
                    let parent = inside.last().or(base.as_ref()).cloned();
                    let presence = match inside.last() {
                        None => Presence::Unknown,
                        Some(parent) => presence(parent, !absent.remove(&entity.handle)),
                    };
                    let entered = self.enter(parent, path.clone(), &entity, presence).await;
                    let listed = match entered {
                        Ok(node) => match self.list(&node).await {
                            Ok(()) => Ok(node),
                            Err(failure) => {
                                self.run.release(&node).await;
                                Err(failure)
                            }
                        },
                        failed => failed,
                    };
                    match listed {
                        Ok(node) => inside.push(node),
                        Err(failure) => {
                            walk.pass_over();
                            let directory = Some(FileType::Directory);
                            report(&self.run, path, directory, failure).await;
                        }
                    }
                }
                Step::Entry {
                    path,
                    handle,
                    file_type,
                } => {
                    let name = path.name().unwrap_or_default();
                    let taken = self.run.scratch.take_name(name)?;
                    if taken.again {
                        self.run
                            .problem(path, Some(file_type), Reason::DuplicateName);
                        if file_type == FileType::Directory {
                            refused.insert(handle);
                        }
                    } else if let Some(parent) = inside.last().cloned() {
                        let presence = presence(&parent, taken.there);
                        if file_type != FileType::Directory {
                            self.entry(&parent, path, handle, file_type, presence).await;
                        } else if presence == Presence::Absent && !parent.is_new() {
                            absent.insert(handle);
                        }
                    }
                }
                Step::Listed { .. } => {}
                Step::Leave { .. } => {
                    if let Some(node) = inside.pop() {
                        self.run.release(&node).await;
                    }
                }
                Step::Problem(problem) => {
                    unread.count(&problem);
                    self.walk_problem(problem);
                }
            }
        }
        add(&self.run.counters.directories_unread, unread.whole);
        add(&self.run.counters.directories_unread_in_part, unread.part);
        // From the innermost on; after an early end they are not finished.
        while inside.pop().is_some() {}
        Ok(())
    }

    /// Takes the names that a directory of the destination has, before anything is made in it.
    async fn list(&self, node: &Arc<Node>) -> Result<(), Failure> {
        self.run.scratch.forget_names()?;
        if node.is_new() {
            return Ok(());
        }
        let (run, node) = (Arc::clone(&self.run), Arc::clone(node));
        let listed = blocking(move || {
            let note = |name: &[u8]| Ok(run.scratch.note_there(name)?);
            run.tree.each_name(&node, note)
        });
        listed.await?
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

    fn walk_problem(&self, problem: WalkProblem) {
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

    /// Makes a directory.
    async fn enter(
        &self,
        parent: Option<Arc<Node>>,
        path: TreePath,
        entity: &Arc<Entity>,
        presence: Presence,
    ) -> Result<Arc<Node>, Failure> {
        if entity.file_type != FileType::Directory {
            return Err(Reason::TypeMismatch.into());
        }
        if !entity.deviations.is_empty() {
            add(&self.run.counters.deviating, 1);
        }
        let finish = Finish::of(entity);
        let run = Arc::clone(&self.run);
        let ours = self.destination_is_ours;
        let entered = blocking(move || match parent {
            Some(parent) => run.tree.enter(&parent, path, finish, presence),
            None => run.tree.root_node(ours.then_some(finish)),
        });
        let (node, swept) = entered.await??;
        add(&self.run.counters.swept, swept);
        Ok(node)
    }

    /// Hands anything but a directory to a task of its own.
    async fn entry(
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
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return;
        };
        while let Some(joined) = self.tasks.try_join_next() {
            self.joined(joined);
        }
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
        self.tasks.spawn(async move {
            entry.bring_out(&run).await;
            run.release(&entry.parent).await;
            drop(slot);
        });
    }

    fn joined(&self, joined: Result<(), tokio::task::JoinError>) {
        if joined.is_err() {
            let path = TreePath::root();
            self.run.failed(path, None, ExtractError::Thread.into());
        }
    }
}

/// What is known of an entry's place; `there`: its directory had its name when it was entered.
fn presence(parent: &Node, there: bool) -> Presence {
    match there && !parent.is_new() {
        true => Presence::There,
        false => Presence::Absent,
    }
}

/// The paths without those that lie below another, and each only once.
fn apart(paths: &[TreePath]) -> Vec<&TreePath> {
    let mut sorted: Vec<(Vec<&[u8]>, &TreePath)> =
        paths.iter().map(|path| (path.components(), path)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    // What lies below a path follows it.
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
        let apart: Vec<Vec<u8>> = apart(&paths).into_iter().map(TreePath::to_bytes).collect();
        assert_eq!(apart, [&b"a"[..], b"a b", b"ab", b"c"]);
    }
}
