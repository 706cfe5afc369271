//! What is issued, and that it is accepted within its time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_auth::{
    AccessTokens, Issue, KeySet, KeyTerms, Principal, SigningKey, Since, TokenError, Verified, VerifyingKey,
    jwt::IssueError,
};
use bulkhead_domain::{ApiKeyId, Evidence, OperatorId, PermissionSet, Proven, RoleName};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forger::{
    AUDIENCE, ISSUER, NOW, NOW_SECONDS, claims, header, keyring, keys, operator, operator_role, role,
    session, tenant, tokens, user, verify, with, with_claims, with_header,
};

fn proven_operator() -> Proven<OperatorId> {
    Proven::on(Evidence::AccessToken, operator())
}

fn owner() -> Principal {
    let tenant = Proven::on(Evidence::AccessToken, tenant());
    Principal::User { tenant, id: user(), role: role(RoleName::OWNER), session: session(), acting: None }
}

fn issue(principal: Principal) -> Issue {
    Issue { principal, proven_at: NOW, credential_expires_at: None }
}

fn read(text: &str) -> (Value, Value) {
    let part = |at| {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    (part(0), part(1))
}

#[test]
fn every_kind_of_principal_comes_back_as_it_was() {
    let proven = Proven::on(Evidence::AccessToken, tenant());
    let key = Principal::ApiKey {
        tenant: proven,
        id: ApiKeyId::from_uuid(Uuid::from_bytes([3; 16])),
        role: role(RoleName::READ_ONLY),
    };
    let admin = Principal::Operator {
        id: proven_operator(),
        role: operator_role(RoleName::ADMIN),
        session: session(),
    };
    let billing = Principal::Operator {
        id: proven_operator(),
        role: operator_role(RoleName::BILLING),
        session: session(),
    };
    assert_eq!(tokens().issue(keys(), &issue(key)), Err(IssueError::ApiKey));
    for principal in [owner(), admin, billing] {
        let token = tokens().issue(keys(), &issue(principal)).unwrap();
        assert_eq!(token.expires_in, 600);
        let expires_at = DateTime::from_timestamp(NOW_SECONDS + 600, 0).unwrap();
        let expected =
            Verified { principal, since: Since::Proven(NOW), expires_at, key: KeyTerms::default() };
        assert_eq!(verify(keys(), &token.text, NOW), Ok(expected));
    }
}

#[test]
fn a_token_has_the_header_and_the_claims_of_rfc_9068() {
    let token = tokens().issue(keys(), &issue(owner())).unwrap();
    let (found_header, found_claims) = read(&token.text);
    assert_eq!(found_header, header());
    let expected = with(claims(), "jti", found_claims["jti"].clone());
    assert_eq!(found_claims, expected);

    let admin = Principal::Operator {
        id: proven_operator(),
        role: operator_role(RoleName::ADMIN),
        session: session(),
    };
    let (_, found) = read(&tokens().issue(keys(), &issue(admin)).unwrap().text);
    assert!(found.get("tenant").is_none() && found["sid"] == json!(session()), "{found}");
    assert_eq!(found["sub"], json!(operator()));
    let again = tokens().issue(keys(), &issue(admin)).unwrap();
    assert_ne!(read(&again.text).1["jti"], found["jti"]);
}

#[test]
fn a_token_never_outlives_its_credential() {
    let end = |seconds| Some(NOW + TimeDelta::seconds(seconds));
    let gone = || Err(IssueError::CredentialExpired);
    for (ends_in, expected) in [(30, Ok(30)), (600, Ok(600)), (3_600, Ok(600)), (0, gone()), (-5, gone())] {
        let issue = Issue { credential_expires_at: end(ends_in), ..issue(owner()) };
        assert_eq!(tokens().issue(keys(), &issue).map(|token| token.expires_in), expected, "{ends_in}");
    }
}

#[test]
fn lifetimes_are_between_a_second_and_an_hour() {
    for (seconds, accepted) in [(0, false), (-1, false), (1, true), (3_600, true), (3_601, false)] {
        let made = AccessTokens::new(ISSUER.to_owned(), AUDIENCE.to_owned(), TimeDelta::seconds(seconds));
        assert_eq!(made.is_ok(), accepted, "{seconds}");
    }
}

#[test]
fn a_token_is_good_from_its_issue_to_its_expiry_with_five_seconds_leeway() {
    let token = tokens().issue(keys(), &issue(owner())).unwrap().text;
    let at = |seconds, millis: u32| {
        let now: DateTime<Utc> = DateTime::from_timestamp(NOW_SECONDS + seconds, millis * 1_000_000).unwrap();
        verify(keys(), &token, now).map(|_| ())
    };
    assert_eq!(at(-6, 999), Err(TokenError::NotYetValid));
    assert_eq!(at(-5, 0), Ok(()));
    assert_eq!(at(604, 999), Ok(()));
    assert_eq!(at(605, 0), Err(TokenError::Expired));
    assert_eq!(at(1_000_000, 0), Err(TokenError::Expired));
}

#[test]
fn a_retired_key_verifies_and_an_announced_or_a_withdrawn_one_does_not() {
    let token = tokens().issue(keys(), &issue(owner())).unwrap().text;
    let next = SigningKey::generate().unwrap();
    let sealed = next.sealed(&keyring()).unwrap();
    let reopen = || SigningKey::unseal(next.public().clone(), &sealed, &keyring()).unwrap();
    let rotated = KeySet::new(reopen(), [keys().active().unwrap().public().clone()]);
    assert!(verify(&rotated, &token, NOW).is_ok());
    let by_next = tokens().issue(&rotated, &issue(owner())).unwrap().text;
    assert_eq!(verify(keys(), &by_next, NOW), Err(TokenError::UnknownKey));
    let active = keys().active().unwrap().public().clone();
    let announced = KeySet::of(None, [active], [next.public().clone()]);
    assert_eq!(verify(&announced, &by_next, NOW), Err(TokenError::NotActive));
    assert!(verify(&announced, &token, NOW).is_ok());
    let unsigned = format!("{}x", &by_next[..by_next.len() - 1]);
    assert_eq!(verify(&announced, &unsigned, NOW), Err(TokenError::Signature));
    assert!(tokens().issue(&announced, &issue(owner())).is_err(), "a key signs that is only announced");
    let withdrawn = KeySet::new(reopen(), []);
    assert_eq!(verify(&withdrawn, &token, NOW), Err(TokenError::UnknownKey));
    assert!(verify(&withdrawn, &by_next, NOW).is_ok());

    // A stored public key works like the one it was written from.
    let stored = VerifyingKey::from_jwk(&keys().active().unwrap().public().to_jwk()).unwrap();
    assert!(verify(&KeySet::new(reopen(), [stored]), &token, NOW).is_ok());
}

/// The forgeries of `forged_tokens` mean something only if the honest token they are made from is accepted.
#[test]
fn what_the_forger_starts_from_is_accepted() {
    let expected = Ok(owner());
    let named = |text: String| verify(keys(), &text, NOW).map(|verified| verified.principal);
    assert_eq!(named(with_claims(&claims())), expected);
    for typ in ["AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert_eq!(named(with_header(&with(header(), "typ", json!(typ)))), expected, "{typ}");
    }
    // Claims of later versions do no harm.
    assert_eq!(named(with_claims(&with(claims(), "scope", json!(["a", { "b": 1 }])))), expected);
    let operators = with(with(claims(), "tenant", Value::Null), "sub", json!(operator()));
    let operators = with(with(operators, "client_id", json!(operator())), "role", json!("admin"));
    let admin = Principal::Operator {
        id: proven_operator(),
        role: operator_role(RoleName::ADMIN),
        session: session(),
    };
    assert_eq!(named(with_claims(&operators)), Ok(admin));
}

/// A newer version may have made roles that this one does not know: who has one is known, and may do nothing. Nor does a role
/// of the one side hold anything on the other.
#[test]
fn a_role_that_is_not_known_holds_nothing_and_keeps_its_name() {
    let of = |sub: Value, role: &str| {
        with(with(with(claims(), "sub", sub.clone()), "client_id", sub), "role", json!(role))
    };
    let of_key = |role| with(of(json!(ApiKeyId::from_uuid(Uuid::nil())), role), "sid", Value::Null);
    let of_operator = |role| with(of(json!(operator()), role), "tenant", Value::Null);
    let key = verify(keys(), &with_claims(&of_key("auditor")), NOW);
    assert_eq!(key, Err(TokenError::Contradiction("subject")), "no token speaks for a key");
    for (role, claims) in [
        ("auditor", of(json!(user()), "auditor")),
        ("auditor", of_operator("auditor")),
        ("support", of(json!(user()), "support")),
        ("owner", of_operator("owner")),
    ] {
        let principal = verify(keys(), &with_claims(&claims), NOW).unwrap().principal;
        assert_eq!(principal.role().permissions(), PermissionSet::EMPTY, "{principal:?}");
        let next = tokens().issue(keys(), &issue(principal)).unwrap();
        assert_eq!(read(&next.text).1["role"], role);
    }
    assert_ne!(owner().role().permissions(), PermissionSet::EMPTY);
}

#[test]
fn debug_does_not_show_a_token() {
    let token = tokens().issue(keys(), &issue(owner())).unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken(.., expires in 600 s)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_character_is_always_noticed(at: prop::sample::Index, to in "[ -~]") {
        let good = tokens().issue(keys(), &issue(owner())).unwrap().text;
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad.replace_range(at..=at, &to);
        prop_assert_eq!(verify(keys(), &bad, NOW).is_ok(), bad == good);
    }

    #[test]
    fn the_moment_of_issue_survives_to_the_millisecond(millis in 0_i64..4_000_000_000_000, micros in 0_i64..1_000) {
        let proven_at = DateTime::from_timestamp_millis(millis).unwrap() + TimeDelta::microseconds(micros);
        let token = tokens().issue(keys(), &Issue { proven_at, ..issue(owner()) }).unwrap();
        let verified = verify(keys(), &token.text, proven_at).unwrap();
        prop_assert_eq!(verified.since, Since::Proven(DateTime::from_timestamp_millis(millis).unwrap()));
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "\\PC*", segments in prop::collection::vec("[A-Za-z0-9_=+/-]{0,40}", 0..6)) {
        prop_assert!(verify(keys(), &text, NOW).is_err());
        prop_assert!(verify(keys(), &segments.join("."), NOW).is_err());
    }

    #[test]
    fn no_claim_of_any_shape_makes_the_reader_panic(
        member in prop::sample::select(vec!["iss", "aud", "sub", "client_id", "exp", "nbf", "iat", "jti", "role", "tenant", "sid"]),
        number: i64,
        text in "\\PC{0,40}",
    ) {
        for value in [json!(number), json!(text), json!([number]), json!({ "a": text })] {
            let forged = with_claims(&with(claims(), member, value));
            let _: Result<_, _> = verify(keys(), &forged, NOW);
        }
    }
}
