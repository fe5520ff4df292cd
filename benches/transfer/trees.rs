//! The source trees, created from fixed seeds and reused once complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{DirectorySegmenter, Filehandle};

use crate::content::{ContentKind, Sequence, fill};

/// The first argument of the process that creates a tree. Linux passes the peak memory of a process on to
/// its children, so the process that starts the loads must stay small.
pub(crate) const ROLE: &str = "as-tree-maker";

/// Increment this when the generated trees change, so that old trees are not reused.
const VERSION: u32 = 1;

const MIB: u64 = 1 << 20;

/// The kinds of trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeKind {
    /// 20 files, for the test of the benchmark itself.
    Few,
    /// 10,000 files of 2 to 3.7 KB in 100 folders; text.
    Small,
    /// 100,000 such files in 1,000 folders, so that the limiter has time to settle.
    ManySmall,
    /// 2,000 such files in 20 folders, for the slow source.
    SomeSmall,
    /// 48 files of 16 MiB; text.
    LargeText,
    /// 48 files of 16 MiB; random bytes.
    LargeRandom,
    /// 10,000 entries of 40 to 200 bytes in 100 folders, the baseline of [`TreeKind::Million`].
    TenThousand,
    /// 1,000,000 entries of 40 to 200 bytes in 10,000 folders.
    Million,
    /// One folder with 1,000,000 files of at most 8 bytes.
    Wide,
}

/// The shape of a tree: folders of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    folders: u64,
    files_per_folder: u64,
    /// The minimum and maximum size of a file.
    min_bytes: u64,
    max_bytes: u64,
    content_kind: ContentKind,
}

impl TreeKind {
    const ALL: [TreeKind; 9] = [
        TreeKind::Few,
        TreeKind::Small,
        TreeKind::ManySmall,
        TreeKind::SomeSmall,
        TreeKind::LargeText,
        TreeKind::LargeRandom,
        TreeKind::TenThousand,
        TreeKind::Million,
        TreeKind::Wide,
    ];

    pub(crate) fn from_name(name: &OsStr) -> Option<TreeKind> {
        TreeKind::ALL.into_iter().find(|kind| name == kind.name())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            TreeKind::Few => "few",
            TreeKind::Small => "small",
            TreeKind::ManySmall => "many-small",
            TreeKind::SomeSmall => "some-small",
            TreeKind::LargeText => "large-text",
            TreeKind::LargeRandom => "large-random",
            TreeKind::TenThousand => "ten-thousand",
            TreeKind::Million => "million",
            TreeKind::Wide => "wide",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        let shape = |folders, files_per_folder, min_bytes, max_bytes| Shape {
            folders,
            files_per_folder,
            min_bytes,
            max_bytes,
            content_kind: ContentKind::Text,
        };
        match self {
            TreeKind::Few => shape(2, 10, 2000, 3700),
            TreeKind::Small => shape(100, 100, 2000, 3700),
            TreeKind::ManySmall => shape(1000, 100, 2000, 3700),
            TreeKind::SomeSmall => shape(20, 100, 2000, 3700),
            TreeKind::LargeText => shape(4, 12, 16 * MIB, 16 * MIB),
            TreeKind::LargeRandom => Shape {
                content_kind: ContentKind::Random,
                ..shape(4, 12, 16 * MIB, 16 * MIB)
            },
            // 10,000 and 1,000,000 entries, folders included.
            TreeKind::TenThousand => shape(100, 99, 40, 200),
            TreeKind::Million => shape(10_000, 99, 40, 200),
            TreeKind::Wide => shape(1, 1_000_000, 0, 8),
        }
    }
}

impl Shape {
    pub(crate) fn files(self) -> u64 {
        self.folders * self.files_per_folder
    }

    /// Returns the number of entries: files, folders and the root.
    pub(crate) fn entries(self) -> u64 {
        self.files() + self.folders + 1
    }

