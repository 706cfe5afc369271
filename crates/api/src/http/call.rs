//! What a handler works with: who calls what, and transactions inside that caller's walls.
//!
//! Owns the three ways that a handler has to the database (`read`, `snapshot`, `write`) and what every write has: it happens
//! once per `Idempotency-Key`, its audit entry commits with it, and its answer is given after the commit. A write has to say
//! what the audit log shall hold, or that there is nothing: [`Written`] cannot be made without. What a key stands for, the
//! body included, is taken from the request itself; a body that is not read with `Json` is no part of it. Refuses a
//! second write in one request: the key would answer it with what the first one has kept.
//!
//! The pipeline has verified the credential and the permission before a call can be had.

mod background;
mod operator;

pub(crate) use operator::AnyCall;
pub use operator::OperatorCall;

use std::{
    cell::{Cell, OnceCell},
    fmt::{self, Display},
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use bulkhead_auth::Principal;
use bulkhead_db::{DbError, JsonText, Page, TenantTx, gate::usage, tenant::audit::Entry};
use bulkhead_domain::{
    JsonContent, Proven, Role, SessionId, TenantId, UserId,
    metering::{MeterKind, MeterName, Quantity},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::http::{
    answer::Answer,
    context::{self, Context},
    error::ApiError,
    extract::{IdempotencyKey, PageResponse, next_link},
    idempotency::{IdempotencyStore, IdempotentWrite},
    state::AppState,
};

/// What a write leaves behind: its answer, and what the audit log keeps of it.
#[derive(Debug)]
#[must_use]
pub struct Written {
    answer: Answer,
    change: Option<Change>,
}

#[derive(Debug)]
struct Change {
    target: String,
    changes: Value,
}

impl Written {
    /// The write has changed `target`, the id of a thing. `changes` tells the audit log what is different now; never put a
    /// secret into it.
    pub fn changed(target: impl Display, changes: Value, answer: Answer) -> Self {
        Self { answer, change: Some(Change { target: target.to_string(), changes }) }
    }

    /// Everything is already as the caller wants it: nothing was written, so there is nothing for the audit log.
    pub const fn unchanged(answer: Answer) -> Self {
        Self { answer, change: None }
    }
}

/// One request, from its admission to its answer, for a handler of any caller.
struct Call {
    state: Data<AppState>,
    request: HttpRequest,
    context: Rc<Context>,
    key: IdempotencyKey,
    principal: Principal,
    subject: OnceCell<String>,
    at: OnceCell<DateTime<Utc>>,
    /// Whether the handler has begun a write.
    has_written: Cell<bool>,
}

impl Call {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let state = request.app_data::<Data<AppState>>().ok_or_else(|| ApiError::internal("no state"))?;
        let context = context::of(request).ok_or_else(|| ApiError::internal("no context"))?;
        let principal = context.principal.get().ok_or_else(wrong_caller)?;
        Ok(Self {
            state: state.clone(),
            request: request.clone(),
            context,
            key: IdempotencyKey::of(request)?,
            principal,
            subject: OnceCell::new(),
            at: OnceCell::new(),
            has_written: Cell::new(false),
        })
    }

    fn subject(&self) -> &str {
        self.subject.get_or_init(|| self.principal.subject().to_string())
    }

    fn at(&self) -> DateTime<Utc> {
        *self.at.get_or_init(|| self.state.clock.now())
    }

    fn once(&self) -> IdempotentWrite<'_> {
        let body = self.context.body.borrow();
        IdempotentWrite::new(
            &self.state.keyring,
            &self.key,
            self.context.operation,
            self.subject(),
            &body,
            self.at(),
        )
    }

    /// The one write of the request, named ahead of its transaction: that reads the whole body.
    fn begin_write(&self) -> Result<IdempotentWrite<'_>, ApiError> {
        if self.has_written.replace(true) {
            let operation = self.context.operation;
            return Err(ApiError::internal(format!("{operation} writes twice in one request")));
        }
        Ok(self.once())
    }

    /// Does the work once, and keeps its audit entry and its answer with it.
    async fn keep<Tx: IdempotencyStore>(
        &self,
        once: &IdempotentWrite<'_>,
        tx: &mut Tx,
        work: impl AsyncFnOnce(&mut Tx) -> Result<Written, ApiError>,
    ) -> Result<Answer, ApiError> {
        let audited = async |tx: &mut Tx| {
            let Written { answer, change } = work(tx).await?;
            if let Some(Change { target, changes }) = change {
                let act = self.principal.act().map(|operator| operator.to_string());
                let address = self.context.client.to_string();
                let entry = Entry {
                    at: self.at(),
                    actor: self.subject(),
                    act: act.as_deref(),
                    action: self.context.operation,
                    target: &target,
                    request_id: self.context.id.as_str(),
                    address: Some(&address),
                    changes,
                };
                tx.audit(&entry).await?;
            }
            Ok(answer)
        };
        once.run(tx, audited).await
    }

    fn page<Row, Id: Display, View: Serialize>(
        &self,
        page: Page<Row>,
        id: impl Fn(&Row) -> Id,
        view: impl Fn(Row) -> View,
    ) -> Result<Answer, ApiError> {
        let next_cursor = page.rows.last().filter(|_| page.more).map(|row| id(row).to_string());
        let link = next_cursor.as_deref().map(|cursor| next_link(&self.request, cursor));
        let data = page.rows.into_iter().map(view).collect();
        Ok(Answer::ok(&PageResponse { data, next_cursor })?.link(link))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.context.operation)
            .field("request_id", &self.context.id)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// The parts of a call that do not depend on who calls.
