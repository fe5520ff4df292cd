//! Entries that a load cannot store, or stores differently than the source has them.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use clfs_format::FileType;
use clfs_format::limits::{LINKS, SYMLINK_TARGET_BYTES};

use super::{SHOWN, SurveyError};
use crate::entry::EntryId;
use crate::load::scan::EntryVisitor;
use crate::loss::Loss;
use crate::problem::Reason;
use crate::source::{Directory, EntryStat, MissingMountSign};
use crate::state::{Counter, LinkGroups, Reader, StateError};

/// The minimum difference between the size of a sparse file and the space it takes: file systems round up,
/// and store the ends of small files elsewhere.
const HOLE_BYTES: u64 = 4096;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// Directories that cannot be listed, and names that cannot be examined.
    Unseen(Reason),
    /// Regular files that this user has no permission to read.
    UnreadableFiles,
    /// Symlinks with a target that the format cannot hold.
    LongTargets,
    /// Times that the format cannot hold.
    ClampedTimes,
    /// ACLs and extended attributes that the format cannot hold.
    Lost(Loss),
    /// Files with more names than an inode holds, if links are preserved.
    ManyNames,
    /// Files that take less space in the source than their size.
    SparseFiles,
    /// Directories on which another file system is mounted.
    Mounts,
    /// The source is empty.
    EmptySource,
    /// Mount points of the table of file systems on which nothing is mounted.
    NotMounted,
    /// Names with the inode number of another file, if links are preserved.
    UnlikeNames,
}

impl Concern {
    /// Returns whether a load would end with failed entries.
    pub fn fails(self) -> bool {
        matches!(
            self,
            Concern::Unseen(_) | Concern::UnreadableFiles | Concern::LongTargets
        )
    }

    /// Returns the `kind` in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Concern::Unseen(reason) => reason.code(),
            Concern::UnreadableFiles => "file-unreadable",
            Concern::LongTargets => Reason::LinkTargetTooLong.code(),
            Concern::ClampedTimes => "time-clamped",
            Concern::Lost(loss) => loss.code(),
            Concern::ManyNames => "many-names",
            Concern::SparseFiles => "sparse",
            Concern::Mounts => "mount",
            Concern::EmptySource => "source-empty",
            Concern::NotMounted => "source-not-mounted",
            Concern::UnlikeNames => "unlike-names",
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Concern::Unseen(Reason::NameTooLong) => write!(f, "{}", Reason::NameTooLong),
            Concern::Unseen(reason) => write!(
                f,
                "directories that cannot be listed, or names that cannot be examined: {reason}"
            ),
            Concern::UnreadableFiles => write!(
                f,
                "files that this user has no permission to read (by faccessat)"
            ),
            Concern::LongTargets => write!(
                f,
                "symlinks with a target longer than {SYMLINK_TARGET_BYTES} bytes"
            ),
            Concern::ClampedTimes => write!(
                f,
                "times before 1970 or after 2106: the container gets the nearest time that CLFS can hold"
            ),
            Concern::Lost(loss) => write!(f, "{loss}"),
            Concern::ManyNames => write!(
                f,
                "files with more than {LINKS} names: with --preserve-hardlinks 1 each becomes several files"
            ),
            Concern::SparseFiles => write!(
                f,
                "files that take less space than their size (holes, or a file system that compresses): they \
                 are read and loaded completely, holes as zeros"
            ),
            Concern::EmptySource => write!(f, "the source is empty: is its file system mounted?"),
            Concern::NotMounted => write!(
                f,
                "mount points in /etc/fstab that are empty, with nothing mounted on them: mount them first, \
                 if they belong to the source"
            ),
            Concern::UnlikeNames => write!(
                f,
                "names with the inode number of another file, but other attributes: with \
                 --preserve-hardlinks 1 they are loaded as separate files, not as links"
            ),
            Concern::Mounts => write!(
                f,
                "directories on which another file system is mounted: a load includes it"
            ),
        }
    }
}

/// The entries of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub concern: Concern,
    /// The number of entries.
    pub count: u64,
    /// Bytes of content that cannot be read, or of holes.
    pub bytes: u64,
    /// The first entries: paths below the source, raw bytes.
    pub first: Vec<Vec<u8>>,
}

/// A count, and the first entries in the order of directories and names, which does not depend on the
/// timing of threads.
#[derive(Debug, Default)]
struct Note {
    count: u64,
    bytes: u64,
    first: BTreeSet<(EntryId, Vec<u8>)>,
}

