//! Credentials that were forged, broken, borrowed or sent twice.

use std::time::Duration;

use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Clock, Evidence, OperatorId, Proven, RoleName, SessionId, SystemClock,
    TenantId, UserId, api_key::ApiKey,
};
use bulkhead_fixtures::auth::{
    AccessTokens, Issue, KeySet, Keyring, MasterKey, Principal, SigningKey, VerifyingKey,
};

use crate::support::{Answer, Call, System};

/// The same refusal for all of them, so that none tells the forger more than another.
async fn assert_refused_alike(what: &str, call: Call<'_>, first: &Answer) {
    let answer = call.await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "invalid-credentials"),
        "{what}: {}",
        answer.show()
    );
    assert_eq!(answer.body_without_request_id(), first.body_without_request_id(), "{what}");
    assert_eq!(answer.header("www-authenticate"), first.header("www-authenticate"), "{what}");
}

#[tokio::test]
async fn a_header_that_is_no_credential_is_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::OWNER).await.text;
    let (token, refresh) = (&tenant.owner.access_token, &tenant.owner.refresh_token);
    let ask = || system.anonymous().get("/v1/me");
    ask().await.refused(401, "missing-credentials");
    let first = ask().header("authorization", "Bearer nonsense").await;
    insta::assert_snapshot!(first.show(), @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer error="invalid_token", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
    {
      "code": "invalid-credentials",
      "detail": "The credential is not valid, has expired or was revoked.",
      "request_id": "req_…",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:bulkhead:problem:invalid-credentials"
    }
    "#);

    let long = format!("Bearer {}", "x".repeat(12_000));
    let padded = format!("Bearer {token}=");
    let basic = format!("Basic {token}");
    let joined = format!("Bearer{token}");
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic YTpi",
        "Digest x",
        "Bearer null",
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer {}",
        "Bearer bh_",
        "Bearer bh_test_",
        "Bearer \u{e4}",
        token,
        &basic,
        &joined,
        &padded,
        &long,
        &format!("Bearer {refresh}"),
        &format!("Bearer {token} {token}"),
        &format!("Bearer {token},"),
        &format!("Bearer {}", tenant.owner.password),
    ] {
        assert_refused_alike(bad, ask().header("authorization", bad), &first).await;
    }
    for bad in ["", " ", "bh_", &format!("Bearer {key}"), &format!("{key}0"), &key[1..], "\u{e4}", refresh] {
        assert_refused_alike(bad, ask().header("x-api-key", bad), &first).await;
    }
    // The scheme's name may be written in any case.
    ask().header("authorization", format!("bEARER {token}")).await.expect(200);
    // Nowhere else is a credential looked for.
    ask().header("cookie", format!("access_token={token}")).await.refused(401, "missing-credentials");
    system.anonymous().get(&format!("/v1/me?access_token={token}")).await.refused(401, "missing-credentials");
}

