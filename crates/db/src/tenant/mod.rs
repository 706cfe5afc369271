//! Queries on a tenant's tables; each takes a [`crate::TenantTx`], and the three of `credentials` a
//! [`crate::CredentialTx`].

pub mod api_keys;
pub mod audit;
pub mod caps;
pub mod credentials;
pub mod federated_identities;
pub mod idempotency;
pub mod invitations;
pub mod one_time_tokens;
pub mod provider_accounts;
pub mod roles;
pub mod second_factors;
pub mod sessions;
pub mod settings;
pub mod users;
