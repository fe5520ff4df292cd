//! Extended attributes: the EXTATTRS handle (docs/format.md section 5), and the bucket object,
//! which consists of nothing else (section 6).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{Handle, HandleType, Handles};

/// The version of object names, of the bucket, and of what is in it, as the bucket object of a container that is
/// loaded has it (docs/format.md section 6).
pub const BUCKET_VERSION: &str = "2";
/// Two u32 lengths.
const LEAST_PAIR_BYTES: usize = 8;

/// Pairs of key and value, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExtendedAttributes(pub Vec<(String, String)>);

impl ExtendedAttributes {
    /// What the root directory carries (section 6). Both are random UUIDs.
    pub fn root_attributes(mass_uuid: &str, wipe_epoch: &str) -> Self {
        Self::pairs(&[
            ("containeridEpoch", "2"),
            ("massUUID", mass_uuid),
            ("wipeEpoch", wipe_epoch),
        ])
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(k, _)| k == key);
        pair.map(|(_, value)| value.as_str())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Self {
        let owned = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Self(owned.collect())
    }

    pub(crate) fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::ExtendedAttributes), 0);
        place.limit(Limit::ExtendedAttributes, self.0.len() as u64)?;
        let handle = buffer.begin(HandleType::ExtendedAttributes);
        buffer.u32(self.0.len() as u32);
        for (key, value) in &self.0 {
            buffer.counted_bytes(key.as_bytes());
            buffer.counted_bytes(value.as_bytes());
        }
        buffer.end(handle)
    }

    pub(crate) fn decode(
        handle: Handle<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handle.cursor();
        let place = cursor.place();
        let count = cursor.count(LEAST_PAIR_BYTES)?;
        place.limit(Limit::ExtendedAttributes, count as u64)?;
        let mut text = || {
            let place = cursor.place();
            let text = std::str::from_utf8(cursor.counted_bytes()?)
                .map_err(|_| place.corrupt(Corrupt::NotUtf8))?;
            Ok::<_, FormatError>(text.to_owned())
        };
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            pairs.push((text()?, text()?));
        }
        deviations.allow(cursor.finish())?;
        Ok(Self(pairs))
    }
}

/// The bucket object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Versions, the bucket's UUID, names of the log blobs.
    pub attributes: ExtendedAttributes,
}

impl Bucket {
    /// The bucket of a container; `logs` are the names of the log blobs in it, none before the
    /// transfer is over.
    pub fn new(bucket_uuid: &str, logs: &[String]) -> Self {
        let mut attributes = ExtendedAttributes::pairs(&[
            ("bucketCurrentNameVersion", BUCKET_VERSION),
            ("bucketNameVersion", BUCKET_VERSION),
            ("bucketObjVersion", BUCKET_VERSION),
            ("bucketUUID", bucket_uuid),
        ]);
        let logs = (1..).zip(logs);
        let logs = logs.map(|(number, log)| (format!("logfile{number:03}"), log.clone()));
        attributes.0.extend(logs);
        Self { attributes }
    }

    /// The UUID that tells this bucket from others.
    pub fn uuid(&self) -> Option<&str> {
        self.attributes.get("bucketUUID")
    }

    /// Names of the log blobs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        let logs = self.attributes.0.iter();
        logs.filter(|(key, _)| key.starts_with("logfile"))
            .map(|(_, value)| value.as_str())
    }

    /// Appends the payload: EXTATTRS.
    ///
    /// # Errors
    /// Limit when there are too many pairs.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        self.attributes.encode(buffer)
    }

    pub(crate) fn decode(
        mut handles: Handles<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let attributes = handles.require(HandleType::ExtendedAttributes)?;
        let attributes = ExtendedAttributes::decode(attributes, deviations)?;
        handles.finish(deviations)?;
        Ok(Self { attributes })
    }
}
