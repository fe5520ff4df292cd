//! Verifies blobs in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, PutBody};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, Reader};
use clfsload::verify::{Depth, Finding, Rule, Summary, VerifyOptions, verify};

/// The result of a verification.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) findings: Vec<Finding>,
    pub(crate) summary: Summary,
}

impl Verified {
    pub(crate) fn rules(&self) -> BTreeSet<Rule> {
        self.findings.iter().map(|finding| finding.rule).collect()
    }

    /// Returns the first findings, for messages.
    pub(crate) fn shown(&self) -> String {
        let lines = self.findings.iter().take(8).map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n    ")
    }
}

pub(crate) fn verify_blobs(blobs: &HashMap<String, Vec<u8>>, depth: Depth) -> Verified {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let memory = InMemory::new();
        for (name, blob) in blobs {
            let name = BlobName::new(name.as_str()).unwrap();
            let body = PutBody::object(blob.clone());
            memory.put(&name, body).await.unwrap();
        }
        let container: Arc<dyn Container> = Arc::new(memory);
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
        let summary = verify(&reader, &options, sink).await.unwrap();
        let findings = std::mem::take(&mut *findings.lock().unwrap());
        assert_eq!(
            summary.findings.values().sum::<u64>(),
            findings.len() as u64
        );
        Verified { findings, summary }
    })
}
