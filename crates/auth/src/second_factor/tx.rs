//! Who must have a second factor, and the transactions in which it is found.

use bulkhead_db::{
    DbResult, PlatformTx, TenantTx,
    platform::second_factors as of_operators,
    second_factor::SecondFactor,
    tenant::{federated_identities, second_factors as of_people, sessions},
};
use bulkhead_domain::{FederatedIdentityId, OperatorId, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};

use crate::session_tx::SessionTx;

/// Who must have a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondFactorRule {
    /// Operators, whatever their role.
    pub operators: bool,
    /// The owners of tenants.
    pub owners: bool,
}

/// A transaction on one side's people and their second factors.
#[expect(async_fn_in_trait, reason = "the two transactions that implement it are used on one thread")]
pub trait FactorTx: SessionTx {
    /// Whether a person of this side with this role must have one.
    fn requires(rule: &SecondFactorRule, role: RoleName) -> bool;

    /// Whether an issuer may still vouch for the person by this identity.
    async fn is_vouched_by(&mut self, person: Self::Person, identity: FederatedIdentityId) -> DbResult<bool>;

    /// Whether the issuer that has opened this session has asked for a second factor of its own.
    async fn has_factor_at_issuer(&mut self, session: SessionId) -> DbResult<bool>;

    /// The person's, confirmed or not.
    async fn factor(&mut self, person: Self::Person) -> DbResult<Option<SecondFactor>>;

    /// Whether the person needs theirs to log in.
    async fn has_factor(&mut self, person: Self::Person) -> DbResult<bool>;

    /// Gives the person a secret; whether it was done: a confirmed one stays.
    async fn begin_factor(
        &mut self,
        person: Self::Person,
        sealed: &[u8],
        at: DateTime<Utc>,
    ) -> DbResult<bool>;

    /// Confirms a secret by the code of this step; whether it was done.
    async fn confirm_factor(
        &mut self,
        person: Self::Person,
        sealed: &[u8],
        step: i64,
        recovery: &[Vec<u8>],
        at: DateTime<Utc>,
    ) -> DbResult<bool>;

    /// Uses up the code of this step; whether it was unused.
    async fn use_step(&mut self, person: Self::Person, sealed: &[u8], step: i64) -> DbResult<bool>;

    /// Uses up a recovery code; whether it was there.
    async fn use_recovery(&mut self, person: Self::Person, mac: &[u8]) -> DbResult<bool>;

    /// Puts other recovery codes in place, with the code of this step; whether it was unused.
    async fn replace_recovery(
        &mut self,
        person: Self::Person,
        step: i64,
        recovery: &[Vec<u8>],
    ) -> DbResult<bool>;

    /// Takes the person's away; whether it was confirmed.
    async fn remove_factor(&mut self, person: Self::Person) -> DbResult<bool>;
}

macro_rules! factor_tx {
    ($tx:ty, $person:ty, $queries:ident, $($of_its_side:item)*) => {
        impl FactorTx for $tx {
            $($of_its_side)*

            async fn factor(&mut self, person: $person) -> DbResult<Option<SecondFactor>> {
                $queries::find(self, person).await
            }

            async fn has_factor(&mut self, person: $person) -> DbResult<bool> {
                $queries::is_confirmed(self, person).await
            }

            async fn begin_factor(
                &mut self,
                person: $person,
                sealed: &[u8],
                at: DateTime<Utc>,
            ) -> DbResult<bool> {
                $queries::begin(self, person, sealed, at).await
            }

            async fn confirm_factor(
                &mut self,
                person: $person,
                sealed: &[u8],
                step: i64,
                recovery: &[Vec<u8>],
                at: DateTime<Utc>,
            ) -> DbResult<bool> {
                $queries::confirm(self, person, sealed, step, recovery, at).await
            }

            async fn use_step(&mut self, person: $person, sealed: &[u8], step: i64) -> DbResult<bool> {
                $queries::use_step(self, person, sealed, step).await
            }

            async fn use_recovery(&mut self, person: $person, mac: &[u8]) -> DbResult<bool> {
                $queries::use_recovery(self, person, mac).await
            }

            async fn replace_recovery(
                &mut self,
                person: $person,
                step: i64,
                recovery: &[Vec<u8>],
            ) -> DbResult<bool> {
                $queries::replace_recovery(self, person, step, recovery).await
            }

            async fn remove_factor(&mut self, person: $person) -> DbResult<bool> {
                $queries::remove(self, person).await
            }
        }
    };
}
factor_tx! {
    TenantTx, UserId, of_people,

    fn requires(rule: &SecondFactorRule, role: RoleName) -> bool {
        rule.owners && role == RoleName::OWNER
    }

    async fn is_vouched_by(&mut self, person: UserId, identity: FederatedIdentityId) -> DbResult<bool> {
        federated_identities::is_linked(self, identity, person).await
    }

    async fn has_factor_at_issuer(&mut self, session: SessionId) -> DbResult<bool> {
        sessions::has_factor_at_issuer(self, session).await
    }
}
factor_tx! {
    PlatformTx, OperatorId, of_operators,

    fn requires(rule: &SecondFactorRule, _role: RoleName) -> bool {
        rule.operators
    }

    // No issuer vouches for operators.
    async fn is_vouched_by(&mut self, _person: OperatorId, _identity: FederatedIdentityId) -> DbResult<bool> {
        Ok(false)
    }

    async fn has_factor_at_issuer(&mut self, _session: SessionId) -> DbResult<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_have_one_is_what_the_rule_says() {
        let rule = |operators, owners| SecondFactorRule { operators, owners };
        for (rule, of_operator, of_owner) in [
            (rule(false, false), false, false),
            (rule(true, false), true, false),
            (rule(false, true), false, true),
        ] {
            assert_eq!(PlatformTx::requires(&rule, RoleName::BILLING), of_operator);
            assert_eq!(TenantTx::requires(&rule, RoleName::OWNER), of_owner);
            assert!(!TenantTx::requires(&rule, RoleName::ADMIN));
        }
    }
}
