//! Who calls. The pipeline has verified the credential and the permission; these hand the result to handlers that may
//! only run for a tenant's principal, or only for an operator.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use bulkhead_auth::Principal;
use bulkhead_db::{
    Authority, DbResult, PlatformTx, TenantTx, platform,
    tenant::{self, audit::Entry},
};
use bulkhead_domain::{OperatorId, OperatorRole, Proven, Role, TenantId};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::http::{
    context::{self, RequestId},
    error::ApiError,
};

/// A caller of an operation that tenants and operators may use.
#[derive(Clone, Debug)]
pub(crate) enum AnyCaller {
    /// A tenant's principal.
    Tenant(TenantCaller),
    /// An operator.
    Operator(OperatorCaller),
}

impl FromRequest for AnyCaller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let tenant = TenantCaller::of(request).map(Self::Tenant);
        ready(admitted(tenant.or_else(|| OperatorCaller::of(request).map(Self::Operator))))
    }
}

/// A tenant's principal.
#[derive(Clone, Debug)]
pub(crate) struct TenantCaller {
    /// The tenant, proven by the credential.
    pub(crate) tenant: Proven<TenantId>,
    /// The user's or the key's id.
    pub(crate) subject: String,
    /// What it may do.
    pub(crate) role: Role,
    request: RequestId,
    operation: &'static str,
}

impl TenantCaller {
    /// Writes an audit row about the running operation.
    pub(crate) async fn audit(
        &self,
        tx: &mut TenantTx,
        at: DateTime<Utc>,
        target: &impl ToString,
        changes: Value,
    ) -> DbResult<()> {
        let target = target.to_string();
        let entry = Entry {
            at,
            actor: &self.subject,
            action: self.operation,
            target: &target,
            request_id: self.request.as_str(),
            changes,
        };
        tenant::audit::record(tx, &entry).await
    }

    /// The request's caller, if it is one.
    fn of(request: &HttpRequest) -> Option<Self> {
        let caller = context::with(request, |context| {
            let (tenant, role) = match context.principal.as_ref()? {
                Principal::User { tenant, role, .. } | Principal::ApiKey { tenant, role, .. } => {
                    (*tenant, *role)
                }
                Principal::Operator { .. } => return None,
            };
            let subject = context.principal.as_ref()?.subject();
            Some(Self { tenant, subject, role, request: context.id.clone(), operation: context.operation })
        });
        caller.flatten()
    }
}

impl FromRequest for TenantCaller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted(Self::of(request)))
    }
}

/// An operator.
#[derive(Clone, Debug)]
pub(crate) struct OperatorCaller {
    /// Which one.
    pub(crate) id: Proven<OperatorId>,
    /// What they may do.
    pub(crate) role: OperatorRole,
    request: RequestId,
    operation: &'static str,
}

impl OperatorCaller {
    /// The operator's id as text.
    pub(crate) fn subject(&self) -> String {
        self.id.get().to_string()
    }

    /// The right to work on the platform's tables.
    pub(crate) const fn authority(&self) -> Authority {
        Authority::operator(self.id)
    }

    /// Writes an audit row about the running operation.
    pub(crate) async fn audit(
        &self,
        tx: &mut PlatformTx,
        at: DateTime<Utc>,
        target: &impl ToString,
        changes: Value,
    ) -> DbResult<()> {
        let (actor, target) = (self.subject(), target.to_string());
        let entry = Entry {
            at,
            actor: &actor,
            action: self.operation,
            target: &target,
            request_id: self.request.as_str(),
            changes,
        };
        platform::audit::record(tx, &entry).await
    }

    /// The request's caller, if they are one.
    fn of(request: &HttpRequest) -> Option<Self> {
        let caller = context::with(request, |context| match context.principal.as_ref()? {
            Principal::Operator { id, role, .. } => {
                Some(Self { id: *id, role: *role, request: context.id.clone(), operation: context.operation })
            }
            Principal::User { .. } | Principal::ApiKey { .. } => None,
        });
        caller.flatten()
    }
}

impl FromRequest for OperatorCaller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted(Self::of(request)))
    }
}

/// The caller, whose kind the operation's access admits.
fn admitted<T>(caller: Option<T>) -> Result<T, ApiError> {
    caller.ok_or_else(|| ApiError::internal("the operation's access admits other principals"))
}
