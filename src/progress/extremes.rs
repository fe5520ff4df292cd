//! The largest and the slowest files of a transfer: the first thing to check if a load seems to hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entry::EntryId;
use crate::text::Hex;

/// Number of files in each ranking.
const KEPT: usize = 10;

/// The largest and the slowest files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Extremes {
    /// The largest file first.
    pub largest: Vec<RankedFile>,
    /// The slowest file first, by the time from its first read to the last response of the container.
    pub slowest: Vec<RankedFile>,
}

/// A file of a ranking.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankedFile {
    /// Its path below the source in hexadecimal, because names are bytes.
    pub path_hex: String,
    /// Its path as text. Invalid UTF-8 is replaced.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The time from its first read to the last response of the container.
    pub milliseconds: u64,
}

impl RankedFile {
    fn new(path: &[u8], extreme: &Extreme) -> Self {
        RankedFile {
            path_hex: Hex(path).to_string(),
            path: String::from_utf8_lossy(path).into_owned(),
            bytes: extreme.bytes,
            milliseconds: extreme.milliseconds,
        }
    }

    /// Returns the bytes of the path.
    pub fn path(&self) -> Vec<u8> {
        let digits: Vec<u8> = self.path_hex.bytes().collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.unwrap_or_else(|| self.path.clone().into_bytes())
    }
}

#[derive(Debug, Clone, Copy)]
struct Extreme {
    id: EntryId,
    bytes: u64,
    milliseconds: u64,
}

/// The first files by one criterion. Most files are rejected by comparing one number, without a lock.
#[derive(Debug, Default)]
struct Ranking {
    threshold: AtomicU64,
    first: Mutex<Vec<Extreme>>,
}

impl Ranking {
    fn offer(&self, extreme: Extreme, rank: impl Fn(&Extreme) -> u64) {
        if rank(&extreme) <= self.threshold.load(Ordering::Relaxed) {
            return;
        }
        let mut first = self.first();
        // A file may be loaded again.
        first.retain(|known| known.id != extreme.id);
        let at = first.partition_point(|known| rank(known) >= rank(&extreme));
        first.insert(at, extreme);
        first.truncate(KEPT);
        if let Some(last) = first.get(KEPT - 1) {
            self.threshold.store(rank(last), Ordering::Relaxed);
        }
    }

    fn first(&self) -> MutexGuard<'_, Vec<Extreme>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rankings of the current run.
#[derive(Debug, Default)]
pub struct Rankings {
    largest: Ranking,
    slowest: Ranking,
}

impl Rankings {
    /// Adds a regular file that is in the container.
    pub(crate) fn loaded(&self, id: EntryId, bytes: u64, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let extreme = Extreme {
            id,
            bytes,
            milliseconds,
        };
        self.largest.offer(extreme, |extreme| extreme.bytes);
        self.slowest.offer(extreme, |extreme| extreme.milliseconds);
    }

    /// Returns the rankings with paths, merged with those of earlier runs.
    pub(super) fn ranked(
        &self,
        before: &Extremes,
        path: impl Fn(EntryId) -> Option<Vec<u8>>,
    ) -> Extremes {
        let merged =
            |ranking: &Ranking, before: &[RankedFile], rank: &dyn Fn(&RankedFile) -> u64| {
                let now = ranking.first().clone();
                let mut ranked: Vec<RankedFile> = now
                    .iter()
                    .filter_map(|extreme| Some(RankedFile::new(&path(extreme.id)?, extreme)))
                    .collect();
                for old in before {
                    if !ranked.iter().any(|new| new.path_hex == old.path_hex) {
                        ranked.push(old.clone());
                    }
                }
                ranked.sort_by_key(|ranked| std::cmp::Reverse(rank(ranked)));
                ranked.truncate(KEPT);
                ranked
            };
        Extremes {
            largest: merged(&self.largest, &before.largest, &|ranked| ranked.bytes),
            slowest: merged(&self.slowest, &before.slowest, &|ranked| {
                ranked.milliseconds
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(files: impl Iterator<Item = (u64, u64)>) -> Rankings {
        let rankings = Rankings::default();
        for (id, bytes) in files {
            let took = Duration::from_millis(1_000_000 - bytes);
            rankings.loaded(EntryId::new(id), bytes, took);
        }
        rankings
    }

    fn bytes(ranked: &[RankedFile]) -> Vec<u64> {
        ranked.iter().map(|ranked| ranked.bytes).collect()
    }

    #[test]
    fn the_first_ten_are_kept_in_order() {
        let path = |id: EntryId| Some(format!("f{id}").into_bytes());
        let shuffled = (0..1000).map(|n| (n, n * 7919 % 1000));
        let first = loaded(shuffled).ranked(&Extremes::default(), path);
        assert_eq!(bytes(&first.largest), (990..1000).rev().collect::<Vec<_>>());
        assert_eq!(bytes(&first.slowest), (0..10).collect::<Vec<_>>());
        // Merged with an earlier run, of which one file is loaded again.
        let again = first.largest[0].path();
        let id = String::from_utf8_lossy(&again[1..])
            .parse()
            .unwrap_or_default();
        let second = loaded([(id, 5), (5000, 995)].into_iter()).ranked(&first, path);
        assert_eq!(
            bytes(&second.largest),
            [998, 997, 996, 995, 995, 994, 993, 992, 991, 990]
        );
    }

    #[test]
    fn paths_are_bytes() {
        let extreme = Extreme {
            id: EntryId::new(1),
            bytes: 1,
            milliseconds: 1,
        };
        assert_eq!(RankedFile::new(b"a\xff/b", &extreme).path(), b"a\xff/b");
    }
}
