//! Transactions in which a person's sessions and password can be changed: a tenant's for its people, the platform's for
//! operators.
//!
//! Owns what the two have in common, so that each rule about sessions is written once. A session that is ended is revoked with
//! it: nodes stop trusting its tokens within seconds.

use std::fmt::Display;

use bulkhead_db::{
    DbResult, Page, PageRequest, PlatformTx, TenantTx,
    gate::revocations::{Revoked, revoke},
    platform::{audit as platform_audit, operator_sessions, operators, revocations},
    sessions::{Device, LivingSession, Locked, Opened, Rotated},
    tenant::{
        audit::{self, Entry},
        sessions, users,
    },
};
use bulkhead_domain::{OperatorId, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};

/// A transaction on one side's people and their sessions.
#[expect(async_fn_in_trait, reason = "the two transactions that implement it are used on one thread")]
pub trait SessionTx {
    /// Names a person of this side.
    type Person: Copy + Display;

    /// Locks the person's row; their present role, or `None` when they are gone.
    async fn lock_person(&mut self, person: Self::Person) -> DbResult<Option<RoleName>>;

    /// The same while `stored` is the stored hash of their password; `None` also when it is another one.
    async fn lock_with_password(&mut self, person: Self::Person, stored: &str) -> DbResult<Option<RoleName>>;

    /// Replaces the stored hash by another of the same password, unless the password was changed meanwhile.
    async fn renew_password_hash(
        &mut self,
        person: Self::Person,
        stored: &str,
        renewed: &str,
    ) -> DbResult<()>;

    /// Opens a session of this many seconds with its first refresh token. The oldest of the person's make room for it and are
    /// revoked; how many. Lock the person before.
    async fn open(
        &mut self,
        id: SessionId,
        person: Self::Person,
        mac: &[u8],
        seconds: i64,
        device: &Device<'_>,
    ) -> DbResult<(Opened, usize)>;

    /// The person's address and the stored hash of their password; `None` when they are gone.
    async fn own_credential(&mut self, person: Self::Person) -> DbResult<Option<(String, String)>>;

    /// Gives the person another password while `stored` is the stored hash; whether it was done.
    async fn set_password_hash(
        &mut self,
        person: Self::Person,
        stored: &str,
        hash: &str,
        at: DateTime<Utc>,
    ) -> DbResult<bool>;

    /// The person's living sessions, in the order in which they were opened.
    async fn sessions(&mut self, person: Self::Person, page: PageRequest) -> DbResult<Page<LivingSession>>;

    /// Whether a session is this person's and alive.
    async fn is_living(&mut self, person: Self::Person, id: SessionId) -> DbResult<bool>;

    /// Replaces the refresh token in force; `None` when `current` is not that, or the session has ended.
    async fn rotate(&mut self, id: SessionId, current: &[u8], next: &[u8]) -> DbResult<Option<Rotated>>;

    /// The session, locked until the transaction ends.
    async fn lock(&mut self, id: SessionId) -> DbResult<Option<Locked>>;

    /// Ends a session and revokes its tokens; whether it was alive.
    async fn end(&mut self, id: SessionId) -> DbResult<bool>;

    /// Ends the person's sessions but the one to be kept, and revokes their tokens; how many there were.
    async fn end_others(&mut self, person: Self::Person, kept: Option<SessionId>) -> DbResult<usize>;

    /// Adds an entry to the side's audit log.
    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()>;
}

impl SessionTx for TenantTx {
    type Person = UserId;

    async fn lock_person(&mut self, person: UserId) -> DbResult<Option<RoleName>> {
        users::lock_for_proof(self, person, None).await
    }

    async fn lock_with_password(&mut self, person: UserId, stored: &str) -> DbResult<Option<RoleName>> {
        users::lock_for_proof(self, person, Some(stored)).await
    }

    async fn renew_password_hash(&mut self, person: UserId, stored: &str, renewed: &str) -> DbResult<()> {
        users::renew_password_hash(self, person, stored, renewed).await
    }

    async fn open(
        &mut self,
        id: SessionId,
        person: UserId,
        mac: &[u8],
        seconds: i64,
        device: &Device<'_>,
    ) -> DbResult<(Opened, usize)> {
        let opened = sessions::insert(self, id, person, mac, seconds, device).await?;
        let ended = sessions::make_room(self, person).await?;
        for id in &ended {
            revoke(self, Revoked::Session(*id)).await?;
        }
        Ok((opened, ended.len()))
    }

