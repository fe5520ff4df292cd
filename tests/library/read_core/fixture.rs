//! A container in memory that counts its calls, and a runtime.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, PutBody};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, ReadError, Reader};

use crate::support::counting::Counting;

pub(crate) type Counted = Arc<Counting<InMemory>>;

pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

pub(crate) async fn container<B: Into<Bytes>>(
    blobs: impl IntoIterator<Item = (String, B)>,
) -> Counted {
    let memory = InMemory::new();
    for (name, content) in blobs {
        let name = BlobName::new(name).unwrap();
        let body = PutBody::object(content.into());
        memory.put(&name, body).await.unwrap();
    }
    Arc::new(Counting::new(memory))
}

/// Opens a reader. With `complete`, it lists all names first.
pub(crate) async fn open(container: &Counted, complete: bool) -> Result<Arc<Reader>, ReadError> {
    let container: Arc<dyn Container> = container.clone();
    let options = OpenOptions::default();
    let plan = ListingPlan::Sequential;
    let reader = Reader::with_container(container, "memory", plan, complete, &options).await?;
    Ok(Arc::new(reader))
}
