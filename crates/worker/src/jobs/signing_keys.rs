//! Keeps a key published ahead that can take over signing, and removes those whose tokens have all expired.

use std::time::Duration;

use bulkhead_auth::rotation::PUBLISHED_BEHIND;
use bulkhead_db::{
    Authority, DbError,
    platform::signing_keys::{self, ACTIVE, STANDBY},
};
use bulkhead_jobs::TendSigningKeys;
use serde_json::json;

use crate::{Finished, JobError, JobHandler, JobRun};

/// Retry: everything. Each step looks at what is there, and of two runs that make a key at once one stores it.
impl JobHandler for TendSigningKeys {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let db = &run.environment().db;
        let read = async |tx: &mut _| signing_keys::list(tx).await;
        let keys = db.platform_read::<_, DbError>(Authority::machinery(), read).await?;
        let is_there = |state| keys.iter().any(|key| key.state == state);
        let now = run.now();
        let made = if is_there(ACTIVE) && is_there(STANDBY) {
            None
        } else {
            let made = run.environment().signing_key_maker.make().await;
            Some(made.map_err(|error| JobError::retry(error.to_string()))?)
        };
        run.finish(async |tx| {
            let mut published = None;
            if let Some(key) = &made {
                // Without an active key no person can log in: a platform whose keys were all deleted by hand.
                let stored = if is_there(ACTIVE) {
                    signing_keys::insert_standby(tx, key).await?
                } else {
                    signing_keys::insert_first(tx, &key.kid, &key.public_jwk, &key.sealed_private, now)
                        .await?
                };
                published = stored.then_some(&key.kid);
            }
            let deleted = signing_keys::delete_outlived(tx, PUBLISHED_BEHIND).await?;
            if let Some(kid) = published {
                run.record(tx, "publish_signing_key", kid, json!({})).await?;
            }
            for kid in &deleted {
                run.record(tx, "delete_signing_key", kid, json!({})).await?;
            }
            if published.is_some() || !deleted.is_empty() {
                tracing::info!(?published, ?deleted, "signing keys have taken their next steps");
            }
            Ok(Some(json!({ "published": published, "deleted": deleted })))
        })
        .await
    }
}