    /// Returns the number of objects of the root: its inode with the first segment, and further segments.
    pub(crate) fn root_objects(self) -> io::Result<u64> {
        let root = Filehandle::ROOT;
        let mut segmenter = DirectorySegmenter::new(root, root);
        let mut objects = 1;
        for number in 0..self.folders {
            let segment = segmenter.push(folder_name(number).as_bytes(), root);
            objects += u64::from(segment.map_err(io::Error::other)?.is_some());
        }
        Ok(objects)
    }

    pub(crate) fn content_kind(self) -> ContentKind {
        self.content_kind
    }

    /// Returns the file sizes of a folder, and the sequence that generates their content.
    fn folder(self, number: u64) -> (Vec<u64>, Sequence) {
        let mut sequence = Sequence::new(0xc1f5_0000_0000_0000 + (number << 20));
        let sizes = (0..self.files_per_folder)
            .map(|_| sequence.between(self.min_bytes, self.max_bytes))
            .collect();
        (sizes, sequence)
    }

    /// Returns the sizes of all files.
    pub(crate) fn sizes(self) -> impl Iterator<Item = u64> {
        (0..self.folders).flat_map(move |number| self.folder(number).0)
    }

    /// Returns the total size of all files.
    pub(crate) fn bytes(self) -> u64 {
        self.sizes().sum()
    }
}

/// An existing tree.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) kind: TreeKind,
    pub(crate) path: PathBuf,
}

impl Tree {
    /// Returns the tree in `folder`, and creates it if it does not exist or is incomplete.
    pub(crate) fn at(folder: &Path, kind: TreeKind) -> io::Result<Tree> {
        let path = folder.join(format!("{}-{VERSION}", kind.name()));
        if !marker(&path).exists() {
            eprintln!("creating the tree {} ...", path.display());
            let status = Command::new(std::env::current_exe()?)
                .arg(ROLE)
                .arg(kind.name())
                .arg(&path)
                .status()?;
            if !status.success() {
                return Err(io::Error::other(format!(
                    "creating {} failed",
                    path.display()
                )));
            }
        }
        Ok(Tree { kind, path })
    }

    /// Reads all files once, so that the page cache holds them.
    pub(crate) fn warm(&self) -> io::Result<()> {
        for folder in fs::read_dir(&self.path)? {
            for file in fs::read_dir(folder?.path())? {
                io::copy(&mut File::open(file?.path())?, &mut io::sink())?;
            }
        }
        Ok(())
    }
}

fn marker(tree: &Path) -> PathBuf {
    tree.with_extension("complete")
}

/// Runs the process that creates a tree; `arguments` are the kind's name and the path.
pub(crate) fn create(arguments: &[OsString]) -> io::Result<()> {
    let [name, path] = arguments else {
        return Err(io::Error::other("expected the kind of tree and its path"));
    };
    let shape = TreeKind::from_name(name)
        .ok_or_else(|| io::Error::other("unknown kind of tree"))?
        .shape();
    let path = Path::new(path);
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir_all(path)?;
    let next = AtomicU64::new(0);
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= shape.folders {
                            return Ok(());
                        }
                        create_folder(shape, number, path)?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
    .and_then(|()| {
        // The files must be durable before the marker, which declares them complete after a power loss.
        rustix::fs::syncfs(File::open(path)?)?;
        fs::write(marker(path), [])
    })
}

fn folder_name(number: u64) -> String {
    format!("folder-{number:05}")
}

fn create_folder(shape: Shape, number: u64, tree: &Path) -> io::Result<()> {
    let folder = tree.join(folder_name(number));
    fs::create_dir(&folder)?;
    let (sizes, mut sequence) = shape.folder(number);
    let mut content = Vec::new();
    for (size, file) in sizes.into_iter().zip(0..) {
        content.clear();
        fill(
            shape.content_kind,
            &mut sequence,
            size as usize,
            &mut content,
        );
        File::create(folder.join(format!("file-{file:07}.txt")))?.write_all(&content)?;
    }
    Ok(())
}
