//! A call by an operator, and of an operation that operators share with tenants' principals.

use std::{
    fmt::Display,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use bulkhead_auth::Principal;
use bulkhead_db::{Authority, DbError, Page, PlatformTx};
use bulkhead_domain::{OperatorId, Proven, Role, SessionId};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Call, TenantCall, Written, common, wrong_caller};
use crate::http::{answer::Answer, error::ApiError, state::AppState};

/// A call by an operator, or by a program of one.
#[derive(Debug)]
pub struct OperatorCall {
    call: Call,
    id: Proven<OperatorId>,
}

impl OperatorCall {
    common!(PlatformTx);

    /// The operator, whose credential has proven it.
    pub(crate) fn id(&self) -> OperatorId {
        self.id.get()
    }

    /// The operator, and their log-in; refuses keys.
    pub(crate) fn person(&self) -> Result<(OperatorId, SessionId), ApiError> {
        let session = self.call.principal.session().ok_or(ApiError::PersonRequired)?;
        Ok((self.id.get(), session))
    }

    /// The id of the operation, as the OpenAPI document and the audit log name it.
    pub(crate) fn operation(&self) -> &'static str {
        self.call.context.operation
    }

    /// The request's id, which answers, logs and the audit log name.
    pub(crate) fn request_id(&self) -> &str {
        self.call.context.id.as_str()
    }

    /// The client's address, as its outermost trusted proxy has seen it.
    pub(crate) fn client(&self) -> String {
        self.call.state.client(&self.call.request).to_string()
    }

    /// The right to work on the platform's tables.
    pub(crate) const fn authority(&self) -> Authority {
        Authority::operator(self.id)
    }

    /// What this process works with beside the database.
    pub(crate) fn state(&self) -> &AppState {
        &self.call.state
    }

    /// Reads the platform's tables, with statements that see the same moment.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, E>,
    ) -> Result<T, ApiError>
    where
        E: From<DbError>,
        ApiError: From<E>,
    {
        Ok(self.call.state.db.platform_read(self.authority(), work).await?)
    }

    /// Writes to the platform's tables; otherwise as [`TenantCall::write`].
    pub(crate) async fn write(
        &self,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<Written, ApiError>,
    ) -> Result<Answer, ApiError> {
        let once = self.call.begin_write()?;
        let keep = async |tx: &mut PlatformTx| self.call.keep(&once, tx, work).await;
        self.call.state.db.platform_write(self.authority(), keep).await
    }

    fn from_call(call: Call) -> Result<Self, ApiError> {
        match call.principal {
            Principal::Operator { id, .. } | Principal::OperatorKey { operator: id, .. } => {
                Ok(Self { call, id })
            }
            Principal::User { .. } | Principal::ApiKey { .. } => Err(wrong_caller()),
        }
    }
}

impl FromRequest for OperatorCall {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Call::of(request).and_then(Self::from_call))
    }
}

/// A call of an operation that tenants' principals and operators may use.
#[derive(Debug)]
pub(crate) enum AnyCall {
    /// By a tenant's principal.
    Tenant(TenantCall),
    /// By an operator.
    Operator(OperatorCall),
}

impl FromRequest for AnyCall {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Call::of(request).and_then(|call| match call.principal {
            Principal::Operator { .. } | Principal::OperatorKey { .. } => {
                OperatorCall::from_call(call).map(Self::Operator)
            }
            Principal::User { .. } | Principal::ApiKey { .. } => {
                TenantCall::from_call(call).map(Self::Tenant)
            }
        }))
    }
}
