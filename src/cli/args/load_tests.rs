//! Arguments of a load: parsing and refusals.

use super::*;
use clap::FromArgMatches;

fn options(words: &str) -> Result<LoadOptions, String> {
    let line = format!("clfsload --new /s /d file:///c n {words}");
    let parser = LoadArguments::augment_args(clap::Command::new("clfsload"));
    let matches = parser.try_get_matches_from(line.split_whitespace());
    let matches = matches.map_err(|error| error.to_string())?;
    let arguments = LoadArguments::from_arg_matches(&matches).unwrap();
    arguments.load_options().map_err(|failure| failure.message)
}

#[test]
fn the_spelling_of_the_original_works() {
    let given = "--preserve_hardlinks 1 --max_errors 3 --retry_errors 0 --compression disabled";
    let options = options(given).unwrap();
    assert_eq!(options.preserve_hardlinks, Some(true));
    assert_eq!(options.max_problems, Some(3));
    assert!(!options.retry_problems);
    assert_eq!(options.compression, Some(Compression::Disabled));
}

#[test]
fn limits_are_read() {
    let defaults = options("").unwrap();
    assert_eq!(defaults.limits, UploadLimits::default());
    assert_eq!(defaults.encode_threads, 64);
    let given =
        options("--concurrency 300 --bandwidth-limit 10M --memory 1GiB --worker_thread_count 20");
    let given = given.unwrap();
    let expected = UploadLimits {
        concurrency: NonZeroUsize::new(300),
        bandwidth: NonZeroU64::new(10 << 20),
        bytes: 1 << 30,
    };
    assert_eq!((given.limits, given.encode_threads), (expected, 20));
    assert_eq!(options("--worker-threads 3").unwrap().encode_threads, 3);
}

#[test]
fn invalid_limits_are_refused() {
    for (words, expected) in [
        ("--concurrency 0", "1..=4096"),
        ("--concurrency 5000", "1..=4096"),
        ("--bandwidth-limit 0", "at least 64K"),
        ("--bandwidth-limit 10Mbit", "is not a size"),
        ("--memory much", "is not a size"),
        ("--memory 16E", "'--memory <SIZE>': \"16E\" is too large"),
        (
            "--bandwidth-limit 99999P",
            "is too large: sizes are below 16E",
        ),
        ("--worker_thread_count 0", "1..=256"),
    ] {
        let refused = options(words).unwrap_err();
        assert!(refused.contains(expected), "{words}: {refused}");
    }
}
