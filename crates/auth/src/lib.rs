//! Authentication: who the caller of a request is, and what proves it.
//!
//! Owns passwords, signing keys, access tokens, whom other issuers' tokens stand for, refresh tokens, one-time tokens, the secrets of API keys, and what a node
//! remembers of credentials that it has verified and of revocations. Refuses SQL (that is `bulkhead-db`'s), HTTP, and any
//! secret in a log: a type that holds one has a `Debug` that hides it. `README.md` records the decisions.

pub mod api_key;
pub mod attempts;
pub mod authenticator;
pub mod cache;
pub mod directory;
mod failed_login;
pub mod federation;
mod flight;
mod generations;
pub mod grants;
pub mod hash_queue;
pub mod jwt;
pub mod keyring;
pub mod login;
mod node_keys;
mod node_view;
pub mod one_time;
mod opaque;
pub mod own_password;
mod own_roles;
pub mod password;
mod password_rules;
pub mod principal;
mod random;
pub mod refresh;
pub mod request;
pub mod revocation;
pub mod root_key;
pub mod rotation;
pub mod self_test;
pub mod session;
pub mod session_tx;
pub mod signing_keys;

pub use authenticator::{AuthError, Authenticated, Authenticator};
pub use cache::{CredentialCache, Miss};
pub use directory::Directory;
pub use federation::Federation;
pub use grants::{GrantError, Grants};
pub use hash_queue::{Lane, Turn};
pub use jwt::{AccessToken, AccessTokens, Issue, TokenError};
pub use keyring::{Keyring, KeyringError, Purpose};
pub use login::{LoginAttempt, Tokens};
pub use one_time::{ForeignToken, ResetToken};
pub use own_password::Reset;
pub use password::{Password, PasswordError, PasswordHasher};
pub use password_rules::{PasswordOwner, PasswordRules};
pub use principal::{Principal, Subject, Verified};
pub use random::{NoEntropy, word as random_word};
pub use request::Request;
pub use revocation::{Batch, Bounds, Revocation, Revocations, Since, Standing};
pub use root_key::{MasterKey, MasterKeys, RootKey, RootKeyError};
pub use rotation::SigningKeyMaker;
pub use self_test::self_test;
pub use session::{RefreshToken, SessionOwner};
pub use session_tx::SessionTx;
pub use signing_keys::{KeySet, SigningKey, SigningKeyError, VerifyingKey};