    async fn own_credential(&mut self, person: UserId) -> DbResult<Option<(String, String)>> {
        users::own_credential(self, person).await
    }

    async fn set_password_hash(
        &mut self,
        person: UserId,
        stored: &str,
        hash: &str,
        at: DateTime<Utc>,
    ) -> DbResult<bool> {
        users::set_password_hash(self, person, Some(stored), hash, at).await
    }

    async fn sessions(&mut self, person: UserId, page: PageRequest) -> DbResult<Page<LivingSession>> {
        sessions::list(self, person, page).await
    }

    async fn is_living(&mut self, person: UserId, id: SessionId) -> DbResult<bool> {
        sessions::is_living(self, person, id).await
    }

    async fn rotate(&mut self, id: SessionId, current: &[u8], next: &[u8]) -> DbResult<Option<Rotated>> {
        sessions::rotate(self, id, current, next).await
    }

    async fn lock(&mut self, id: SessionId) -> DbResult<Option<Locked>> {
        sessions::lock(self, id).await
    }

    async fn end(&mut self, id: SessionId) -> DbResult<bool> {
        let was_alive = sessions::revoke(self, id).await?;
        if was_alive {
            revoke(self, Revoked::Session(id)).await?;
        }
        Ok(was_alive)
    }

    async fn end_others(&mut self, person: UserId, kept: Option<SessionId>) -> DbResult<usize> {
        let ended = sessions::end_others(self, person, kept).await?;
        for id in &ended {
            revoke(self, Revoked::Session(*id)).await?;
        }
        Ok(ended.len())
    }

    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()> {
        audit::record(self, entry).await
    }
}

impl SessionTx for PlatformTx {
    type Person = OperatorId;

    async fn lock_person(&mut self, person: OperatorId) -> DbResult<Option<RoleName>> {
        operators::lock_for_proof(self, person, None).await
    }

    async fn lock_with_password(&mut self, person: OperatorId, stored: &str) -> DbResult<Option<RoleName>> {
        operators::lock_for_proof(self, person, Some(stored)).await
    }

    async fn renew_password_hash(&mut self, person: OperatorId, stored: &str, renewed: &str) -> DbResult<()> {
        operators::renew_password_hash(self, person, stored, renewed).await
    }

    async fn open(
        &mut self,
        id: SessionId,
        person: OperatorId,
        mac: &[u8],
        seconds: i64,
        device: &Device<'_>,
    ) -> DbResult<(Opened, usize)> {
        let opened = operator_sessions::insert(self, id, person, mac, seconds, device).await?;
        let ended = operator_sessions::make_room(self, person).await?;
        for id in &ended {
            revocations::revoke_operator_session(self, *id).await?;
        }
        Ok((opened, ended.len()))
    }

    async fn own_credential(&mut self, person: OperatorId) -> DbResult<Option<(String, String)>> {
        operators::own_credential(self, person).await
    }

    async fn set_password_hash(
        &mut self,
        person: OperatorId,
        stored: &str,
        hash: &str,
        _at: DateTime<Utc>,
    ) -> DbResult<bool> {
        operators::set_password_hash(self, person, stored, hash).await
    }

    async fn sessions(&mut self, person: OperatorId, page: PageRequest) -> DbResult<Page<LivingSession>> {
        operator_sessions::list(self, person, page).await
    }

    async fn is_living(&mut self, person: OperatorId, id: SessionId) -> DbResult<bool> {
        operator_sessions::is_living(self, person, id).await
    }

    async fn rotate(&mut self, id: SessionId, current: &[u8], next: &[u8]) -> DbResult<Option<Rotated>> {
        operator_sessions::rotate(self, id, current, next).await
    }

    async fn lock(&mut self, id: SessionId) -> DbResult<Option<Locked>> {
        operator_sessions::lock(self, id).await
    }

    async fn end(&mut self, id: SessionId) -> DbResult<bool> {
        let was_alive = operator_sessions::revoke(self, id).await?;
        if was_alive {
            revocations::revoke_operator_session(self, id).await?;
        }
        Ok(was_alive)
    }

    async fn end_others(&mut self, person: OperatorId, kept: Option<SessionId>) -> DbResult<usize> {
        let ended = operator_sessions::end_others(self, person, kept).await?;
        for id in &ended {
            revocations::revoke_operator_session(self, *id).await?;
        }
        Ok(ended.len())
    }

    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()> {
        platform_audit::record(self, entry).await
    }
}
