//! What a survey tells.

use std::path::PathBuf;
use std::time::Duration;

use clfs_format::{Compression, FileType};

use super::estimate::Estimate;
use super::finding::Finding;
use super::histogram::SizeHistogram;
use crate::state::{LinkGroups, Subtrees};

/// Where something stands, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// The path below the source, raw bytes; empty for the source itself.
    pub path: Vec<u8>,
    /// Bytes of a file; entries of a directory.
    pub size: u64,
    /// Bytes of the files right in a directory; 0 for a file.
    pub bytes: u64,
}

/// The tree, and what its load would take.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Survey {
    /// The source, without symlinks.
    pub source: PathBuf,
    /// As it would be loaded.
    pub preserve_hardlinks: bool,
    /// As it would be loaded.
    pub compression: Compression,
    /// Entries by type, the source's folder included, each name for itself.
    pub types: Vec<(FileType, u64)>,
    /// Names without known attributes.
    pub unseen: u64,
    /// Regular files as they would be loaded: with links preserved, each once.
    pub sizes: SizeHistogram,
    /// The largest of them.
    pub largest_files: Vec<Large>,
    /// The directories with most entries.
    pub largest_directories: Vec<Large>,
    /// A path with most components, and how many; none of an empty source.
    pub deepest: Option<(Vec<u8>, u64)>,
    /// Hard links.
    pub links: LinkGroups,
    /// What the scan could not look into: nothing of it is in these figures.
    pub subtrees: Subtrees,
    /// What is to know before it is loaded.
    pub findings: Vec<Finding>,
    /// What a load would take.
    pub estimate: Estimate,
    /// How long the scan took.
    pub scanned_in: Duration,
}

impl Survey {
    /// All entries, the source's folder and names without known attributes included.
    pub fn entries(&self) -> u64 {
        let known: u64 = self.types.iter().map(|(_, count)| count).sum();
        known + self.unseen
    }

    /// Files and their bytes, as they would be loaded.
    pub fn files(&self) -> (u64, u64) {
        let classes = self.sizes.classes();
        classes.fold((0, 0), |(files, bytes), class| {
            (files + class.files, bytes.saturating_add(class.bytes))
        })
    }

    /// Entries that the scan found in a second.
    pub fn scan_rate(&self) -> f64 {
        self.entries() as f64 / self.scanned_in.as_secs_f64().max(0.001)
    }

    /// Whether a load would end with failed entries.
    pub fn fails(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.count > 0 && finding.concern.fails())
    }
}
