//! Writes the heads of the audit logs' chains to a place outside of the database.
//!
//! Owns one file for each time, under a name that has not been there: nothing is overwritten. What keeps the files from being changed
//! later is the place's to provide (another account's machine, a file system or bucket that only takes new files).

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bulkhead_auth::{AuditKeyError, AuditSigner, Keyring, Signed, SigningKeyError};
use bulkhead_aws::s3::{Bucket, PutError};
use bulkhead_db::{
    Authority, Db, DbError, PlatformTx,
    audit::{anchor, slice::Seal},
    platform::audit,
};
use chrono::{DateTime, Utc};

/// Where heads are written.
#[derive(Clone, Debug)]
pub enum AnchorPlace {
    /// A directory.
    Directory(PathBuf),
    /// A bucket of S3.
    Bucket {
        /// The way there.
        bucket: Bucket,
        /// What the names of files begin with.
        prefix: String,
    },
}

/// Where heads are written, and the keyring whose key signs them.
#[derive(Clone, Debug)]
pub struct Anchoring {
    /// Opens the key.
    pub keyring: Arc<Keyring>,
    /// The place.
    pub place: AnchorPlace,
}

/// Why the heads were not written.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// They could not be read.
    #[error(transparent)]
    Database(#[from] DbError),
    /// They could not be signed.
    #[error("the audit key: {0}")]
    Key(#[from] AuditKeyError),
    /// They could not be put into a file.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The place does not take them.
    #[error("{place}: {error}")]
    Place {
        /// Which place.
        place: String,
        /// What it said.
        error: std::io::Error,
    },
    /// The bucket does not take them.
    #[error("{place}: {error}")]
    Bucket {
        /// Which place.
        place: String,
        /// What it said.
        error: PutError,
    },
}

impl From<SigningKeyError> for AnchorError {
    fn from(error: SigningKeyError) -> Self {
        Self::Key(error.into())
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub place: String,
    /// The heads of how many chains.
    pub chains: usize,
}

impl Anchoring {
    /// Reads the heads of all chains, signs them, writes them to the place, and remembers that.
    pub async fn write(&self, db: &Db, now: DateTime<Utc>) -> Result<Written, AnchorError> {
        let signer = AuditSigner::load(db, &self.keyring).await?;
        let read = async |tx: &mut PlatformTx| audit::heads(tx).await;
        let heads = db.platform_read::<_, DbError>(Authority::machinery(), read).await?;
        let file = anchor::write(now, &heads, |digest| {
            let signature = signer.sign(Signed::Anchor, digest)?;
            let seal = Seal { kid: signature.kid, alg: "RS256".to_owned(), signature: signature.text };
            Ok::<_, AnchorError>(seal)
        })?;
        let name = format!("audit-anchor-{}.ndjson", now.format("%Y%m%dT%H%M%S%3fZ"));
        let place = self.put(&name, file).await?;
        let chains = heads.len();
        let keep = async |tx: &mut PlatformTx| audit::anchored(tx, now, &place, chains).await;
        db.platform_write::<_, DbError>(Authority::machinery(), keep).await?;
        Ok(Written { place, chains })
    }

    async fn put(&self, name: &str, file: Vec<u8>) -> Result<String, AnchorError> {
        match &self.place {
            AnchorPlace::Directory(directory) => {
                let path = directory.join(name);
                let place = path.display().to_string();
                let written = tokio::task::spawn_blocking(move || put_file(&path, &file)).await;
                let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                written.map_err(|error| AnchorError::Place { place: place.clone(), error })?;
                Ok(place)
            }
            AnchorPlace::Bucket { bucket, prefix } => {
                let key = format!("{prefix}{name}");
                let place = format!("s3://{}/{key}", bucket.name());
                let put = bucket.put_new(&key, "application/x-ndjson", &file).await;
                put.map_err(|error| AnchorError::Bucket { place: place.clone(), error })?;
                Ok(place)
            }
        }
    }
}

/// Makes the file, which must not be there, and waits until it is on the disk. It has its name only when it is whole.
fn put_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Unlike a change of name, this fails when there is such a file.
    let named = fs::hard_link(&partial, path);
    fs::remove_file(&partial)?;
    named
}

#[cfg(test)]
mod tests {
    use bulkhead_servers::Scratch;

    use super::*;

    #[test]
    fn a_file_that_is_there_is_left_as_it_is() {
        let scratch = Scratch::new().unwrap();
        let directory = scratch.path().join("anchors");
        fs::create_dir(&directory).unwrap();
        let path = directory.join("audit-anchor-1.ndjson");
        put_file(&path, b"first").unwrap();
        let again = put_file(&path, b"second").unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left of the second");
    }
}
