//! Names of made-up directories, in memory and in runs.

use super::*;
use crate::entry::EntryId;
use crate::source::SourceTree;
use crate::state::StateError;

struct NoPlaces;
impl crate::source::DirectoryLookup for NoPlaces {
    fn place(&self, _: EntryId) -> Result<Option<crate::entry::Place>, StateError> {
        Ok(None)
    }
}

/// A source with names that no readdir gives in order, and a folder for spools.
struct Fixture {
    source: tempfile::TempDir,
    spool: tempfile::TempDir,
    names: Vec<Vec<u8>>,
}

impl Fixture {
    fn new(count: u32) -> Self {
        let source = tempfile::tempdir().unwrap();
        let mut names: Vec<Vec<u8>> = (0..count)
            .map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for name in &names {
            let name = std::str::from_utf8(name).unwrap();
            std::fs::write(source.path().join(name), "").unwrap();
        }
        names.sort();
        Fixture {
            source,
            spool: tempfile::tempdir().unwrap(),
            names,
        }
    }

    fn store(&self, run_bytes: usize) -> NameStore {
        NameStore {
            run_bytes,
            ..NameStore::new(self.spool.path())
        }
    }

    fn read(&self, store: &NameStore, after: Option<&[u8]>) -> NameList {
        let tree = SourceTree::open(self.source.path(), Box::new(NoPlaces)).unwrap();
        let root = Listable::of(tree.directory(EntryId::ROOT).unwrap()).unwrap();
        let mut buffer = DirentBuffer::default();
        NameList::read(&root, after, store, &mut buffer, &mut || true).unwrap()
    }
}

fn rest(list: &mut NameList) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !list.is_finished() {
        let names = list.cut(30).unwrap();
        assert!(names.len() <= 60);
        all.extend(names.iter().map(|name| name.to_bytes().to_vec()));
    }
    assert!(list.cut(30).unwrap().is_empty());
    all
}

#[test]
fn names_come_sorted_whether_spooled_or_not() {
    let fixture = Fixture::new(500);
    for run_bytes in [64, 1000, RUN_BYTES] {
        let mut list = fixture.read(&fixture.store(run_bytes), None);
        let in_memory = matches!(list.rest, Rest::Memory(_));
        assert_eq!(in_memory, run_bytes == RUN_BYTES);
        assert_eq!(rest(&mut list), fixture.names, "runs of {run_bytes} bytes");
    }
    assert_eq!(std::fs::read_dir(fixture.spool.path()).unwrap().count(), 0);
}

#[test]
fn names_that_are_recorded_are_left_out() {
    let fixture = Fixture::new(500);
    for run_bytes in [64, RUN_BYTES] {
        let store = fixture.store(run_bytes);
        let mut list = fixture.read(&store, fixture.names.get(99).map(Vec::as_slice));
        assert_eq!(rest(&mut list), fixture.names.split_at(100).1);
        let mut list = fixture.read(&store, fixture.names.last().map(Vec::as_slice));
        assert!(list.is_finished() && list.cut(9).unwrap().is_empty());
    }
}

/// Whoever has no share spools early, and shares come back with the list.
#[test]
fn the_memory_for_names_is_shared() {
    let fixture = Fixture::new(8000);
    let store = fixture.store(RUN_BYTES);
    store.left.store(SHARE_BYTES, Ordering::Relaxed);
    let first = fixture.read(&store, None);
    assert!(matches!(first.rest, Rest::Memory(_)));
    assert_eq!(store.left.load(Ordering::Relaxed), 0);
    let mut second = fixture.read(&store, None);
    assert!(matches!(second.rest, Rest::Spooled(_)));
    assert_eq!(rest(&mut second), fixture.names);
    drop(first);
    assert_eq!(store.left.load(Ordering::Relaxed), SHARE_BYTES);
}

/// What is in the spool needs no memory until the last name was handed out.
#[test]
fn shares_come_back_when_names_are_spooled() {
    let fixture = Fixture::new(18_000);
    let store = fixture.store(280 << 10);
    let mut list = fixture.read(&store, None);
    let Rest::Spooled(merge) = &list.rest else {
        panic!("all names of {} bytes in memory", store.run_bytes);
    };
    assert!(merge.memory_bytes() < FREE_BYTES);
    assert_eq!(store.left.load(Ordering::Relaxed), NAMES_BYTES);
    assert_eq!(rest(&mut list), fixture.names);
    drop(list);
    assert_eq!(store.left.load(Ordering::Relaxed), NAMES_BYTES);
}

/// However small its runs, a listing reads few of them at the same time.
#[test]
fn runs_are_merged_when_they_are_many() {
    let fixture = Fixture::new(8000);
    let mut list = fixture.read(&fixture.store(64), None);
    let Rest::Spooled(merge) = &list.rest else {
        panic!("names in memory");
    };
    // About four names in each: 2,000 runs, and 7 of merged ones.
    let runs = merge.runs();
    assert!((7..spool::MERGED_RUNS + 10).contains(&runs), "{runs}");
    assert_eq!(rest(&mut list), fixture.names);
}