#[tokio::test]
async fn two_credentials_are_one_too_many() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let key = ours.key(RoleName::OWNER).await.text;
    let bearer = |token: &str| format!("Bearer {token}");
    let ask = || system.anonymous().get("/v1/me");
    let first = ask().header("authorization", "Bearer nonsense").await;
    let (our_token, their_token) = (bearer(&ours.owner.access_token), bearer(&theirs.owner.access_token));
    for (what, call) in [
        ("two tokens", ask().header("authorization", &our_token).another("authorization", &their_token)),
        ("one token twice", ask().header("authorization", &our_token).another("authorization", &our_token)),
        ("a token and a key", ask().header("authorization", &our_token).header("x-api-key", &key)),
        ("a key in both", ask().header("authorization", bearer(&key)).header("x-api-key", &key)),
        ("two keys", ask().header("x-api-key", &key).another("x-api-key", &key)),
        ("a good and a bad one", ask().header("authorization", &our_token).header("x-api-key", "")),
        ("two in one", ask().header("authorization", format!("{our_token}, {their_token}"))),
    ] {
        assert_refused_alike(what, call, &first).await;
    }
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let operator = system.operator().await.authorization();
    let parts = |token: &str| token.split('.').map(ToOwned::to_owned).collect::<Vec<_>>();
    let (our, their) = (parts(&ours.owner.access_token), parts(&theirs.owner.access_token));
    let operator = parts(operator.trim_start_matches("Bearer "));
    let join = |header: &str, claims: &str, signature: &str| format!("{header}.{claims}.{signature}");
    let ask = |token: &str| system.anonymous().with_token(token).get("/v1/me");
    let first = ask("nonsense").await;
    // {"alg":"none","typ":"at+jwt"} and {"alg":"HS256","typ":"at+jwt"}
    let (none, shared_key) =
        ("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0", "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9");
    let mut flipped = our[2].clone().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    for (what, token) in [
        ("another tenant's claims", join(&our[0], &their[1], &our[2])),
        ("an operator's claims", join(&our[0], &operator[1], &our[2])),
        ("another tenant's signature", join(&our[0], &our[1], &their[2])),
        ("a changed signature", join(&our[0], &our[1], &String::from_utf8(flipped).unwrap())),
        ("a cut signature", join(&our[0], &our[1], &our[2][..our[2].len() - 4])),
        ("no signature", join(&our[0], &our[1], "")),
        ("no signature and no point", format!("{}.{}", our[0], our[1])),
        ("algorithm none", join(none, &our[1], "")),
        ("algorithm none, signed", join(none, &our[1], &our[2])),
        ("algorithm HS256", join(shared_key, &our[1], &our[2])),
        ("no claims", join(&our[0], "", &our[2])),
        ("empty claims", join(&our[0], "e30", &our[2])),
        ("a fourth part", format!("{}.x", ours.owner.access_token)),
        ("parts in another order", join(&our[1], &our[0], &our[2])),
    ] {
        assert_refused_alike(what, ask(&token), &first).await;
    }
    ask(&ours.owner.access_token).await.expect(200);
}

/// The system's own signing key, as a thief of the master key and the database would have it.
pub(crate) fn stolen_keys(system: &System) -> KeySet {
    let row = system.sql(
        "SELECT public_jwk, encode(sealed_private, 'hex') FROM platform.signing_keys WHERE state = 'active'",
    );
    let (jwk, sealed) = row.split_once('|').unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        let hex = hex.trim();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let sealed = bytes(sealed);
    let master: MasterKey = system.master_key.parse().unwrap();
    let root = system.sql(&format!(
        "SELECT encode(sealed, 'hex') FROM platform.root_keys WHERE fingerprint = '{}'",
        master.fingerprint().unwrap()
    ));
    let keyring = Keyring::new(&master.open(&bytes(&root)).unwrap()).unwrap();
    let public = VerifyingKey::from_jwk(&serde_json::from_str(jwk).unwrap()).unwrap();
    KeySet::new(SigningKey::unseal(public, &sealed, &keyring).unwrap(), [])
}

