//! The bucket object and its logs (format.md §6).

use std::collections::BTreeSet;

use super::handles::{EXTATTRS, extended_attributes};
use super::index::BUCKET;
use super::walk::Walk;
use super::{Rule, Strictness};

/// Returns whether `text` has the form `8-4-4-4-12` in lower-case hex.
pub(crate) fn is_uuid(text: &str) -> bool {
    let widths: Vec<usize> = text.split('-').map(str::len).collect();
    widths == [8, 4, 4, 4, 12]
        && text
            .bytes()
            .all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Walk<'_> {
    pub(crate) fn bucket(&mut self) {
        if !self.index.objects.contains_key(BUCKET.as_slice()) {
            self.add(Rule::BucketMissing, "the container", "no bucket object");
            self.logs(&BTreeSet::new());
            return;
        }
        let Some(object) = self.open(&BUCKET, "the container") else {
            return;
        };
        self.expect_order(&object, &[EXTATTRS]);
        let pairs = object.handle(EXTATTRS).and_then(extended_attributes);
        let Some(pairs) = pairs else {
            self.add(Rule::HandleContent, &object.blob, "EXTATTRS");
            return;
        };
        let fixed = [
            ("bucketCurrentNameVersion", Some("2")),
            ("bucketNameVersion", Some("2")),
            ("bucketObjVersion", Some("2")),
            ("bucketUUID", None),
        ];
        let right = pairs.len() >= fixed.len()
            && pairs.iter().zip(fixed).all(|((key, value), (want, what))| {
                key == want && what.map_or_else(|| is_uuid(value), |what| value == what)
            });
        if !right {
            self.add(Rule::BucketAttributes, &object.blob, format!("{pairs:?}"));
        }
        let mut logs = BTreeSet::new();
        for (number, (key, log)) in pairs.iter().skip(fixed.len()).enumerate() {
            if *key != format!("logfile{:03}", number + 1) || !log.ends_with(".txt") {
                self.add(Rule::BucketAttributes, &object.blob, format!("{key}={log}"));
            }
            if !logs.insert(log.clone()) {
                self.add(Rule::Logs, log, "named twice by the bucket object");
            }
        }
        self.logs(&logs);
    }

    /// Compares the existing logs with those that the bucket object names.
    fn logs(&mut self, named: &BTreeSet<String>) {
        let present = std::mem::take(&mut self.index.logs);
        for log in present.difference(named) {
            self.add(Rule::Logs, log, "not named by the bucket object");
        }
        if self.strictness == Strictness::Ours {
            for log in named.difference(&present) {
                self.add(Rule::Logs, log, "named by the bucket object, but missing");
            }
        }
    }
}
