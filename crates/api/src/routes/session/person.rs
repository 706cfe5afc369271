//! What a person of a tenant and an operator have in common: a log-in, and a transaction in which their sessions and their
//! password are.

use bulkhead_auth::{FactorTx, Password};
use bulkhead_db::{PlatformTx, TenantTx};
use bulkhead_domain::{OperatorId, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, TenantCall, Written},
        error::ApiError,
        state::AppState,
    },
    routes::tenant::refuse_own_slug,
};

/// A call by a person.
pub(super) trait Person {
    /// Names a person of this side.
    type Id: Copy + std::fmt::Display;
    /// The transaction in which they are found.
    type Tx: FactorTx<Person = Self::Id>;

    /// Who it is, and which of their sessions.
    fn login(&self) -> Result<(Self::Id, SessionId), ApiError>;

    /// Their id as text.
    fn subject(&self) -> &str;

    /// Their role.
    fn role(&self) -> RoleName;

    /// Now.
    fn at(&self) -> DateTime<Utc>;

    /// The group that takes turns with others when passwords are hashed: the tenant, or the operator.
    fn group(&self) -> Uuid;

    /// What this process works with.
    fn state(&self) -> &AppState;

    /// The answer that the request's `Idempotency-Key` was given before.
    async fn answered(&self, tx: &mut Self::Tx) -> Result<Option<Answer>, ApiError>;

    /// Refuses the slug of the person's tenant as the password in the field at `pointer`.
    async fn refuse_own_slug(
        &self,
        tx: &mut Self::Tx,
        pointer: &str,
        password: &Password,
    ) -> Result<(), ApiError>;

    /// Reads with statements that see the same moment.
    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut Self::Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError>;

    /// Writes, once per `Idempotency-Key` and with its audit entry.
    async fn change(
        &self,
        work: impl AsyncFnOnce(&mut Self::Tx) -> Result<Written, ApiError>,
    ) -> Result<Answer, ApiError>;
}

macro_rules! common {
    () => {
        fn subject(&self) -> &str {
            self.subject()
        }

        fn role(&self) -> RoleName {
            self.role().name()
        }

        fn at(&self) -> DateTime<Utc> {
            self.at()
        }

        fn state(&self) -> &AppState {
            self.state()
        }

        async fn answered(&self, tx: &mut Self::Tx) -> Result<Option<Answer>, ApiError> {
            self.answered(tx).await
        }

        async fn change(
            &self,
            work: impl AsyncFnOnce(&mut Self::Tx) -> Result<Written, ApiError>,
        ) -> Result<Answer, ApiError> {
            self.write(work).await
        }
    };
}

impl Person for TenantCall {
    type Id = UserId;
    type Tx = TenantTx;

    common!();

    fn login(&self) -> Result<(UserId, SessionId), ApiError> {
        self.person()
    }

    fn group(&self) -> Uuid {
        self.tenant().uuid()
    }

    async fn refuse_own_slug(
        &self,
        tx: &mut TenantTx,
        pointer: &str,
        password: &Password,
    ) -> Result<(), ApiError> {
        refuse_own_slug(tx, pointer, password).await
    }

    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.snapshot(work).await
    }
}

impl Person for OperatorCall {
    type Id = OperatorId;
    type Tx = PlatformTx;

    common!();

    fn login(&self) -> Result<(OperatorId, SessionId), ApiError> {
        self.person()
    }

    fn group(&self) -> Uuid {
        self.id().uuid()
    }

    /// Operators are of no tenant.
    async fn refuse_own_slug(&self, _: &mut PlatformTx, _: &str, _: &Password) -> Result<(), ApiError> {
        Ok(())
    }

    async fn look<T>(
        &self,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.read(work).await
    }
}