/// Facts about entries that the state does not store.
#[derive(Debug, Default)]
pub(super) struct SurveyNotes {
    unreadable: Note,
    /// The bytes are those that the files take less than their size.
    sparse: Note,
    mounts: Note,
    clamped: Note,
    long_targets: Note,
}

/// Collects [`SurveyNotes`] during the scan.
#[derive(Debug, Default)]
pub(super) struct SurveyVisitor(Mutex<SurveyNotes>);

impl SurveyVisitor {
    pub(super) fn into_notes(self) -> SurveyNotes {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntryVisitor for SurveyVisitor {
    fn visit(&self, directory: &Directory, name: &CStr, seen: &EntryStat) {
        let add = |note: fn(&mut SurveyNotes) -> &mut Note, bytes: u64| {
            let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let note = note(&mut notes);
            note.count += 1;
            note.bytes = note.bytes.saturating_add(bytes);
            note.first.insert((directory.id, name.to_bytes().to_vec()));
            if note.first.len() > SHOWN {
                note.first.pop_last();
            }
        };
        let size = seen.attributes.size;
        if seen.is_mount {
            add(|notes| &mut notes.mounts, 0);
        }
        if seen.clamped_times > 0 {
            add(|notes| &mut notes.clamped, 0);
        }
        match seen.attributes.file_type {
            FileType::Regular => {
                // An open would cost more where a server keeps open files.
                if directory.check_readable(name).is_err() {
                    add(|notes| &mut notes.unreadable, size);
                }
                let hole = size.saturating_sub(seen.allocated.unwrap_or(size));
                if hole >= HOLE_BYTES {
                    add(|notes| &mut notes.sparse, hole);
                }
            }
            // lstat(2): the size of a symlink is the length of its target. Reading the target would set
            // the access time.
            FileType::Symlink if size > SYMLINK_TARGET_BYTES as u64 => {
                add(|notes| &mut notes.long_targets, 0);
            }
            _ => {}
        }
    }
}

/// Returns all findings, those that would fail first. `missing_mount_signs` are those about the source `root`.
pub(super) fn all(
    reader: &Reader,
    notes: SurveyNotes,
    links: &LinkGroups,
    (root, missing_mount_signs): (&Path, &[MissingMountSign]),
) -> Result<Vec<Finding>, SurveyError> {
    let mut findings = Vec::new();
    let mut push = |concern, count, bytes, first| {
        if count > 0 {
            findings.push(Finding {
                concern,
                count,
                bytes,
                first,
            });
        }
    };
    let paths = |ids: Vec<EntryId>| -> Result<Vec<Vec<u8>>, StateError> {
        ids.into_iter().map(|id| reader.path(id)).collect()
    };
    for reason in Reason::ALL {
        let (count, first) = reader.problems_of(reason, SHOWN as u32)?;
        push(Concern::Unseen(reason), count, 0, paths(first)?);
    }
    for (concern, note) in [
        (Concern::UnreadableFiles, notes.unreadable),
        (Concern::LongTargets, notes.long_targets),
        (Concern::ClampedTimes, notes.clamped),
        (Concern::SparseFiles, notes.sparse),
        (Concern::Mounts, notes.mounts),
    ] {
        let first = note.first.into_iter().map(|(directory, name)| {
            let mut components = reader.components(directory)?;
            components.push(name);
            Ok(components.join(&b'/'))
        });
        let first = first.collect::<Result<_, SurveyError>>()?;
        push(concern, note.count, note.bytes, first);
    }
    for lost in reader.lost()? {
        let first = reader.first_with_loss(lost.loss, SHOWN as u32)?;
        push(Concern::Lost(lost.loss), lost.entries, 0, paths(first)?);
    }
    let over_limit = paths(links.first_over_limit.clone())?;
    push(Concern::ManyNames, links.over_limit, 0, over_limit);
    let (mut empty, mut not_mounted) = (Vec::new(), Vec::new());
    for sign in missing_mount_signs {
        let (paths, path) = match sign {
            MissingMountSign::Empty(path) => (&mut empty, path),
            MissingMountSign::NotMounted(path) => (&mut not_mounted, path),
        };
        let below = path.strip_prefix(root).unwrap_or(path);
        paths.push(below.as_os_str().as_bytes().to_vec());
    }
    for (concern, mut first) in [
        (Concern::EmptySource, empty),
        (Concern::NotMounted, not_mounted),
    ] {
        let count = first.len() as u64;
        first.truncate(SHOWN);
        push(concern, count, 0, first);
    }
    let unlike = reader.totals()?.get(Counter::UnlikeNames);
    let first = paths(reader.first_unlike_name()?.into_iter().collect())?;
    push(Concern::UnlikeNames, unlike, 0, first);
    Ok(findings)
}
