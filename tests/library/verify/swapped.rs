//! One object's bytes under another's name: one error, with the blob and the path of the entry.

use std::sync::Mutex;

use clfsload::verify::{Depth, Finding, Rule, Severity};

use super::run::{Verified, verify_blobs};
use crate::support::kinds::{Kinds, Swap, two_wide_directories};

/// The rules for wrong identities.
const RULES: [Rule; 4] = [
    Rule::OwnBlock,
    Rule::OtherObject,
    Rule::DataBackOwner,
    Rule::DataBackOffset,
];

/// Returns a description of unexpected findings, or `None`.
fn unexpected(what: &str, blob: &str, path: Option<&str>, verified: &Verified) -> Option<String> {
    let errors = verified.findings.iter();
    let errors: Vec<&Finding> = errors.filter(|f| f.severity == Severity::Error).collect();
    let right = match errors[..] {
        [error] => {
            let shown = error.path.as_ref().map(|path| {
                let path = String::from_utf8_lossy(path);
                format!("/{path}")
            });
            RULES.contains(&error.rule)
                && error.blob.as_deref() == Some(blob)
                && shown.as_deref() == path
        }
        _ => false,
    };
    (!right).then(|| format!("{what}:\n    {}", verified.shown()))
}

#[test]
fn every_kind_under_every_name_is_one_error() {
    let kinds = Kinds::new();
    let verified = verify_blobs(&kinds.blobs, Depth::Full);
    assert_eq!(verified.findings, [], "{}", verified.shown());
    let swaps = Mutex::new(kinds.swaps());
    let wrong = Mutex::new(Vec::new());
    let check = |swap: &Swap<'_>, depth| {
        let verified = verify_blobs(&swap.blobs, depth);
        let kind = swap.kind;
        let unexpected = unexpected(&swap.what, &kind.blob, kind.damaged, &verified);
        wrong.lock().unwrap().extend(unexpected);
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = swaps.lock().unwrap().next();
                    let Some(swap) = next else { break };
                    // `--quick` does not read the segments of files.
                    let depth = match swap.kind.what {
                        "segment of a file" => Depth::Full,
                        _ => Depth::Quick,
                    };
                    check(&swap, depth);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} wrong: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn another_object_under_the_name_of_an_indirect_block_is_one_error() {
    let (blobs, [name, other]) = two_wide_directories();
    let kinds = Kinds::new();
    let file = &kinds.kinds[0];
    for (what, bytes) in [
        (file.what, &kinds.blobs[&file.blob]),
        ("another", &blobs[&other]),
    ] {
        let mut blobs = blobs.clone();
        blobs.insert(name.clone(), bytes.clone());
        let verified = verify_blobs(&blobs, Depth::Quick);
        let unexpected = unexpected(what, &name, Some("/wide"), &verified);
        assert!(unexpected.is_none(), "{}", unexpected.unwrap());
    }
}
