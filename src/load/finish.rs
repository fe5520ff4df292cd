//! The objects besides the tree: the bucket object, which is written first, and log and root, which are written
//! last.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use clfs_format::Bucket;
use clfs_format::limits::{INODE_PAYLOAD_BYTES, PAYLOAD_BYTES};

use super::{Load, LoadError};
use crate::container::location::ContainerLocation;
use crate::container::{BlobName, ContainerError, ContainerErrorKind, PutBody};
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::EntryId;
use crate::load::encode::{
    EncodeContext, EncodeError, EncodedObject, Encoder, ObjectSink, bucket_name,
};
use crate::state::LOG_NAME;

/// Maximum size of the log in the container. Of a longer log the end is stored.
const LOG_BYTES: u64 = 8 << 20;
/// Maximum size of a bucket object: its attributes, and the wrapper.
const BUCKET_BYTES: u64 = INODE_PAYLOAD_BYTES as u64 + (64 << 10);

/// Uploads one object after the other, so that the last one, an inode, is written after all others.
struct SequentialSink<'a> {
    load: &'a Load,
    failure: Mutex<Option<ContainerError>>,
}

impl<'a> SequentialSink<'a> {
    fn new(load: &'a Load) -> Self {
        SequentialSink {
            load,
            failure: Mutex::default(),
        }
    }

    fn end(self) -> Result<(), LoadError> {
        let failure = self.failure.into_inner();
        match failure.unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

impl ObjectSink for SequentialSink<'_> {
    type Room = ();

    fn room(&self, _: u64) {}

    fn put(&self, object: EncodedObject, (): ()) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            let body = PutBody::object(object.bytes);
            let put = self.load.container.put(&object.name, body);
            *failure = self.load.runtime.block_on(put).err();
        }
    }
}

pub(super) fn internal(error: EncodeError) -> LoadError {
    match error {
        EncodeError::State(error) => error.into(),
        EncodeError::Problem(problem) => LoadError::Internal(problem.to_string()),
        EncodeError::Changed(_) => LoadError::Internal("a directory changed".to_owned()),
    }
}

impl Load {
    /// Writes the bucket object, which marks the container as this transfer's.
    ///
    /// It is written before all other objects, because a resume compares its UUID. It already names the log,
    /// which is written at the end.
    pub(super) fn put_bucket(&self, context: &Arc<EncodeContext>) -> Result<(), LoadError> {
        let sink = SequentialSink::new(self);
        Encoder::new(Arc::clone(context), self.state.reader()?)
            .bucket(&[LOG_NAME.to_owned()], &sink)
            .map_err(internal)?;
        sink.end()?;
        crash_point(CrashPoint::BucketPut);
        Ok(self.state.record_bucket_object()?)
    }

    /// Writes the log, then the root, and records that the transfer is finished.
    pub(super) fn finish(&self, context: &Arc<EncodeContext>) -> Result<(), LoadError> {
        crash_point(CrashPoint::BeforeLog);
        let log = self.log_end()?;
        let name =
            BlobName::new(LOG_NAME).map_err(|error| LoadError::Internal(error.to_string()))?;
        self.runtime
            .block_on(self.container.put(&name, PutBody::log(log)))?;
        // From here on the root may be in the container, so a resume only finishes.
        self.state.set_finishing()?;
        crash_point(CrashPoint::BeforeRoot);
        let root = self
            .state
            .reader()?
            .entry(EntryId::ROOT)?
            .ok_or_else(|| LoadError::Internal("the root entry is missing".to_owned()))?;
        let sink = SequentialSink::new(self);
        Encoder::new(Arc::clone(context), self.state.reader()?)
            .root(&root, &sink)
            .map_err(internal)?;
        sink.end()?;
        crash_point(CrashPoint::AfterRoot);
        self.state.set_finished()?;
        crash_point(CrashPoint::Finished);
        Ok(())
    }

    fn log_end(&self) -> Result<Vec<u8>, LoadError> {
        let path = self.state.log_path();
        let read = || {
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(Vec::new());
                }
                file => file?,
            };
            let length = file.metadata()?.len();
            let mut text = Vec::new();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
            file.take(LOG_BYTES).read_to_end(&mut text)?;
            Ok(text)
        };
        read().map_err(|source| LoadError::Io {
            action: "read the log",
            path: path.clone(),
            source,
        })
    }

    /// Checks on a resume that the container is the one of this transfer.
    pub(super) fn check_bucket(&self, uuid: &str) -> Result<(), LoadError> {
        let other = |what: String| LoadError::OtherContainer {
            location: self.container.location().to_owned(),
            what,
        };
        let found = match self
            .runtime
            .block_on(self.container.get(&bucket_name(), BUCKET_BYTES))
        {
            Err(error) if matches!(error.kind(), ContainerErrorKind::BlobMissing) => {
                return Err(other(match self.options.container {
                    ContainerLocation::Azure { .. } => "it has no bucket object".to_owned(),
                    ContainerLocation::Folder { .. } => {
                        "it has no bucket object; mount its disk if it lies on one".to_owned()
                    }
                }));
            }
            found => found?,
        };
        match bucket_uuid(&found) {
            Some(found) if found == uuid => Ok(()),
            Some(found) => Err(other(format!("its bucketUUID is {found}, not {uuid}"))),
            None => Err(other("its bucket object cannot be read".to_owned())),
        }
    }
}

/// Returns `bucketUUID` of a bucket object.
fn bucket_uuid(blob: &[u8]) -> Option<String> {
    let payload = clfs_format::unwrap(blob, PAYLOAD_BYTES).ok()?;
    match clfs_format::Object::decode(&clfs_format::ObjectName::bucket(), &payload).ok()? {
        clfs_format::Object::Bucket(Bucket { attributes, .. }) => {
            attributes.get("bucketUUID").map(str::to_owned)
        }
        _ => None,
    }
}