macro_rules! common {
    ($tx:ty) => {
        /// Now: the same moment however often it is asked for during a call.
        pub fn at(&self) -> DateTime<Utc> {
            self.call.at()
        }

        /// The caller's role, with what it holds.
        pub const fn role(&self) -> &Role {
            self.call.principal.role()
        }

        /// The caller's id as text: a user's or an API key's, or an operator's.
        pub fn subject(&self) -> &str {
            self.call.subject()
        }

        /// The answer with a page of a list, and with a link to the next page (RFC 8288). `id` names the cursor of a row, which
        /// is the `after` of the next page.
        pub fn page<Row, Id: Display, View: Serialize>(
            &self,
            page: Page<Row>,
            id: impl Fn(&Row) -> Id,
            view: impl Fn(Row) -> View,
        ) -> Result<Answer, ApiError> {
            self.call.page(page, id, view)
        }

        /// The answer that the request's `Idempotency-Key` was given before, if it was given one. A handler asks for
        /// it ahead of expensive work, which a repeated request does not need. Whether the request is answered now is
        /// still for [`Self::write`] to say.
        pub async fn answered(&self, tx: &mut $tx) -> Result<Option<Answer>, ApiError> {
            self.call.once().answered(tx).await
        }
    };
}
use common;

/// A call by a tenant's principal.
#[derive(Debug)]
pub struct TenantCall {
    call: Call,
    tenant: Proven<TenantId>,
}

impl TenantCall {
    common!(TenantTx);

