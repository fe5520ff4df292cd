//! The trees that are loaded: made once from fixed seeds, used again when they are whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{DirectorySegmenter, Filehandle};

use crate::content::{Likeness, Sequence, fill};

/// The first word of the process that makes a tree. (Linux hands the peak of the memory of a process
/// on to the programs it starts, so the one that starts the loads stays small.)
pub(crate) const ROLE: &str = "as-tree-maker";

/// A change of what is made needs another number here, or old trees would be used.
const VERSION: u32 = 1;

const MIB: u64 = 1 << 20;

/// The trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 20 files: for the check of the benchmark itself.
    Few,
    /// 10,000 files of 2 to 3.7 KB in 100 folders; text.
    Small,
    /// Ten times that, so that a limiter has time to settle.
    ManySmall,
    /// 2,000 of them in 20 folders: for a source that is slow.
    SomeSmall,
    /// 48 files of 16 MiB; text.
    LargeText,
    /// 48 files of 16 MiB; random bytes.
    LargeRandom,
    /// 10,000 entries of 40 to 200 bytes in 100 folders: what [`Kind::Million`] is compared with.
    TenThousand,
    /// 1,000,000 entries of 40 to 200 bytes in 10,000 folders.
    Million,
    /// One folder with 1,000,000 files of at most 8 bytes.
    Wide,
}

/// How a tree is made up: folders of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    folders: u64,
    files_in_each: u64,
    /// Of a file.
    least_bytes: u64,
    most_bytes: u64,
    likeness: Likeness,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Few,
        Kind::Small,
        Kind::ManySmall,
        Kind::SomeSmall,
        Kind::LargeText,
        Kind::LargeRandom,
        Kind::TenThousand,
        Kind::Million,
        Kind::Wide,
    ];

    pub(crate) fn named(name: &OsStr) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| name == kind.name())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Few => "few",
            Kind::Small => "small",
            Kind::ManySmall => "many-small",
            Kind::SomeSmall => "some-small",
            Kind::LargeText => "large-text",
            Kind::LargeRandom => "large-random",
            Kind::TenThousand => "ten-thousand",
            Kind::Million => "million",
            Kind::Wide => "wide",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        let shape = |folders, files_in_each, least_bytes, most_bytes| Shape {
            folders,
            files_in_each,
            least_bytes,
            most_bytes,
            likeness: Likeness::Text,
        };
        match self {
            Kind::Few => shape(2, 10, 2000, 3700),
            Kind::Small => shape(100, 100, 2000, 3700),
            Kind::ManySmall => shape(1000, 100, 2000, 3700),
            Kind::SomeSmall => shape(20, 100, 2000, 3700),
            Kind::LargeText => shape(4, 12, 16 * MIB, 16 * MIB),
            Kind::LargeRandom => Shape {
                likeness: Likeness::Random,
                ..shape(4, 12, 16 * MIB, 16 * MIB)
            },
            // With their folders these are 10,000 and 1,000,000 entries.
            Kind::TenThousand => shape(100, 99, 40, 200),
            Kind::Million => shape(10_000, 99, 40, 200),
            Kind::Wide => shape(1, 1_000_000, 0, 8),
        }
    }
}

impl Shape {
    pub(crate) fn files(self) -> u64 {
        self.folders * self.files_in_each
    }

    /// Files, folders and the root.
    pub(crate) fn entries(self) -> u64 {
        self.files() + self.folders + 1
    }

    /// Objects of the root: its inode with the first segment, and the further segments of its names.
    pub(crate) fn root_objects(self) -> io::Result<u64> {
        let root = Filehandle::ROOT;
        let mut segmenter = DirectorySegmenter::new(root, root);
        let mut objects = 1;
        for number in 0..self.folders {
            let full = segmenter.push(folder_name(number).as_bytes(), root);
            objects += u64::from(full.map_err(io::Error::other)?.is_some());
        }
        Ok(objects)
    }

    pub(crate) fn likeness(self) -> Likeness {
        self.likeness
    }

    /// Sizes of the files of a folder, and the sequence that gives their bytes.
    fn folder(self, number: u64) -> (Vec<u64>, Sequence) {
        let mut sequence = Sequence::new(0xc1f5_0000_0000_0000 + (number << 20));
        let sizes = (0..self.files_in_each)
            .map(|_| sequence.between(self.least_bytes, self.most_bytes))
            .collect();
        (sizes, sequence)
    }

    /// Sizes of all files.
    pub(crate) fn sizes(self) -> impl Iterator<Item = u64> {
        (0..self.folders).flat_map(move |number| self.folder(number).0)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(self) -> u64 {
        self.sizes().sum()
    }
}

/// A tree that is there.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
}

impl Tree {
    /// The tree below `folder`; made now, if it is not whole.
    pub(crate) fn at(folder: &Path, kind: Kind) -> io::Result<Tree> {
        let path = folder.join(format!("{}-{VERSION}", kind.name()));
        if !marker(&path).exists() {
            eprintln!("making the tree {} ...", path.display());
            let made = Command::new(std::env::current_exe()?)
                .arg(ROLE)
                .arg(kind.name())
                .arg(&path)
                .status()?;
            if !made.success() {
                return Err(io::Error::other(format!(
                    "{} cannot be made",
                    path.display()
                )));
            }
        }
        Ok(Tree { kind, path })
    }

    /// Reads everything once, so that the page cache has it.
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
    tree.with_extension("whole")
}

/// The process that makes a tree; `words` are the kind's name and the path.
pub(crate) fn make(words: &[OsString]) -> io::Result<()> {
    let [name, path] = words else {
        return Err(io::Error::other("the kind of tree and its path are needed"));
    };
    let shape = Kind::named(name)
        .ok_or_else(|| io::Error::other("no such tree"))?
        .shape();
    let path = Path::new(path);
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir_all(path)?;
    let next = AtomicU64::new(0);
    std::thread::scope(|threads| {
        let makers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= shape.folders {
                            return Ok(());
                        }
                        make_folder(shape, number, path)?;
                    }
                })
            })
            .collect();
        makers.into_iter().try_for_each(|maker| {
            maker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
    .and_then(|()| {
        // A marker that survives a power loss must not speak of files that do not.
        rustix::fs::syncfs(File::open(path)?)?;
        fs::write(marker(path), [])
    })
}

fn folder_name(number: u64) -> String {
    format!("folder-{number:05}")
}

fn make_folder(shape: Shape, number: u64, tree: &Path) -> io::Result<()> {
    let folder = tree.join(folder_name(number));
    fs::create_dir(&folder)?;
    let (sizes, mut sequence) = shape.folder(number);
    let mut content = Vec::new();
    for (size, file) in sizes.into_iter().zip(0..) {
        content.clear();
        fill(shape.likeness, &mut sequence, size as usize, &mut content);
        File::create(folder.join(format!("file-{file:07}.txt")))?.write_all(&content)?;
    }
    Ok(())
}
