//! Blobs in the archive tier: one error each, of a separate rule, whether or not they are read.

use std::sync::{Arc, Mutex};

use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, PutBody};
use clfsload::read::index::{ListingPlan, Offline};
use clfsload::read::{OpenOptions, Reader};
use clfsload::verify::{Depth, Finding, Rule, Severity, VerifyOptions, verify};

use crate::support::counting::Counting;
use crate::support::kinds::Kinds;

/// Returns the findings with one archived blob, and the number of requests for that blob.
async fn verified(kinds: &Kinds, archived: &str, depth: Depth) -> (Vec<Finding>, Offline) {
    let memory = InMemory::new();
    for (name, blob) in &kinds.blobs {
        let name = BlobName::new(name.as_str()).unwrap();
        memory
            .put(&name, PutBody::object(blob.clone()))
            .await
            .unwrap();
    }
    memory.archive(&BlobName::new(archived).unwrap());
    let counting = Arc::new(Counting::new(memory));
    let container: Arc<dyn Container> = counting.clone();
    let (plan, options) = (ListingPlan::Sequential, OpenOptions::default());
    let reader = Reader::with_container(container, "memory", plan, true, &options).await;
    let reader = Arc::new(reader.unwrap());
    let findings = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let findings = Arc::clone(&findings);
        Box::new(move |finding: &Finding| findings.lock().unwrap().push(finding.clone()))
    };
    let mut options = VerifyOptions::default();
    options.depth = depth;
    verify(&reader, &options, sink).await.unwrap();
    assert_eq!(
        counting.counts().gets.failed,
        0,
        "an archived blob was requested"
    );
    let findings = std::mem::take(&mut *findings.lock().unwrap());
    (findings, reader.offline().unwrap())
}

#[test]
fn each_kind_in_the_archive_tier_is_one_error_of_a_separate_rule() {
    let kinds = Kinds::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for kind in &kinds.kinds {
            for depth in [Depth::Quick, Depth::Full] {
                let (findings, offline) = verified(&kinds, &kind.blob, depth).await;
                assert_eq!((offline.archived, offline.rehydrating), (1, 0));
                let errors: Vec<_> = findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Error)
                    .collect();
                let [error] = errors[..] else {
                    panic!("{} {depth:?}: {errors:#?}", kind.what);
                };
                assert_eq!(error.rule, Rule::Offline, "{error}");
                assert_eq!(error.blob.as_ref(), Some(&kind.blob), "{error}");
                let path = error.path.as_deref().map(|path| {
                    let path = String::from_utf8_lossy(path);
                    format!("/{path}")
                });
                assert_eq!(path.as_deref(), kind.damaged, "{error}");
                let command = format!("azcopy set-properties \"memory/{}\"", kind.blob);
                assert!(error.text.starts_with("archived: ") && error.text.contains(&command));
            }
        }
    });
}
