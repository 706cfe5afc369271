//! Second factors: what a person proves with codes from their phone.
//!
//! A tenant's people have theirs in the tenant's schema, operators in the platform's; the statements are the same. Using a code
//! or a recovery code is one UPDATE that finds it unused: of any number of callers with the same one, exactly one uses it. Refuses
//! to know a secret: it is sealed by whoever calls, and recovery codes are HMACs.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::Queryable;

/// A person's second factor.
#[derive(Clone, Queryable)]
pub struct SecondFactor {
    /// The secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Since when the person needs it to log in; `None` while they have shown no code of it.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The time step of the last code that was used.
    pub last_step: i64,
    /// The HMACs of the recovery codes that are left.
    pub recovery_macs: Vec<Vec<u8>>,
}

impl fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecondFactor(confirmed_at: {:?})", self.confirmed_at)
    }
}

/// The queries, for the transaction type, the table and the ids of one side.
macro_rules! second_factor_queries {
    ($tx:ty, $table:path, $person:ty) => {
        use chrono::{DateTime, Utc};
        use diesel::{
            prelude::*,
            sql_types::{Binary, Uuid as SqlUuid},
        };
        use $table as factors;

        use crate::{engine::error::DbResult, second_factor::SecondFactor};

        /// The person's second factor, confirmed or not.
        pub async fn find(tx: &mut $tx, person: $person) -> DbResult<Option<SecondFactor>> {
            let columns =
                (factors::sealed_secret, factors::confirmed_at, factors::last_step, factors::recovery_macs);
            tx.tx.first(factors::table.find(person.uuid()).select(columns)).await
        }

        /// Whether the person needs a second factor to log in.
        pub async fn is_confirmed(tx: &mut $tx, person: $person) -> DbResult<bool> {
            let row = factors::table.find(person.uuid()).filter(factors::confirmed_at.is_not_null());
            let found: Option<uuid::Uuid> = tx.tx.first(row.select(factors::person_id)).await?;
            Ok(found.is_some())
        }

        /// Gives the person a secret, in place of one that was never confirmed. Whether it was done: a confirmed one stays.
        pub async fn begin(
            tx: &mut $tx,
            person: $person,
            sealed: &[u8],
            at: DateTime<Utc>,
        ) -> DbResult<bool> {
            let values = (factors::sealed_secret.eq(sealed), factors::created_at.eq(at));
            let row = (factors::person_id.eq(person.uuid()), values);
            let statement = diesel::insert_into(factors::table)
                .values(row)
                .on_conflict(factors::person_id)
                .do_update()
                .set(values);
            // A confirmed one stays.
            let is_unconfirmed = factors::confirmed_at.is_null();
            let statement = diesel::query_dsl::methods::FilterDsl::filter(statement, is_unconfirmed);
            Ok(tx.tx.execute(statement).await? > 0)
        }

        /// Confirms the secret by the code of this time step, with these recovery codes; whether it was done: not when another secret
        /// took its place, or one is confirmed already.
        pub async fn confirm(
            tx: &mut $tx,
            person: $person,
            sealed: &[u8],
            step: i64,
            recovery: &[Vec<u8>],
            at: DateTime<Utc>,
        ) -> DbResult<bool> {
            let row = factors::table
                .filter(factors::person_id.eq(person.uuid()))
                .filter(factors::sealed_secret.eq(sealed))
                .filter(factors::confirmed_at.is_null());
            let values = (
                factors::confirmed_at.eq(at),
                factors::last_step.eq(step),
                factors::recovery_macs.eq(recovery),
            );
            Ok(tx.tx.execute(diesel::update(row).set(values)).await? > 0)
        }

        /// Uses up the code of this time step, and with it those before; whether it was unused until now.
        pub async fn use_step(tx: &mut $tx, person: $person, sealed: &[u8], step: i64) -> DbResult<bool> {
            let row = factors::table
                .filter(factors::person_id.eq(person.uuid()))
                .filter(factors::sealed_secret.eq(sealed))
                .filter(factors::confirmed_at.is_not_null())
                .filter(factors::last_step.lt(step));
            Ok(tx.tx.execute(diesel::update(row).set(factors::last_step.eq(step))).await? > 0)
        }

        /// Uses up a recovery code; whether it was there.
        pub async fn use_recovery(tx: &mut $tx, person: $person, mac: &[u8]) -> DbResult<bool> {
            let statement = diesel::sql_query(
                "UPDATE second_factors SET recovery_macs = array_remove(recovery_macs, $2) \
                 WHERE person_id = $1 AND confirmed_at IS NOT NULL AND $2 = ANY (recovery_macs)",
            );
            let statement = statement.bind::<SqlUuid, _>(person.uuid()).bind::<Binary, _>(mac);
            Ok(tx.tx.execute(statement).await? > 0)
        }

        /// Puts other recovery codes in place of those that are left, with the code of this time step; whether it was unused.
        pub async fn replace_recovery(
            tx: &mut $tx,
            person: $person,
            step: i64,
            recovery: &[Vec<u8>],
        ) -> DbResult<bool> {
            let row = factors::table
                .filter(factors::person_id.eq(person.uuid()))
                .filter(factors::confirmed_at.is_not_null())
                .filter(factors::last_step.lt(step));
            let values = (factors::last_step.eq(step), factors::recovery_macs.eq(recovery));
            Ok(tx.tx.execute(diesel::update(row).set(values)).await? > 0)
        }

        /// Takes the person's second factor away; whether they had a confirmed one.
        pub async fn remove(tx: &mut $tx, person: $person) -> DbResult<bool> {
            let gone = diesel::delete(factors::table.find(person.uuid())).returning(factors::confirmed_at);
            let found: Option<Option<DateTime<Utc>>> = tx.tx.first(gone).await?;
            Ok(found.flatten().is_some())
        }
    };
}
pub(crate) use second_factor_queries;
