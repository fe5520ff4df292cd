//! Extracts one entry that is not a directory: a file, a symlink, a fifo, a socket or a device.
//!
//! An existing entry that is up to date is kept. Otherwise the entry is linked to another name of its inode, or
//! created under a temporary name and renamed.

use std::ffi::CString;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectId};
use rustix::fs::{FileType as NodeType, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::add;
use super::attributes::{Missing, TargetAttributes, may_create, mtime_of};
use super::content::{FileWriter, Gaps, Pieces, Rules, compare};
use super::folder::{Component, FileId, Folder, is_type};
use super::links::FirstPath;
use super::problem::{Action, Failure, Reason};
use super::record::RecordedInode;
use super::run::Run;
use super::temporary::Temporary;
use super::tree::{Node, Presence, in_the_way, name_error, name_in_use};
use crate::read::Ahead;
use crate::read::{Entity, TreePath};

/// The id that a dry run stores for a file that a run would write.
const NOT_WRITTEN: FileId = FileId {
    device: 0,
    inode: 0,
};

/// The suffix of the readable parts of a damaged file.
const DAMAGED: &str = ".damaged";
/// Names with this suffix that are tried.
const DAMAGED_NAMES: u32 = 100;

/// An entry to extract.
pub(super) struct Entry {
    pub(super) parent: Arc<Node>,
    pub(super) name: Component,
    pub(super) path: TreePath,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
    pub(super) presence: Presence,
}

/// An entry of the destination as it should be, except for refused attributes.
struct InPlace {
    stat: Stat,
    missing: Missing,
}

enum Linked {
    Created,
    /// It was the same file before.
    UpToDate,
    /// It must be downloaded as a separate file.
    Impossible,
}

impl Entry {
    /// Extracts the entry, or reports why not.
    pub(super) fn extract(&self, run: &Run) {
        // Entries that were queued before the run ended are not started.
        if run.halted() {
            return;
        }
        if let Err(failure) = self.try_extract(run) {
            run.failed(self.path.clone(), Some(self.file_type), failure);
        }
    }

    fn try_extract(&self, run: &Run) -> Result<(), Failure> {
        if !may_create(self.file_type, run.superuser) {
            return Err(Reason::Device.into());
        }
        let _lock = run.inode_locks.lock(self.handle);
        let exists = match self.presence {
            Presence::Exists => self.parent.exists(),
            presence => match self.folder(run)? {
                Some(folder) => run.tree.entry_exists(&folder, &self.name, presence)?,
                None => false,
            },
        };
        let first = run.links.first_path(self.handle)?;
        let is_copy = first.is_some();
        if let Some(first) = first {
            match self.link(run, &first, exists)? {
                Linked::Created => {
                    add(&run.counters.links, 1);
                    return Ok(());
                }
                Linked::UpToDate => {
                    add(&run.counters.up_to_date, 1);
                    return Ok(());
                }
                Linked::Impossible => {}
            }
        }
        let id = ObjectId::Entity(self.handle);
        let listed = run.locate(&id)?;
        let version = listed.name.version;
        let before = run.record.find(self.handle, version)?;
        let alone = before.is_some_and(|before| before.alone);
        let stamp = run.reader.stamp(&listed, alone)?;
        if let Some(known) = before
            && exists
            && known.has_stamp(stamp)
            && !run.checksum
            && known.target.file_type == self.file_type
            && let Some(in_place) = self.unchanged(run, known)?
        {
            return self.up_to_date(run, &known.target, in_place);
        }
        // Unpacked by an async worker: each thread that does it keeps some memory in its heap.
        let reader = Arc::clone(&run.reader);
        let entity = Ahead::start(async move {
            let fetched = reader.fetch(&listed).await?;
            Entity::from_fetched(&fetched)
        });
        let entity = Arc::new(run.read(entity)?);
        add(&run.counters.inodes_downloaded, 1);
        if !entity.deviations.is_empty() {
            add(&run.counters.deviating, 1);
        }
        if entity.file_type != self.file_type {
            return Err(Reason::TypeMismatch.into());
        }
        let stamp = match stamp {
            None if run.reader.index().is_none() => {
                run.read(run.reader.requested_stamp(&listed, &entity))?
            }
            stamp => stamp,
        };
        let known = RecordedInode {
            target: TargetAttributes::of(&entity),
            kept: before.and_then(|before| before.kept),
            stamp: None,
            alone: entity.is_alone(),
            local: before.and_then(|before| before.local),
        };
        if exists {
            let is_cached = before.is_some_and(|before| {
                before.target == known.target && before.has_stamp(stamp) && !run.checksum
            });
            if is_cached && let Some(in_place) = self.unchanged(run, known)? {
                return self.up_to_date(run, &known.target, in_place);
            }
            if let Some((in_place, rules)) = self.same_content(run, &entity, known)? {
                let compared = RecordedInode {
                    stamp: stamp.filter(|_| rules == Rules::Kept),
                    local: Some(in_place.stat.st_ino),
                    ..known
                };
                if before != Some(compared) && !run.is_dry() {
                    run.record.put(self.handle, version, &compared)?;
                }
                add(&run.counters.compared, 1);
                return self.up_to_date(run, &known.target, in_place);
            }
        }
        let id = if run.is_dry() {
            if self.file_type == FileType::Regular {
                add(&run.counters.content_bytes, known.target.size);
            }
            NOT_WRITTEN
        } else {
            let (in_place, rules) = self.create(run, &entity, known.target, exists)?;
            let stat = in_place.stat;
            run.missing(&self.path, self.file_type, in_place.missing);
            let created = RecordedInode {
                kept: mtime_of(&stat).filter(|mtime| *mtime != known.target.mtime),
                stamp: stamp.filter(|_| rules == Rules::Kept),
                local: Some(stat.st_ino),
                ..known
            };
            run.record.put(self.handle, version, &created)?;
            FileId::of(&stat)
        };
        self.remember(run, &known.target, id)?;
        let counter = match self.file_type {
            FileType::Regular => &run.counters.files,
            FileType::Symlink => &run.counters.symlinks,
            _ => &run.counters.specials,
        };
        add(counter, 1);
        add(&run.counters.copies, is_copy.into());
        Ok(())
    }

    /// Returns the directory of the entry; none in a dry run if it does not exist.
    fn folder(&self, run: &Run) -> Result<Option<Arc<Folder>>, Failure> {
        match self.parent.exists() {
            true => Ok(Some(run.tree.folder(&self.parent)?)),
            false => Ok(None),
        }
    }

    fn existing_folder(&self, run: &Run) -> Result<Arc<Folder>, Failure> {
        let folder = self.folder(run)?;
        folder.ok_or_else(|| Action::Open.failed(Errno::NOENT).into())
    }

    fn up_to_date(
        &self,
        run: &Run,
        target: &TargetAttributes,
        in_place: InPlace,
    ) -> Result<(), Failure> {
        add(&run.counters.up_to_date, 1);
        run.missing(&self.path, self.file_type, in_place.missing);
        self.remember(run, target, FileId::of(&in_place.stat))
    }

    /// Stores the path to which further names of the inode will be linked.
    fn remember(&self, run: &Run, target: &TargetAttributes, id: FileId) -> Result<(), Failure> {
        if target.nlink > 1 {
            let path = self.path.to_bytes();
            run.links
                .set_first_path(self.handle, &FirstPath { path, id })?;
        }
        Ok(())
    }

    /// Returns the existing entry, if it is the one that was written or compared, with the right attributes. Corrects
    /// its permissions.
    fn unchanged(&self, run: &Run, known: RecordedInode) -> Result<Option<InPlace>, Failure> {
        let Some(folder) = self.folder(run)? else {
            return Ok(None);
        };
        let Some(stat) = existing(&folder, &self.name)? else {
            return Ok(None);
        };
        let target = &known.target;
        if !target.matches(&stat, known.kept)
            || !run.record.is_local(self.handle, &known, stat.st_ino)?
            || !self.may_keep(run, target, &stat, true)?
        {
            return Ok(None);
        }
        let policy = run.tree.policy();
        let mut missing = Missing::default();
        if target.has_other_mode(&stat, policy) || !target.has_owner(&stat, policy.owners) {
            if !run.is_dry() {
                missing = target.set_rights_at(&folder, &self.name, policy)?;
            }
            add(&run.counters.corrected, missing.0.is_none().into());
        }
        Ok(Some(InPlace { stat, missing }))
    }

    /// Returns the existing entry, if it has the content of `entity`. Corrects its attributes. Without
    /// `--checksum`, an entry of another size or time is not compared.
    fn same_content(
        &self,
        run: &Run,
        entity: &Arc<Entity>,
        known: RecordedInode,
    ) -> Result<Option<(InPlace, Rules)>, Failure> {
        let target = &known.target;
        let Some(folder) = self.folder(run)? else {
            return Ok(None);
        };
        let Some(stat) = existing(&folder, &self.name)? else {
            return Ok(None);
        };
        // A file with the wrong owner is replaced: comparing it would be a useless download.
        if !target.matches_size(&stat)
            || !(run.checksum || target.matches(&stat, known.kept))
            || !has_owner(run, target, &stat)
        {
            return Ok(None);
        }
        let rules = match self.file_type {
            FileType::Regular => {
                let _budget = run.runtime.block_on(run.budget.acquire(target.size))?;
                match folder.open_file(&self.name) {
                    // A file that its owner may not read, such as one of mode 0200, is replaced.
                    Err(Errno::ACCESS) => None,
                    opened => {
                        let file = opened.map_err(|errno| Action::Read.failed(errno))?;
                        compare(run, entity, &file)?
                    }
                }
            }
            FileType::Symlink => {
                let found = folder.target_of(&self.name);
                let found = found.map_err(|errno| Action::Read.failed(errno))?;
                let same = found == entity.target().cloned().unwrap_or_default();
                same.then(|| rules_of(entity))
            }
            _ => Some(rules_of(entity)),
        };
        let Some(rules) = rules else {
            return Ok(None);
        };
        let stat = existing(&folder, &self.name)?;
        let Some(stat) = stat.filter(|stat| target.matches_size(stat)) else {
            return Ok(None);
        };
        let matches = target.matches(&stat, known.kept);
        if !self.may_keep(run, target, &stat, matches)? {
            return Ok(None);
        }
        let policy = run.tree.policy();
        if !matches || target.has_other_mode(&stat, policy) {
            add(&run.counters.corrected, 1);
        }
        let mut missing = Missing::default();
        // Also the access time: the blob may have been repaired, and reading the file changed the time.
        if !run.is_dry() && stat.st_nlink <= 1 {
            missing = target.set_at(&folder, &self.name, entity.attributes.atime, policy)?;
        }
        Ok(Some((InPlace { stat, missing }, rules)))
    }

    /// Returns whether an existing entry can become this one: it has the right owner, and its links are further
    /// names of this inode. Otherwise it is replaced, which separates it from its other links. `has_time`: its
    /// times need no change.
    fn may_keep(
        &self,
        run: &Run,
        target: &TargetAttributes,
        stat: &Stat,
        has_time: bool,
    ) -> Result<bool, Failure> {
        if !has_owner(run, target, stat) {
            return Ok(false);
        }
        let links = stat.st_nlink;
        if links <= 1 {
            return Ok(true);
        }
        // Links outside the destination look the same, so nothing is changed through a link.
        let policy = run.tree.policy();
        let unchanged = has_time
            && target.has_owner(stat, policy.owners)
            && !target.has_other_mode(stat, policy);
        Ok(unchanged
            && links <= u64::from(target.nlink)
            && run.links.match_shared(FileId::of(stat), self.handle)?)
    }

    /// Links the entry to the first name of its inode.
    fn link(&self, run: &Run, first: &FirstPath, exists: bool) -> Result<Linked, Failure> {
        let folder = match self.folder(run)? {
            Some(folder) if !run.is_dry() || first.id != NOT_WRITTEN => folder,
            _ => return Ok(Linked::Created),
        };
        let Ok((from, original)) = run.tree.folder_of(&first.path) else {
            return Ok(Linked::Impossible);
        };
        let is_first = |stat: &Stat| FileId::of(stat) == first.id;
        let found = from.stat_of(&original).ok().flatten();
        if !found.is_some_and(|stat| is_first(&stat)) {
            return Ok(Linked::Impossible);
        }
        if existing(&folder, &self.name)?.is_some_and(|stat| is_first(&stat)) {
            return Ok(Linked::UpToDate);
        }
        if run.is_dry() {
            return Ok(Linked::Created);
        }
        let created = run.tree.temporaries().create(&folder, |temporary| {
            folder.create_link(temporary, &from, &original)
        });
        let temporary = match created {
            Ok((temporary, ())) => temporary,
            // The file system has a limit of links, or no links.
            Err(
                Errno::MLINK
                | Errno::XDEV
                | Errno::PERM
                | Errno::OPNOTSUPP
                | Errno::ACCESS
                | Errno::NOENT,
            ) => return Ok(Linked::Impossible),
            Err(errno) => return Err(Action::Link.failed(errno).into()),
        };
        // Another program may have replaced the original meanwhile.
        let name = temporary
            .name()
            .map_err(|errno| Action::Rename.failed(errno))?;
        if !existing(&folder, name)?.is_some_and(|stat| is_first(&stat)) {
            return Ok(Linked::Impossible);
        }
        self.rename(&folder, exists, temporary)?;
        Ok(Linked::Created)
    }

    /// Creates the entry. `exists`: an entry exists under its name and is replaced. Returns also whether the
    /// objects that were read keep the rules.
    fn create(
        &self,
        run: &Run,
        entity: &Arc<Entity>,
        target: TargetAttributes,
        exists: bool,
    ) -> Result<(InPlace, Rules), Failure> {
        if self.file_type == FileType::Regular {
            return self.write(run, entity, target, exists);
        }
        let folder = self.existing_folder(run)?;
        let names = run.tree.temporaries();
        let created = match self.file_type {
            FileType::Symlink => {
                let text = entity.target().cloned().unwrap_or_default();
                let text = CString::new(text.to_vec()).map_err(|_| Reason::Target)?;
                if text.is_empty() {
                    return Err(Reason::Target.into());
                }
                names.create(&folder, |name| folder.create_symlink(name, &text))
            }
            _ => {
                let node_type = match self.file_type {
                    FileType::Block => NodeType::BlockDevice,
                    FileType::Character => NodeType::CharacterDevice,
                    FileType::Socket => NodeType::Socket,
                    FileType::Fifo => NodeType::Fifo,
                    _ => return Err(Reason::TypeMismatch.into()),
                };
                names.create(&folder, |name| {
                    folder.create_node(name, node_type, target.device())
                })
            }
        };
        let (temporary, ()) = created.map_err(|errno| Action::Create.failed(errno))?;
        let failed = |errno| Action::Rename.failed(errno);
        let name = temporary.name().map_err(failed)?;
        let atime = entity.attributes.atime;
        let missing = target.set_at(&folder, name, atime, run.tree.policy())?;
        let stat = existing(&folder, name)?.ok_or(failed(Errno::NOENT))?;
        self.rename(&folder, exists, temporary)?;
        Ok((InPlace { stat, missing }, rules_of(entity)))
    }

    /// Writes a regular file.
    fn write(
        &self,
        run: &Run,
        entity: &Arc<Entity>,
        target: TargetAttributes,
        exists: bool,
    ) -> Result<(InPlace, Rules), Failure> {
        let _budget = run.runtime.block_on(run.budget.acquire(target.size))?;
        let mut pieces = Pieces::new(run, entity, run.keep_damaged);
        let mut chunk = pieces.next()?;
        let folder = self.existing_folder(run)?;
        let writer = FileWriter::create(&folder, run.tree.temporaries())?;
        while let Some(bytes) = chunk {
            writer.write(&bytes)?;
            chunk = pieces.next()?;
        }
        let rules = pieces.rules();
        let policy = run.tree.policy();
        if let Some(gaps) = pieces.gaps {
            // The file is reported anyway, so a missing attribute is not.
            let _: Missing = writer.complete_damaged(&target, policy)?;
            return Err(self
                .keep_damaged(run, writer.into_temporary(), gaps)?
                .into());
        }
        let (stat, missing) = writer.complete(&target, entity.attributes.atime, policy)?;
        self.rename(&folder, exists, writer.into_temporary())?;
        Ok((InPlace { stat, missing }, rules))
    }

    /// Gives a temporary entry its name. Where no entry existed, none is replaced: an entry that is found now is
    /// another one, whose name is the same to the file system.
    fn rename(
        &self,
        folder: &Folder,
        exists: bool,
        mut temporary: Temporary,
    ) -> Result<(), Failure> {
        let renamed = match exists {
            true => temporary.rename(&self.name),
            false => temporary.rename_if_free(&self.name),
        };
        renamed.map_err(|errno| match errno {
            Errno::ISDIR | Errno::NOTEMPTY => in_the_way(folder, &self.name),
            Errno::EXIST if !exists => name_in_use(folder, &self.name),
            errno => name_error(errno, &self.name, folder, Action::Rename),
        })
    }

    /// Gives the readable parts of a damaged file the first free name that no entry of the container has.
    /// Nothing is replaced, because another program may have written an existing file. Returns the problem.
    fn keep_damaged(
        &self,
        run: &Run,
        mut temporary: Temporary,
        gaps: Gaps,
    ) -> Result<Reason, Failure> {
        let mut names: Vec<Component> = (1..=DAMAGED_NAMES)
            .filter_map(|number| match number {
                1 => self.name.with_suffix(DAMAGED),
                number => self.name.with_suffix(&format!("{DAMAGED}-{number}")),
            })
            .collect();
        let root = TreePath::root();
        let parent = self.path.parent().unwrap_or(&root);
        run.each_name_in_container(parent, |used| {
            names.retain(|name| name.as_bytes() != used);
            true
        })?;
        for name in names {
            match temporary.rename_if_free(&name) {
                Ok(()) => {
                    return Ok(Reason::KeptDamaged {
                        error: gaps.error,
                        name: name.as_bytes().to_vec(),
                        gaps: gaps.listed,
                        gap_count: gaps.count,
                    });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Action::Rename.failed(errno).into()),
            }
        }
        Err(Action::Rename.failed(Errno::EXIST).into())
    }
}

fn rules_of(entity: &Entity) -> Rules {
    match entity.deviations.is_empty() {
        true => Rules::Kept,
        false => Rules::Broken,
    }
}

/// Returns the existing entry; a directory is a problem, because it is not replaced.
fn existing(folder: &Folder, name: &Component) -> Result<Option<Stat>, Failure> {
    let stat = folder.stat_of(name);
    match stat.map_err(|errno| Action::Stat.failed(errno))? {
        Some(stat) if is_type(&stat, NodeType::Directory) => Err(in_the_way(folder, name)),
        stat => Ok(stat),
    }
}

/// Returns whether an existing entry has the right owner or can get it: a file of this user, for example because an
/// earlier run was not permitted to give it away, that gets no set-user-ID or set-group-ID.
fn has_owner(run: &Run, target: &TargetAttributes, stat: &Stat) -> bool {
    let is_mine = stat.st_uid == geteuid().as_raw();
    target.has_owner(stat, run.tree.policy().owners) || (is_mine && !target.grants_rights())
}
