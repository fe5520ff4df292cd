//! Checks the bucket object, the logs that it names, and the root's extended attributes (format.md
//! §6).

use std::collections::BTreeSet;
use std::sync::Arc;

use clfs_format::{Bucket, ExtendedAttributes, Object, ObjectId, ObjectType, WellKnownId};

use super::blocks::decode;
use super::checker::Checker;
use super::finding::{NewFinding, unreadable_finding};
use super::inode::InodeRef;
use super::rule::Rule;
use super::scratch::Record;
use crate::read::index::AsideReason;
use crate::read::{ReadError, blocking};
use crate::text::Escaped;

/// Rows read from the index at a time.
const PAGE: usize = 4096;

/// Checks the extended attributes of the root.
pub(super) fn check_root_attributes(
    at: InodeRef<'_>,
    attributes: &ExtendedAttributes,
) -> Option<NewFinding> {
    let right = match attributes.0.as_slice() {
        [(epoch, two), (mass, mass_uuid), (wipe, wipe_uuid)] => {
            (epoch.as_str(), two.as_str()) == ("containeridEpoch", "2")
                && (mass == "massUUID" && is_uuid(mass_uuid))
                && (wipe == "wipeEpoch" && is_uuid(wipe_uuid))
        }
        _ => false,
    };
    (!right).then(|| {
        let text = format!(
            "expected containeridEpoch=2, massUUID and wipeEpoch, but found {}",
            listing(attributes)
        );
        at.finding(Rule::RootAttributes, text)
    })
}

/// Returns whether a text has the form `8-4-4-4-12` in lower-case hex.
fn is_uuid(text: &str) -> bool {
    let widths: Vec<usize> = text.split('-').map(str::len).collect();
    widths == [8, 4, 4, 4, 12]
        && text
            .bytes()
            .all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f'))
}

/// Lists up to eight attributes.
fn listing(attributes: &ExtendedAttributes) -> String {
    let pairs = attributes.0.iter().take(8).map(|(key, value)| {
        let pair = format!("{key}={value}");
        Escaped(pair.as_bytes()).to_string()
    });
    match attributes.0.is_empty() {
        true => "none".to_owned(),
        false => pairs.collect::<Vec<_>>().join(", "),
    }
}

impl Checker {
    /// Checks the bucket object and the logs.
    ///
    /// # Errors
    /// If the container, the index or the recorder fails.
    pub(super) async fn check_bucket(self: Arc<Self>) -> Result<(), ReadError> {
        let mut records: Vec<Record> = Vec::new();
        let mut logs = BTreeSet::new();
        let mut logs_known = true;
        let bucket = ObjectId::WellKnown(WellKnownId::Bucket);
        match self.find(&bucket).await? {
            None => {
                let text = "there is no bucket object: this is not a complete CLFS container";
                records.push(NewFinding::container(Rule::BucketMissing, text).into());
            }
            Some(listed) => {
                match self.fetch(&listed).await? {
                    Err(error) => {
                        logs_known = false;
                        records.push(unreadable_finding(&error, &listed.name, None).into());
                    }
                    Ok(fetched) => {
                        let (object, findings) = decode(&fetched, ObjectType::Special, None);
                        records.extend(findings.into_iter().map(Record::from));
                        if let Some(Object::Bucket(bucket)) = object {
                            let broken = check_bucket_attributes(&bucket, &mut logs);
                            records.extend(broken.into_iter().map(|(rule, text)| {
                                NewFinding::blob(rule, fetched.name, text).into()
                            }));
                        } else {
                            logs_known = false;
                        }
                    }
                }
            }
        }
        self.recorder.send(records).await?;
        match logs_known {
            true => blocking(move || self.check_logs(logs)).await?,
            false => Ok(()),
        }
    }

    /// Compares the logs in the container with those that the bucket object names. Blocks.
    fn check_logs(&self, mut named: BTreeSet<String>) -> Result<(), ReadError> {
        let mut after = 0;
        loop {
            let page = self.index.aside_after(after, PAGE);
            let page = page.map_err(|error| self.index_error(error))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let unnamed = page
                .into_iter()
                .filter(|(_, aside)| aside.reason == AsideReason::Log && !named.remove(&aside.name))
                .map(|(_, log)| {
                    let text = "a log that the bucket object does not name";
                    NewFinding::blob(Rule::Logs, log.name, text).into()
                });
            self.recorder.blocking_send(unnamed.collect())?;
        }
        let missing = named.into_iter().map(|log| {
            let text = "the bucket object names this log, but it is not in the container";
            NewFinding::blob(Rule::LogMissing, log, text).into()
        });
        self.recorder.blocking_send(missing.collect())
    }
}

/// Checks the attributes of the bucket object; adds the logs that it names to `logs`.
fn check_bucket_attributes(bucket: &Bucket, logs: &mut BTreeSet<String>) -> Vec<(Rule, String)> {
    const FIXED: [(&str, Option<&str>); 4] = [
        ("bucketCurrentNameVersion", Some("2")),
        ("bucketNameVersion", Some("2")),
        ("bucketObjVersion", Some("2")),
        ("bucketUUID", None),
    ];
    let mut broken = Vec::new();
    let pairs = &bucket.attributes.0;
    let right = pairs.len() >= FIXED.len()
        && pairs
            .iter()
            .zip(FIXED)
            .all(|((key, value), (name, expected))| {
                key == name && expected.map_or_else(|| is_uuid(value), |expected| value == expected)
            });
    if !right {
        let text = format!(
            "expected three versions of 2 and a UUID, but found {}",
            listing(&bucket.attributes)
        );
        broken.push((Rule::BucketAttributes, text));
    }
    for (number, (key, log)) in (1..).zip(pairs.iter().skip(FIXED.len())) {
        if *key != format!("logfile{number:03}") || !log.ends_with(".txt") {
            let pair = format!("{key}={log}");
            let text = format!("{} is not log {number}", Escaped(pair.as_bytes()));
            broken.push((Rule::BucketAttributes, text));
        }
        if !logs.insert(log.clone()) {
            let text = format!("the log {} is named twice", Escaped(log.as_bytes()));
            broken.push((Rule::Logs, text));
        }
    }
    broken
}
