//! What in a tree a load could not take, or takes in another way than one may think.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clfs_format::limits::{LINKS, SYMLINK_TARGET_BYTES};

use super::witness::{Seeing, Sightings, Standing};
use super::{SHOWN, SurveyError, path};
use crate::loss::Loss;
use crate::problem::Reason;
use crate::source::Doubt;
use crate::state::{Counter, LinkGroups, Reader};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// Directories that could not be listed, and names that could not be looked at.
    Unseen(Reason),
    /// Regular files without permission to read them.
    UnreadableFiles,
    /// Symlinks whose target the format cannot hold.
    LongTargets,
    /// Times that the format cannot hold.
    ClampedTimes,
    /// ACLs and extended attributes that the format cannot hold.
    Lost(Loss),
    /// Files with more names than one object holds, if links are preserved.
    ManyNames,
    /// Files that take less room in the source than their size.
    SparseFiles,
    /// Other file systems.
    Mounts,
    /// The source holds nothing.
    EmptySource,
    /// Mount points of the table of file systems on which nothing is mounted.
    NotMounted,
    /// Names with the inode number of another file, if links are preserved.
    UnlikeNames,
}

impl Concern {
    /// Whether a load would end with failed entries.
    pub fn fails(self) -> bool {
        match self {
            Concern::Unseen(_) | Concern::UnreadableFiles | Concern::LongTargets => true,
            Concern::ClampedTimes
            | Concern::Lost(_)
            | Concern::ManyNames
            | Concern::SparseFiles
            | Concern::Mounts
            | Concern::EmptySource
            | Concern::NotMounted
            | Concern::UnlikeNames => false,
        }
    }

    /// The word for it in JSON.
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
            Concern::Unseen(reason) => {
                write!(
                    f,
                    "directories or names that could not be looked at: {reason}"
                )
            }
            Concern::UnreadableFiles => {
                write!(f, "files that this user may not read (by faccessat)")
            }
            Concern::LongTargets => {
                write!(
                    f,
                    "symlinks with a target longer than {SYMLINK_TARGET_BYTES} bytes"
                )
            }
            Concern::ClampedTimes => write!(
                f,
                "times before 1970 or after 2106: the nearest that CLFS can hold will stand in the container"
            ),
            Concern::Lost(loss) => write!(f, "{loss}"),
            Concern::ManyNames => write!(
                f,
                "files with more than {LINKS} names: with --preserve-hardlinks 1 each becomes several"
            ),
            Concern::SparseFiles => write!(
                f,
                "files that take less room than their size (holes, or a file system that compresses): they are read \
                 and loaded whole, holes as zeros"
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
                 --preserve-hardlinks 1 they are loaded as files of their own, not as links"
            ),
            Concern::Mounts => write!(
                f,
                "other file systems are mounted here: a load goes into them"
            ),
        }
    }
}

/// What was found, how often and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub concern: Concern,
    /// How many entries.
    pub count: u64,
    /// Bytes of content that cannot be read, or that holes stand for.
    pub bytes: u64,
    /// The first of them: paths below the source, raw bytes.
    pub first: Vec<Vec<u8>>,
}

/// Everything that was noticed, what fails first.
pub(super) fn all(
    reader: &Reader,
    seeing: Seeing,
    links: &LinkGroups,
    doubts: (&Path, &[Doubt]),
) -> Result<Vec<Finding>, SurveyError> {
    let mut findings = Vec::new();
    for reason in Reason::ALL {
        let (count, first) = reader.problems_of(reason, SHOWN as u32)?;
        let first: Result<_, SurveyError> = first.into_iter().map(|id| path(reader, id)).collect();
        findings.push(Finding {
            concern: Concern::Unseen(reason),
            count,
            bytes: 0,
            first: first?,
        });
    }
    let place = |(directory, name): Standing| -> Result<Vec<u8>, SurveyError> {
        let mut components = reader.path(directory)?;
        components.push(name);
        Ok(components.join(&b'/'))
    };
    let mut seen = |concern, sightings: Sightings| -> Result<(), SurveyError> {
        let first: Result<_, SurveyError> = sightings.first.into_iter().map(place).collect();
        findings.push(Finding {
            concern,
            count: sightings.count,
            bytes: sightings.bytes,
            first: first?,
        });
        Ok(())
    };
    seen(Concern::UnreadableFiles, seeing.unreadable)?;
    seen(Concern::LongTargets, seeing.long_targets)?;
    seen(Concern::ClampedTimes, seeing.clamped)?;
    seen(Concern::SparseFiles, seeing.sparse)?;
    seen(Concern::Mounts, seeing.mounts)?;
    for lost in reader.lost()? {
        let first = reader.first_with_loss(lost.loss, SHOWN as u32)?;
        let first = first.into_iter().map(|id| path(reader, id));
        findings.push(Finding {
            concern: Concern::Lost(lost.loss),
            count: lost.entries,
            bytes: 0,
            first: first.collect::<Result<_, _>>()?,
        });
    }
    let over = links.first_over_limit.iter().map(|id| path(reader, *id));
    findings.push(Finding {
        concern: Concern::ManyNames,
        count: links.over_limit,
        bytes: 0,
        first: over.collect::<Result<_, _>>()?,
    });
    let below = |path: &Path| {
        let below = path.strip_prefix(doubts.0).unwrap_or(path);
        below.as_os_str().as_bytes().to_vec()
    };
    for (concern, first) in [
        (
            Concern::EmptySource,
            doubted(doubts.1, |doubt| matches!(doubt, Doubt::Empty(_))),
        ),
        (
            Concern::NotMounted,
            doubted(doubts.1, |doubt| matches!(doubt, Doubt::NotMounted(_))),
        ),
    ] {
        findings.push(Finding {
            concern,
            count: first.len() as u64,
            bytes: 0,
            first: first.into_iter().take(SHOWN).map(below).collect(),
        });
    }
    let unlike = reader.first_unlike_name()?.map(|id| path(reader, id));
    findings.push(Finding {
        concern: Concern::UnlikeNames,
        count: reader.totals()?.get(Counter::UnlikeNames),
        bytes: 0,
        first: unlike.into_iter().collect::<Result<_, _>>()?,
    });
    findings.retain(|finding| finding.count > 0);
    Ok(findings)
}

/// The paths of some of the doubts.
fn doubted(doubts: &[Doubt], of: impl Fn(&Doubt) -> bool) -> Vec<&Path> {
    let chosen = doubts.iter().filter(|doubt| of(doubt));
    let paths = chosen.map(|doubt| match doubt {
        Doubt::Empty(path) | Doubt::NotMounted(path) => path.as_path(),
    });
    paths.collect()
}