    /// The id of the operation, as the OpenAPI document and the audit log name it.
    pub fn operation(&self) -> &'static str {
        self.call.context.operation
    }

    /// The request's id, which answers, logs and the audit log name.
    pub fn request_id(&self) -> &str {
        self.call.context.id.as_str()
    }

    /// The tenant, which the credential has proven.
    pub fn tenant(&self) -> TenantId {
        self.tenant.get()
    }

    /// A body's field of any JSON, to be kept to the letter: an object of at most as many bytes as the settings allow. It was
    /// checked where the body was read; one that was refused there is refused here (422 `validation-failed`).
    pub fn content(&self, content: JsonContent) -> Result<JsonText, ApiError> {
        let kept = content.within(self.call.state.options.data_limit);
        kept.map(JsonText::from).map_err(|fault| ApiError::field(&fault.pointer, fault.to_string()))
    }

    /// The caller, whose credential was verified.
    pub(crate) const fn principal(&self) -> &Principal {
        &self.call.principal
    }

    /// The user or operator who calls, and their session. API keys, and operators who impersonate a user, are refused: they have no
    /// session of that user.
    pub(crate) fn person(&self) -> Result<(UserId, SessionId), ApiError> {
        match self.call.principal {
            Principal::User { id, session, acting: None, .. } => Ok((id, session)),
            Principal::User { acting: Some(_), .. }
            | Principal::ApiKey { .. }
            | Principal::Operator { .. }
            | Principal::OperatorKey { .. } => Err(ApiError::PersonRequired),
        }
    }

    /// What this process works with beside the database.
    pub(crate) fn state(&self) -> &AppState {
        &self.call.state
    }

    /// Counts what the transaction does, in the meter's unit. The quantity is billed once, when the transaction is
    /// committed, whatever becomes of the answer and however often the answer is given again. For a meter of whole
    /// things, a quantity that is not whole is an error.
    pub async fn count(
        &self,
        tx: &mut TenantTx,
        meter: MeterName,
        quantity: Quantity,
    ) -> Result<(), ApiError> {
        Ok(usage::count(tx, meter, quantity).await?)
    }

    /// Counts what the request does beside being a request, in the meter's unit and in the minute in which the request began. The
    /// quantity is stored with the request's own usage before the answer is sent, and billed when the request is: a request
    /// that is refused (401, 403, 429) or that we fail to answer (from 500 on) counts nothing. What a write has done belongs
    /// into [`Self::count`]. The sum that one request counts of a meter is at most [`Quantity::MAX`]. For a meter of whole
    /// things, a quantity that is not whole is an error.
    pub fn count_request(&self, meter: MeterName, quantity: Quantity) -> Result<(), ApiError> {
        let declared = self.call.state.meters.find(meter.as_str());
        if declared.is_some_and(|declared| declared.kind() == MeterKind::Count) && !quantity.is_whole() {
            return Err(ApiError::internal(format!("the meter {meter} counts whole things, not {quantity}")));
        }
        self.call.context.count(meter, quantity);
        Ok(())
    }

    /// Reads with one statement. On a connection that has run the statement before, the whole transaction is one
    /// message. A second statement fails; [`Self::snapshot`] takes several. Let `work` return what the query returns,
    /// so that the compiler knows the type of its error.
    pub async fn read<T, E>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, ApiError>
    where
        E: From<DbError>,
        ApiError: From<E>,
    {
        Ok(std::pin::pin!(self.call.state.db.read(self.tenant, work)).await?)
    }

    /// Reads with several statements that see the same moment.
    pub async fn snapshot<T>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.call.state.db.snapshot(self.tenant, work).await
    }

    /// Writes: once per `Idempotency-Key`, with its audit entry, and committed before it returns. An error of `work` undoes all
    /// of it. A request writes once: a second call is an error, also after one that has failed.
    pub async fn write(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<Written, ApiError>,
    ) -> Result<Answer, ApiError> {
        let once = self.call.begin_write()?;
        self.call.state.db.write(self.tenant, async |tx| self.call.keep(&once, tx, work).await).await
    }

    fn from_call(call: Call) -> Result<Self, ApiError> {
        let tenant = call.principal.tenant().ok_or_else(wrong_caller)?;
        Ok(Self { call, tenant })
    }
}

impl FromRequest for TenantCall {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Call::of(request).and_then(Self::from_call))
    }
}

/// The route table lets another kind of caller in than the handler takes.
fn wrong_caller() -> ApiError {
    ApiError::internal("the operation's access admits other callers than its handler takes")
}
