//! What extensions put into the demo tenants of `bulkhead dev`.

use std::{fmt, sync::Arc};

use bulkhead_db::{DbResult, TenantTx};
use chrono::{DateTime, Utc};
use futures::future::LocalBoxFuture;

/// A demo tenant while it is made.
#[derive(Debug)]
pub struct Demo {
    /// Now.
    pub at: DateTime<Utc>,
    /// The id of the tenant's API key, as text: who makes what is made.
    pub subject: String,
}

type Furnish =
    Arc<dyn for<'a> Fn(&'a mut TenantTx, &'a Demo) -> LocalBoxFuture<'a, DbResult<()>> + Send + Sync>;

/// What one extension puts into each demo tenant.
#[derive(Clone)]
pub(crate) struct Seed(Furnish);

impl Seed {
    pub(crate) fn new<S>(seed: S) -> Self
    where
        S: for<'a> AsyncFn(&'a mut TenantTx, &'a Demo) -> DbResult<()> + Copy + Send + Sync + 'static,
    {
        Self(Arc::new(move |tx, demo| Box::pin(async move { seed(tx, demo).await })))
    }

    pub(crate) async fn run(&self, tx: &mut TenantTx, demo: &Demo) -> DbResult<()> {
        (self.0)(tx, demo).await
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}