#[tokio::test]
async fn a_rightly_signed_token_out_of_its_time_or_place_is_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let keys = stolen_keys(system);
    let (issuer, audience) = ("https://api.example.com", "bulkhead");
    let access = AccessRegistry::assemble(&[]).unwrap();
    let now = SystemClock.now();
    let sign = |issuer: &str, audience: &str, principal, proven_at| {
        let life = chrono::TimeDelta::minutes(10);
        let tokens = AccessTokens::new(issuer.to_owned(), audience.to_owned(), life).unwrap();
        tokens.issue(&keys, &Issue { principal, proven_at, credential_expires_at: None }).unwrap().text
    };
    let (id, user) = (tenant.id.parse().unwrap(), tenant.owner.id.parse().unwrap());
    let of = |tenant: TenantId, user: UserId| Principal::User {
        tenant: Proven::on(Evidence::Fixture, tenant),
        id: user,
        role: access.tenants().role(RoleName::OWNER),
        session: SessionId::mint(now),
        acting: None,
    };
    let me = of(id, user);
    let ask = |token: &str| system.anonymous().with_token(token).get("/v1/me");
    // So far the thief is right; what follows differs in one point each.
    ask(&sign(issuer, audience, me, now)).await.expect(200);
    let first = ask("nonsense").await;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for (what, token) in [
        ("expired", sign(issuer, audience, me, now - minutes(11))),
        ("long expired", sign(issuer, audience, me, now - minutes(60 * 24 * 365))),
        ("not yet valid", sign(issuer, audience, me, now + minutes(1))),
        ("another audience", sign(issuer, "billing", me, now)),
        ("another issuer", sign("https://api.example.org", audience, me, now)),
        ("a tenant that does not exist", sign(issuer, audience, of(TenantId::mint(now), user), now)),
    ] {
        assert_refused_alike(what, ask(&token), &first).await;
    }
    let operator = Principal::Operator {
        id: Proven::on(Evidence::Fixture, OperatorId::mint(now)),
        role: access.operators().role(RoleName::ADMIN),
        session: SessionId::mint(now),
    };
    // An operator's token opens no tenant, even with a good signature.
    let operator = system.anonymous().with_token(&sign(issuer, audience, operator, now));
    operator.get("/v1/users").await.refused(403, "insufficient-permission");
    assert_eq!(operator.get("/v1/me").await.expect(200).at("/tenant"), "null");
}

#[tokio::test]
async fn a_key_that_was_made_up_is_refused() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let (our_key, their_key) = (ours.key(RoleName::OWNER).await, theirs.key(RoleName::OWNER).await);
    let now = SystemClock.now();
    let (our_id, their_id): (TenantId, TenantId) = (ours.id.parse().unwrap(), theirs.id.parse().unwrap());
    let (our_key_id, their_key_id): (ApiKeyId, ApiKeyId) =
        (our_key.id.parse().unwrap(), their_key.id.parse().unwrap());
    // The checksum of these is right, the secret is a guess.
    let guess = |env: &str, tenant, key| {
        let mut byte = 0_u8;
        let entropy = || {
            byte = byte.wrapping_add(7);
            byte
        };
        ApiKey::issue(env, tenant, key, entropy).reveal().to_owned()
    };
    let mistyped = |at: usize| {
        let mut text = our_key.text.clone().into_bytes();
        text[at] = if text[at] == b'7' { b'8' } else { b'7' };
        String::from_utf8(text).unwrap()
    };
    let (locator, their_secret) =
        (our_key.text.rsplit_once('_').unwrap().0, their_key.text.rsplit_once('_').unwrap().1);
    let ask = |key: &str| system.anonymous().with_key(key).get("/v1/me");
    let first = ask("nonsense").await;
    for (what, key) in [
        ("a wrong secret", guess("test", our_id, our_key_id)),
        ("a wrong secret and environment", guess("live", our_id, our_key_id)),
        ("a key that does not exist", guess("test", our_id, ApiKeyId::mint(now))),
        ("another tenant's key", guess("test", our_id, their_key_id)),
        ("in another tenant", guess("test", their_id, our_key_id)),
        ("a tenant that does not exist", guess("test", TenantId::mint(now), our_key_id)),
        ("a typing error in the locator", mistyped(20)),
        ("a typing error in the secret", mistyped(70)),
        ("a typing error in the checksum", mistyped(our_key.text.len() - 1)),
        ("another key's secret", format!("{locator}_{their_secret}")),
        ("another environment", our_key.text.replace("bh_test_", "bh_live_")),
        ("upper case", our_key.text.to_uppercase()),
        ("cut", our_key.text[..our_key.text.len() - 1].to_owned()),
        ("longer", format!("{}x", our_key.text)),
    ] {
        assert_refused_alike(what, ask(&key), &first).await;
    }
    ask(&our_key.text).await.expect(200);
}
