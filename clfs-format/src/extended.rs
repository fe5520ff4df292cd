//! Extended attributes: the EXTATTRS handle (format.md §5), and the bucket object, which has no
//! other handle (format.md §6).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{Handle, HandleType, Handles};

/// The value of the three version attributes of a loaded container's bucket object (format.md §6):
/// `bucketCurrentNameVersion`, `bucketNameVersion` and `bucketObjVersion`.
pub const BUCKET_VERSION: &str = "2";
/// An empty pair: two u32 lengths.
const MIN_PAIR_BYTES: usize = 8;

/// Pairs of key and value, in the order of the EXTATTRS handle: u32 count, then for each pair u32
/// length, key, u32 length, value (format.md §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExtendedAttributes(pub Vec<(String, String)>);

impl ExtendedAttributes {
    /// Returns the attributes of the root directory (format.md §6). Both arguments are random UUIDs.
    pub fn root_attributes(mass_uuid: &str, wipe_epoch: &str) -> Self {
        Self::pairs(&[
            ("containeridEpoch", "2"),
            ("massUUID", mass_uuid),
            ("wipeEpoch", wipe_epoch),
        ])
    }

    /// Returns the first value of a key.
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
        let count = cursor.count(MIN_PAIR_BYTES)?;
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
        deviations.optional(cursor.finish())?;
        Ok(Self(pairs))
    }
}

/// The bucket object, one for each container (format.md §6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Versions, the UUID of the bucket, and the names of the log blobs.
    pub attributes: ExtendedAttributes,
}

impl Bucket {
    /// Creates the bucket object of a container. `logs` are the names of its log blobs, which are
    /// added when the transfer is finished.
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

    /// Returns the UUID of the bucket.
    pub fn uuid(&self) -> Option<&str> {
        self.attributes.get("bucketUUID")
    }

    /// Returns the names of the log blobs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        let logs = self.attributes.0.iter();
        logs.filter(|(key, _)| key.starts_with("logfile"))
            .map(|(_, value)| value.as_str())
    }

    /// Appends the payload: EXTATTRS.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if there are more than [`crate::limits::EXTENDED_ATTRIBUTES`] pairs, or
    /// they do not fit in a handle.
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
