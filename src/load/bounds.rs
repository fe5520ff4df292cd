//! How many requests may be on their way, by the options and by what this process may hold open.

use rustix::process::{Resource, getrlimit};

use super::{LoadOptions, Refusal};
use crate::container::limit::{Concurrency, MOST_REQUESTS};
use crate::container::location::ContainerLocation;
use crate::upload::UploadLimits;

/// Directories of the source that are kept open (`src/source/tree.rs`).
const OPEN_DIRECTORIES: u64 = 256;
/// Directories that are opened before a thread lists them (`src/scan/ahead.rs`).
const LISTED_AHEAD: u64 = 64;
/// The database, its log and the log's index, for each thread that reads and encodes.
const FILES_OF_A_READER: u64 = 3;
/// Large files that wait while they are open (`src/pass/queue.rs`).
const LARGE_FILES: u64 = 16;
/// Standard streams, the database's writer, logs, scratch files, epolls.
const FURTHER_FILES: u64 = 32;

/// Requests at the same time where hardly any files may be open: the source seldom needs all that it may.
const FEWEST_REQUESTS: usize = 16;
/// Requests at the same time to a folder.
const FOLDER_REQUESTS: usize = 64;

/// What the smallest object on its way counts for: 8 KiB for its task, its request and its connection
/// (`src/upload/mod.rs`), and an inode.
const SMALLEST_OBJECT: u64 = (8 << 10) + 256;

/// Files that may be open beside the connections: 688 by default.
fn other_descriptors(options: &LoadOptions) -> u64 {
    let listings = LISTED_AHEAD + options.scan_threads as u64;
    let encoders = options.encode_threads as u64;
    // Each encoder has one file in its hands.
    let files = encoders + LARGE_FILES;
    OPEN_DIRECTORIES + listings + FILES_OF_A_READER * encoders + files + FURTHER_FILES
}

/// The requests that this process may have on their way.
///
/// # Errors
/// A refusal, when the options ask for what memory or open files do not allow.
pub(super) fn concurrency(options: &LoadOptions) -> Result<Concurrency, Refusal> {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    concurrency_with(options, open_files)
}

fn concurrency_with(options: &LoadOptions, open_files: u64) -> Result<Concurrency, Refusal> {
    if options.limits.bytes < UploadLimits::LEAST_BYTES {
        return Err(Refusal::Memory {
            given: options.limits.bytes,
            least: UploadLimits::LEAST_BYTES,
        });
    }
    let others = other_descriptors(options);
    let free = usize::try_from(open_files.saturating_sub(others)).unwrap_or(usize::MAX);
    let possible = free.max(FEWEST_REQUESTS);
    if let Some(given) = options.limits.concurrency {
        let least = (given.get() as u64).saturating_mul(SMALLEST_OBJECT);
        if options.limits.bytes < least {
            return Err(Refusal::MemoryOfRequests {
                given,
                memory: options.limits.bytes,
                least,
            });
        }
        if given.get() > possible {
            return Err(Refusal::Descriptors {
                given,
                others,
                open_files,
                possible,
            });
        }
        return Ok(Concurrency::Fixed(given));
    }
    let most = match options.container {
        ContainerLocation::Azure { .. } => MOST_REQUESTS,
        // Each put of a folder is a thread that waits for the disk; flushes are shared.
        ContainerLocation::Folder { .. } => FOLDER_REQUESTS,
    };
    Ok(Concurrency::Adaptive {
        most: most.min(possible),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::container::sas::SasToken;

    fn options(account: &str) -> LoadOptions {
        let token = "sv=2020-12-06&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln";
        let token = (!account.starts_with("file:")).then(|| SasToken::parse(token).unwrap());
        let container = ContainerLocation::parse(account, "name", token, None).unwrap();
        LoadOptions::new("state".into(), "source".into(), container)
    }

    fn most(options: &LoadOptions, open_files: u64) -> usize {
        match concurrency_with(options, open_files).unwrap() {
            Concurrency::Adaptive { most } => most,
            Concurrency::Fixed(given) => given.get(),
        }
    }

    #[test]
    fn requests_leave_the_others_their_files() {
        let mut options = options("account");
        assert_eq!(most(&options, u64::MAX), 1024);
        assert_eq!(most(&options, 1024), 1024 - 688);
        assert_eq!(most(&options, 200), 16);
        // An encoder has three files for what it reads of the state, and one of the source.
        options.encode_threads = 4;
        assert_eq!(most(&options, 1024), 1024 - 688 + 60 * 4);
        assert_eq!(most(&self::options("file:///containers"), 1024), 64);
    }

    #[test]
    fn requests_that_memory_does_not_allow_are_refused() {
        let mut options = options("account");
        let mut refused = |given, memory| {
            options.limits.concurrency = NonZeroUsize::new(given);
            options.limits.bytes = memory;
            let refused = concurrency_with(&options, u64::MAX).err();
            refused.map(|refusal| refusal.to_string())
        };
        let told = refused(4096, 32 << 20).unwrap();
        assert!(told.contains("--memory of at least 33M"), "{told}");
        for (given, memory) in [(4096, 33 << 20), (3900, 32 << 20), (4096, 64 << 20)] {
            assert_eq!(refused(given, memory), None);
        }
    }

    #[test]
    fn a_number_that_is_given_is_taken_or_refused() {
        let mut options = options("account");
        let mut fixed = |given, open_files| {
            options.limits.concurrency = NonZeroUsize::new(given);
            concurrency_with(&options, open_files)
        };
        for (given, open_files) in [(1, 100), (16, 100), (336, 1024), (4096, 5000)] {
            let taken = fixed(given, open_files).unwrap();
            assert_eq!(taken, Concurrency::Fixed(NonZeroUsize::new(given).unwrap()));
        }
        for (given, open_files, told) in [
            (17, 100, "--concurrency of at most 16"),
            (337, 1024, "--concurrency of at most 336"),
            (337, 1024, "beside up to 688 of source and state"),
        ] {
            let refused = fixed(given, open_files).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
