//! Where photos are kept: one local folder, or S3, shared by all replicas.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::domain::PhotoId;

/// The store.
#[derive(Debug, Clone)]
pub struct Photos(Arc<dyn ObjectStore>);

/// The store that a URL names.
pub fn open(url: &str) -> anyhow::Result<Photos> {
    if let Some(folder) = url.strip_prefix("file://") {
        std::fs::create_dir_all(folder)?;
        return Ok(Photos(Arc::new(LocalFileSystem::new_with_prefix(folder)?)));
    }
    anyhow::ensure!(url.starts_with("s3://"), "HAIQU_PHOTO_STORE must be file:///folder or s3://bucket");
    Ok(Photos(Arc::new(AmazonS3Builder::from_env().with_url(url).build()?)))
}

impl Photos {
    /// Keeps a picture under its id; keeping it again changes nothing.
    pub async fn keep(&self, id: PhotoId, jpeg: Vec<u8>) -> object_store::Result<()> {
        self.0.put(&Path::from(format!("{id}.jpg")), jpeg.into()).await.map(|_| ())
    }
}
