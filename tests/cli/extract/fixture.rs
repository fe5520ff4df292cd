//! Extractions in this process, from in-memory containers that count requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clfs_format::{FileType, Filehandle};
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, PutBody};
use clfsload::extract::{
    Counters, ExtractError, ExtractOptions, Observer, Problem, Summary, extract,
};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, Reader, TreePath};
use clfsload::stop::StopFlag;

use crate::support::counting::Counting;
use crate::support::synthetic::{Builder, Directory};

pub(crate) type Counted = Arc<Counting<InMemory>>;

/// Returns a container with these blobs.
pub(crate) fn container(blobs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Counted {
    let memory = InMemory::new();
    let runtime = runtime();
    for (name, content) in blobs {
        let name = BlobName::new(name).unwrap();
        let put = memory.put(&name, PutBody::object(content));
        runtime.block_on(put).unwrap();
    }
    Arc::new(Counting::new(memory))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The outcome of an extraction, and the events that it reported.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) summary: Summary,
    pub(crate) end: Result<(), ExtractError>,
    /// The reported lines, sorted.
    pub(crate) problems: Vec<String>,
    pub(crate) in_doubt: bool,
    pub(crate) not_synced: bool,
}

impl Done {
    /// Asserts that the run was complete.
    pub(crate) fn ended(self) -> Self {
        assert!(self.end.is_ok(), "{self:#?}");
        self
    }

    /// Asserts that the run was complete with these problems: the path and a part of each line.
    pub(crate) fn with_problems(self, expected: &[(&str, &str)]) -> Self {
        let done = self.ended();
        let mut missing: Vec<_> = expected.to_vec();
        let mut unexpected = Vec::new();
        for line in &done.problems {
            let found = missing.iter().position(|(path, reason)| {
                line.starts_with(&format!("{path}: ")) && line.contains(reason)
            });
            match found {
                Some(at) => drop(missing.remove(at)),
                None => unexpected.push(line),
            }
        }
        assert!(
            missing.is_empty() && unexpected.is_empty(),
            "missing: {missing:#?}, unexpected: {unexpected:#?}"
        );
        assert_eq!(done.summary.problems, expected.len() as u64);
        done
    }
}

#[derive(Default)]
struct Recorder {
    problems: Mutex<Vec<String>>,
    in_doubt: Mutex<bool>,
    not_synced: Mutex<bool>,
}

impl Observer for Recorder {
    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.to_string());
    }

    fn content_in_doubt(&self) {
        *self.in_doubt.lock().unwrap() = true;
    }

    fn not_synced(&self) {
        *self.not_synced.lock().unwrap() = true;
    }
}

/// A folder with a destination, a record, and files that must not be changed.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.path("destination")
    }

    /// Extracts everything, with a record that is kept.
    pub(crate) fn extract(&self, container: &(impl Container + Clone)) -> Done {
        self.extract_with(container, |_| ())
    }

    pub(crate) fn extract_with(
        &self,
        container: &(impl Container + Clone),
        change: impl FnOnce(&mut ExtractOptions),
    ) -> Done {
        self.extract_until(container, change, Arc::default())
    }

    /// Extracts single paths as from a service: each name is requested.
    pub(crate) fn extract_paths(
        &self,
        container: &(impl Container + Clone),
        paths: &[&str],
    ) -> Done {
        let change = |options: &mut ExtractOptions| {
            let paths = paths.iter().map(|path| TreePath::parse(path.as_bytes()));
            options.paths = paths.collect();
        };
        self.run(container, change, Arc::default(), false)
    }

    /// Does the same with a flag that stops the extraction.
    pub(crate) fn extract_until(
        &self,
        container: &(impl Container + Clone),
        change: impl FnOnce(&mut ExtractOptions),
        stop: Arc<StopFlag>,
    ) -> Done {
        self.run(container, change, stop, true)
    }

    fn run(
        &self,
        container: &(impl Container + Clone),
        change: impl FnOnce(&mut ExtractOptions),
        stop: Arc<StopFlag>,
        lists_all: bool,
    ) -> Done {
        let mut options = ExtractOptions::new(self.destination(), "memory".to_owned());
        options.record = Some(self.path("record"));
        change(&mut options);
        let container: Arc<dyn Container> = Arc::new(container.clone());
        let recorder = Arc::new(Recorder::default());
        let outcome = runtime().block_on(async {
            let open = OpenOptions::default();
            let plan = ListingPlan::Sequential;
            let reader = Reader::with_container(container, "memory", plan, lists_all, &open).await;
            let observer = Arc::clone(&recorder) as Arc<dyn Observer>;
            let counters = Arc::new(Counters::default());
            extract(
                &Arc::new(reader.unwrap()),
                &options,
                stop,
                counters,
                observer,
            )
            .await
        });
        let mut problems = std::mem::take(&mut *recorder.problems.lock().unwrap());
        problems.sort();
        let in_doubt = *recorder.in_doubt.lock().unwrap();
        let not_synced = *recorder.not_synced.lock().unwrap();
        Done {
            summary: outcome.summary,
            end: outcome.end,
            problems,
            in_doubt,
            not_synced,
        }
    }
}

/// Adds a file with this content to a directory under construction.
pub(crate) fn file(
    build: &mut Builder,
    directory: &mut Directory,
    name: &str,
    content: &[u8],
) -> Filehandle {
    entity(build, directory, FileType::Regular, name, content)
}

/// Adds an entity other than a directory.
pub(crate) fn entity(
    build: &mut Builder,
    directory: &mut Directory,
    file_type: FileType,
    name: &str,
    content: &[u8],
) -> Filehandle {
    let handle = build.handle(directory.handle, file_type);
    directory.add(name, handle);
    build.entity(handle, &[directory.handle], name, content);
    handle
}

/// Returns the paths below a folder, with `/` between components, and the content of regular files.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let item = item.unwrap();
            let path = format!("{prefix}{}", item.file_name().to_string_lossy());
            let file_type = item.file_type().unwrap();
            let content = file_type
                .is_file()
                .then(|| std::fs::read(item.path()).unwrap());
            if file_type.is_dir() {
                folders.push((item.path(), format!("{path}/")));
            }
            found.insert(path, content);
        }
    }
    found
}

/// Returns the blob of an object's inode.
pub(crate) fn blob_of(container: &Counted, handle: Filehandle) -> String {
    let id = format!("_{handle}.");
    let blobs = container.inner().blobs();
    blobs.into_keys().find(|name| name.contains(&id)).unwrap()
}

/// Returns the segments of a file in the order of their ids, which here is that of their offsets.
pub(crate) fn segments_of(container: &Counted, handle: Filehandle) -> Vec<String> {
    let owner = format!(".0008.{:016X}.", handle.hash64());
    let blobs = container.inner().blobs();
    let mut segments: Vec<String> = blobs.into_keys().filter(|n| n.contains(&owner)).collect();
    segments.sort_by_key(|name| name.split('_').nth(1).unwrap().to_owned());
    segments
}

/// Returns the container without some blobs and with others changed.
pub(crate) fn changed(
    container: &Counted,
    mut change: impl FnMut(&str, &mut Vec<u8>) -> bool,
) -> Counted {
    let blobs = container.inner().blobs().into_iter();
    let kept = blobs.filter_map(|(name, body)| {
        let mut bytes = body.bytes.to_vec();
        change(&name, &mut bytes).then_some((name, bytes))
    });
    self::container(kept)
}
