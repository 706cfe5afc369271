//! Goal 8: what checking a credential costs.

use std::time::Instant;

use anyhow::Result;
use bulkhead_auth::{
    AccessTokens, Batch, CredentialCache, Issue, KeySet, Principal, Revocations, SigningKey, Verified,
    api_key,
};
use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Clock as _, Evidence, Proven, RoleName, SessionId, SystemClock, TenantId,
    UserId,
};

use chrono::{DateTime, Utc};

use super::Effort;
use crate::{
    report::{Better, Row},
    slices::{compare, quantile},
    tools::openssl_verify_micros,
};

const ROUNDS: u32 = 20_000;

/// `8a`: checking an access token that is not cached, by OpenSSL's bare RSA verification. `8b`: one that is, and `8c` an API
/// key, in microseconds.
pub(crate) async fn auth(effort: Effort) -> Result<Vec<Row>> {
    let now = SystemClock.now();
    let keys = KeySet::new(SigningKey::generate()?, []);
    let tokens = AccessTokens::new(
        "https://bench.example".to_owned(),
        "bench".to_owned(),
        bulkhead_auth::jwt::DEFAULT_LIFETIME,
    )?;
    let access = AccessRegistry::assemble(&[])?;
    let principal = Principal::User {
        tenant: Proven::on(Evidence::Fixture, TenantId::mint(now)),
        id: UserId::mint(now),
        role: access.tenants().role(RoleName::DEVELOPER),
        session: SessionId::mint(now),
        acting: None,
    };
    let token = tokens.issue(&keys, &Issue { principal, proven_at: now, credential_expires_at: None })?;
    let check = || {
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(tokens.verify(&keys, &access, &token.text, now).is_ok());
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    let compared = compare(effort.pairs, async || Ok(check()), async || openssl_verify_micros()).await?;
    let what = "checking an RS256 token that is not cached / OpenSSL's RSA verification";
    let fresh = Row::compared("8a", what, &compared, (Better::Less, 1.4, 1.2), "µs");
    let verified = tokens.verify(&keys, &access, &token.text, now)?;
    let key = api_key::generate("test", TenantId::mint(now), ApiKeyId::mint(now))?;
    let cached_token =
        cached("8b", "checking a cached access token", &token.text, verified.clone(), now, effort);
    let cached_key = cached("8c", "checking a cached API key", key.reveal(), verified, now, effort);
    Ok(vec![fresh, cached_token, cached_key])
}

fn cached(id: &str, what: &str, text: &str, verified: Verified, now: DateTime<Utc>, effort: Effort) -> Row {
    let (cache, revocations) = (CredentialCache::new(1_000), Revocations::default());
    revocations.apply(Batch { rows: Vec::new(), left_out: None, now, read_at: now });
    if let Err(miss) = cache.get(text, now, &revocations) {
        cache.put(miss, verified, now);
    }
    let rounds: Vec<f64> = (0..effort.pairs)
        .map(|_| {
            let begun = Instant::now();
            let hits =
                (0..ROUNDS).filter(|_| std::hint::black_box(cache.get(text, now, &revocations)).is_ok());
            // A miss would be no measurement.
            if hits.count() == ROUNDS as usize {
                begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
            } else {
                f64::NAN
            }
        })
        .collect();
    let figure = (quantile(&rounds, 0.5), quantile(&rounds, 0.05), quantile(&rounds, 0.95));
    Row::figure(
        id,
        &format!("{what}, in µs"),
        figure,
        (Better::Less, 2.0, 1.0),
        format!("{} bytes", text.len()),
    )
}
