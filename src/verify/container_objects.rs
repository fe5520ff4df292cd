//! The bucket object, the logs that it names, and the root's extended attributes (docs/format.md
//! section 6).

use std::collections::BTreeSet;
use std::sync::Arc;

use clfs_format::{Bucket, ExtendedAttributes, Object, ObjectId, ObjectType, WellKnownId};

use super::blocks::inspected;
use super::check::Check;
use super::deviation::unreadable;
use super::finding::Found;
use super::inode::Place;
use super::rule::Rule;
use super::scratch::Record;
use crate::monitor::Escaped;
use crate::read::ReadError;
use crate::read::index::AsideReason;

/// Rows that are looked at together.
const PAGE: usize = 4096;

/// What the root says about itself.
pub(super) fn root_attributes(place: Place<'_>, attributes: &ExtendedAttributes) -> Option<Found> {
    let right = match attributes.0.as_slice() {
        [(epoch, two), (mass, mass_uuid), (wipe, wipe_uuid)] => {
            (epoch.as_str(), two.as_str()) == ("containeridEpoch", "2")
                && (mass == "massUUID" && is_uuid(mass_uuid))
                && (wipe == "wipeEpoch" && is_uuid(wipe_uuid))
        }
        _ => false,
    };
    let text = || {
        let shown = shown(attributes);
        format!("containeridEpoch=2, massUUID and wipeEpoch are expected: {shown}")
    };
    (!right).then(|| place.found(Rule::RootAttributes, text()))
}

/// The form `8-4-4-4-12` in lower-case hex.
fn is_uuid(text: &str) -> bool {
    let widths: Vec<usize> = text.split('-').map(str::len).collect();
    widths == [8, 4, 4, 4, 12]
        && text
            .bytes()
            .all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f'))
}

fn shown(attributes: &ExtendedAttributes) -> String {
    let pairs = attributes.0.iter().take(8).map(|(key, value)| {
        let pair = format!("{key}={value}");
        Escaped(pair.as_bytes()).to_string()
    });
    match attributes.0.is_empty() {
        true => "there are none".to_owned(),
        false => pairs.collect::<Vec<_>>().join(", "),
    }
}

impl Check {
    /// Judges the bucket object and the logs.
    ///
    /// # Errors
    /// When the container, the index or the ledger fails.
    pub(super) async fn judge_bucket(self: Arc<Self>) -> Result<(), ReadError> {
        let mut records = Vec::new();
        let mut named = BTreeSet::new();
        let mut known = true;
        let bucket = ObjectId::WellKnown(WellKnownId::Bucket);
        match self.find(&bucket)? {
            None => {
                let text =
                    "there is no bucket object: this is no CLFS container, or not all of one";
                records.push(Found::container(Rule::BucketMissing, text).into());
            }
            Some(listed) => match self.fetch(&listed).await? {
                Err(error) => {
                    known = false;
                    records.push(unreadable(&error, &listed.name, None).into());
                }
                Ok(fetched) => {
                    let (object, found) = inspected(&fetched, ObjectType::Special, None);
                    records.extend(found.into_iter().map(Record::from));
                    let found = |rule, text| Found::blob(rule, fetched.name, text).into();
                    match object {
                        Some(Object::Bucket(bucket)) => {
                            let broken = bucket_attributes(&bucket, &mut named);
                            records
                                .extend(broken.into_iter().map(|(rule, text)| found(rule, text)));
                        }
                        _ => known = false,
                    }
                }
            },
        }
        self.records.send(records).await?;
        // Without the bucket's list nothing can be said about the logs.
        match known {
            true => self.judge_logs(named).await,
            false => Ok(()),
        }
    }

    async fn judge_logs(&self, mut named: BTreeSet<String>) -> Result<(), ReadError> {
        let mut after = 0;
        loop {
            let page = self.index.aside_after(after, PAGE);
            let page = page.map_err(|error| self.index_failed(error))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let logs = page
                .into_iter()
                .filter(|(_, aside)| aside.reason == AsideReason::Log);
            let unnamed = logs.filter(|(_, log)| !named.remove(&log.name));
            let found = unnamed.map(|(_, log)| {
                let text = "a log that the bucket object does not name";
                Found::blob(Rule::Logs, log.name, text).into()
            });
            let found: Vec<Record> = found.collect();
            self.records.send(found).await?;
        }
        let missing = named.into_iter().map(|log| {
            let text = "the bucket object names this log, which is not in the container";
            Found::blob(Rule::LogMissing, log, text).into()
        });
        self.records.send(missing.collect()).await
    }
}

fn bucket_attributes(bucket: &Bucket, logs: &mut BTreeSet<String>) -> Vec<(Rule, String)> {
    const FIXED: [(&str, Option<&str>); 4] = [
        ("bucketCurrentNameVersion", Some("2")),
        ("bucketNameVersion", Some("2")),
        ("bucketObjVersion", Some("2")),
        ("bucketUUID", None),
    ];
    let mut broken = Vec::new();
    let pairs = &bucket.attributes.0;
    let right = pairs.len() >= FIXED.len()
        && pairs.iter().zip(FIXED).all(|((key, value), (want, what))| {
            key == want && what.map_or_else(|| is_uuid(value), |what| value == what)
        });
    if !right {
        let shown = shown(&bucket.attributes);
        let text = format!("three versions of 2 and a UUID are expected: {shown}");
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
