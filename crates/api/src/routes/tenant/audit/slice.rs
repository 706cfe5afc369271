//! A slice of an audit log on its way to the client: read, hashed and sent piece by piece, in one transaction, signed at the end.
//!
//! A reader that takes nothing for a while would hold that transaction: its file is cut off. A file that was cut off has no
//! signature, so nobody takes it for whole.

use std::{fmt, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, header},
};
use bulkhead_auth::{AuditSigner, Signed};
use bulkhead_db::{
    DbError, DbResult, PlatformTx, TenantTx,
    audit::{
        Chain, FileDigest, hex, moment,
        slice::{EXPORT, Heading, Line, Seal},
    },
    platform,
    tenant::{
        self,
        audit::{Placed, Slice},
    },
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::{self, Sender},
    time::timeout,
};
use tracing::Instrument;
use utoipa::IntoParams;

use crate::http::{
    call::{OperatorCall, TenantCall},
    error::ApiError,
    extract::optional_time,
    state::AppState,
};

/// Entries that are read at a time.
const ENTRIES: i64 = 200;
/// Pieces that wait for the reader.
const WAITING: usize = 2;
/// How long the reader may take none.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_mins(10);

/// Which slice.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SliceQuery {
    /// The beginning, inclusive; a day before `to` if left out. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    from: Option<DateTime<Utc>>,
    /// The end, exclusive; now if left out. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    to: Option<DateTime<Utc>>,
}

impl SliceQuery {
    fn stretch(&self, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), ApiError> {
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or(to - TimeDelta::days(1));
        if from < to {
            return Ok((from, to));
        }
        let name = if self.from.is_some() { "from" } else { "to" };
        Err(ApiError::InvalidParameter {
            name,
            detail: "must leave some time between from and to".to_owned(),
        })
    }
}

/// A transaction in which a log and its chain can be read.
pub(crate) trait SliceTx {
    async fn slice(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> DbResult<Slice>;
    async fn placed(&mut self, after: i64, last: i64) -> DbResult<Vec<Placed>>;
}

impl SliceTx for TenantTx {
    async fn slice(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> DbResult<Slice> {
        tenant::audit::slice(self, from, to).await
    }

    async fn placed(&mut self, after: i64, last: i64) -> DbResult<Vec<Placed>> {
        tenant::audit::placed(self, after, last, ENTRIES).await
    }
}

impl SliceTx for PlatformTx {
    async fn slice(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> DbResult<Slice> {
        platform::audit::slice(self, from, to).await
    }

    async fn placed(&mut self, after: i64, last: i64) -> DbResult<Vec<Placed>> {
        platform::audit::placed(self, after, last, ENTRIES).await
    }
}

/// A call by somebody whose log is exported.
pub(crate) trait Audited: 'static {
    type Tx: SliceTx;

    fn chain(&self) -> Chain;
    fn now(&self) -> DateTime<Utc>;
    fn app(&self) -> &AppState;

    /// Reads with statements that see the same moment.
    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut Self::Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError>;
}

impl Audited for TenantCall {
    type Tx = TenantTx;

    fn chain(&self) -> Chain {
        Chain::Tenant(self.tenant())
    }

    fn now(&self) -> DateTime<Utc> {
        self.at()
    }

    fn app(&self) -> &AppState {
        self.state()
    }

    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.snapshot(work).await
    }
}

impl Audited for OperatorCall {
    type Tx = PlatformTx;

    fn chain(&self) -> Chain {
        Chain::Platform
    }

    fn now(&self) -> DateTime<Utc> {
        self.at()
    }

    fn app(&self) -> &AppState {
        self.state()
    }

    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.read(work).await
    }
}

/// Answers with the file. What goes wrong before its first piece is there is answered as a problem.
pub(crate) async fn respond<Caller: Audited>(
    call: Caller,
    query: &SliceQuery,
    request: &HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (from, to) = query.stretch(call.now())?;
    let mut response = head(call.chain());
    if request.method() == Method::HEAD {
        return Ok(response.streaming(stream::empty::<Result<Bytes, End>>()));
    }
    let signer = AuditSigner::load(&call.app().db, &call.app().keyring).await.map_err(ApiError::internal)?;
    let (pieces, mut ready) = mpsc::channel(WAITING);
    let work = async move {
        let writer = Writer { chain: call.chain(), now: call.now(), signer, pieces };
        let write = async |tx: &mut Caller::Tx| Ok(writer.write(tx, from, to).await);
        let written = match timeout(LONGEST, call.look(write)).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => Err(End::Failed(error)),
            Err(_elapsed) => Err(End::TooSlow),
        };
        if let Err(end) = written {
            tracing::warn!(%end, "an export of an audit log was cut off");
            // The reader may be gone as well.
            let _gone = timeout(PATIENCE, writer.pieces.send(Err(end))).await;
        }
    };
    actix_web::rt::spawn(work.in_current_span());
    let first = match ready.recv().await {
        Some(Ok(piece)) => piece,
        Some(Err(End::Failed(error))) => return Err(error),
        Some(Err(End::TooSlow)) | None => return Err(ApiError::internal("an export has no beginning")),
    };
    let rest = stream::unfold(ready, async |mut ready| Some((ready.recv().await?, ready)));
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    Ok(response.streaming(Box::pin(body)))
}

fn head(chain: Chain) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    let file = format!("attachment; filename=\"audit-{chain}.ndjson\"");
    response.content_type("application/x-ndjson").insert_header((header::CONTENT_DISPOSITION, file));
    response
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

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// What is sent, and where to.
struct Writer {
    chain: Chain,
    now: DateTime<Utc>,
    signer: AuditSigner,
    pieces: Sender<Result<Bytes, End>>,
}

impl Writer {
    async fn write<Tx: SliceTx>(
        &self,
        tx: &mut Tx,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<(), End> {
        let Slice { numbers, previous } = tx.slice(from, to).await?;
        let mut digest = FileDigest::default();
        let heading = Heading {
            form: EXPORT.to_owned(),
            chain: self.chain.to_string(),
            first: numbers.map(|(first, _)| first),
            last: numbers.map(|(_, last)| last),
            previous: hex(&previous),
            exported_at: moment(self.now),
        };
        let mut piece = line(&heading)?;
        let (mut after, last) = numbers.map_or((0, 0), |(first, last)| (first - 1, last));
        while after < last {
            let entries = tx.placed(after, last).await?;
            // An entry that is not there any more ends the file early, and the verifier says where.
            let Some(end) = entries.last().map(|placed| placed.sequence) else { break };
            for Placed { sequence, entry, hash } in entries {
                piece.extend(line(&Line::of(sequence, entry, &hash))?);
            }
            digest.update(&piece);
            self.send(std::mem::take(&mut piece)).await?;
            after = end;
        }
        digest.update(&piece);
        let signature = self.signer.sign(Signed::Export, &digest.finish()).map_err(ApiError::internal)?;
        let seal = Seal { kid: signature.kid, alg: "RS256".to_owned(), signature: signature.text };
        piece.extend(line(&seal)?);
        self.send(piece).await
    }

    async fn send(&self, piece: Vec<u8>) -> Result<(), End> {
        match timeout(PATIENCE, self.pieces.send(Ok(piece.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(End::TooSlow),
            Err(_elapsed) => Err(End::TooSlow),
        }
    }
}

fn line(of: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    let mut line = serde_json::to_vec(of).map_err(ApiError::internal)?;
    line.push(b'\n');
    Ok(line)
}
