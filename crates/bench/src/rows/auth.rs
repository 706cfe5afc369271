//! Goal 8: what checking a credential costs.

use std::time::Instant;

use anyhow::Result;
use bulkhead_auth::{AccessTokens, Issue, KeySet, Principal, SigningKey};
use bulkhead_domain::{Clock as _, Ground, Proven, Role, SystemClock, TenantId, UserId};

use super::Effort;
use crate::{
    report::{Better, Row},
    slices::compare,
    tools::openssl_verify_micros,
};

const ROUNDS: u32 = 20_000;

/// `8a`: checking an access token that is not cached, by OpenSSL's bare RSA verification.
pub(crate) async fn auth(effort: Effort) -> Result<Vec<Row>> {
    let now = SystemClock.now();
    let keys = KeySet::new(SigningKey::generate()?, []);
    let tokens = AccessTokens::new(
        "https://bench.example".to_owned(),
        "bench".to_owned(),
        bulkhead_auth::jwt::DEFAULT_LIFETIME,
    )?;
    let principal = Principal::User {
        tenant: Proven::on(Ground::Password, TenantId::mint(now)),
        id: UserId::mint(now),
        role: Role::Developer,
        session: None,
    };
    let token = tokens.issue(&keys, &Issue { principal, proven_at: now, credential_expires_at: None })?;
    let check = || {
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(tokens.verify(&keys, &token.text, now).is_ok());
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    let compared = compare(effort.pairs, async || Ok(check()), async || openssl_verify_micros()).await?;
    let what = "checking an RS256 token that is not cached / OpenSSL's RSA verification";
    Ok(vec![Row::compared("8a", what, &compared, (Better::Less, 1.4, 1.2), "µs")])
}
