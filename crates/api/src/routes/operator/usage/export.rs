//! Every tenant's month as one CSV file, sent while it is read: however many tenants there are, only some of them are in
//! memory.
//!
//! All of it is read in one transaction, so that the figures belong together. A reader that takes nothing for a while, or takes
//! very long, would hold that transaction and a connection: its file is cut off. A file that is cut off, for whatever reason,
//! does not end as a transfer should (RFC 9112 section 8), so no client takes it for whole. HTTP/1.0 has no such end.

use std::{fmt, time::Duration};

use actix_web::HttpResponse;
use bulkhead_db::{DbError, PageRequest, PlatformTx, platform::usage};
use bulkhead_domain::metering::MeterRegistry;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use tokio::{
    sync::mpsc::{self, Sender},
    time::timeout,
};
use tracing::Instrument;

use crate::{
    http::{call::OperatorCall, error::ApiError},
    routes::tenant::usage::{Period, UsageReport, csv},
};

/// Tenants that are read at a time.
const TENANTS: u16 = 100;
/// Pieces that wait for the reader.
const WAITING: usize = 2;
/// How long the reader may take none.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_mins(10);

/// Answers a question about the file (HEAD): nothing is read, for nothing of it would be sent.
pub(super) fn head(period: Period) -> HttpResponse {
    csv::head(&file(period)).streaming(stream::empty::<Result<Bytes, End>>())
}

fn file(period: Period) -> String {
    format!("usage-{period}")
}

/// Answers with the file. What goes wrong before its first piece is there is answered as a problem.
pub(super) async fn respond(
    call: &OperatorCall,
    period: Period,
    as_of: DateTime<Utc>,
) -> Result<HttpResponse, ApiError> {
    let (pieces, mut ready) = mpsc::channel(WAITING);
    let state = call.state();
    let (db, authority, meters) = (state.db.clone(), call.authority(), state.meters.clone());
    let work = async move {
        let write = async |tx: &mut PlatformTx| write(tx, period, as_of, &meters, &pieces).await;
        let written = timeout(LONGEST, db.platform_read(authority, write)).await.unwrap_or(Err(End::TooSlow));
        if let Err(end) = written {
            tracing::warn!(%end, "a usage report was cut off");
            // The reader may be gone as well.
            let _gone = timeout(PATIENCE, pieces.send(Err(end))).await;
        }
    };
    actix_web::rt::spawn(work.in_current_span());
    let first = match ready.recv().await {
        Some(Ok(piece)) => piece,
        Some(Err(End::Failed(error))) => return Err(error),
        Some(Err(End::TooSlow)) | None => return Err(ApiError::internal("a usage report has no beginning")),
    };
    let rest = stream::unfold(ready, async |mut ready| Some((ready.recv().await?, ready)));
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    Ok(csv::head(&file(period)).streaming(Box::pin(body)))
}

/// Why a file was cut off.
#[derive(Debug)]
enum End {
    /// The reader has taken nothing for too long, or has gone, or all of it takes too long.
    TooSlow,
    /// It cannot be read or written.
    Failed(ApiError),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("the reader was too slow, or has gone"),
            Self::Failed(error) => write!(f, "{} ({error:?})", error.code()),
        }
    }
}

impl std::error::Error for End {}

impl From<DbError> for End {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads all tenants and hands them on, piece by piece.
async fn write(
    tx: &mut PlatformTx,
    period: Period,
    as_of: DateTime<Utc>,
    meters: &MeterRegistry,
    pieces: &Sender<Result<Bytes, End>>,
) -> Result<(), End> {
    let mut next = PageRequest { after: None, limit: TENANTS };
    loop {
        let page = usage::totals_of_all(tx, period.from, period.until, next).await?;
        let is_first = next.after.is_none();
        next.after = page.rows.last().map(|totals| totals.tenant.uuid());
        let reports: Vec<UsageReport> =
            page.rows.into_iter().map(|totals| UsageReport::new(totals, period, as_of, meters)).collect();
        let piece = csv::table(&reports, is_first).map_err(End::Failed)?;
        match timeout(PATIENCE, pieces.send(Ok(piece))).await {
            Ok(Ok(())) if page.more => {}
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_gone)) => return Err(End::TooSlow),
            Err(_elapsed) => return Err(End::TooSlow),
        }
    }
}
