//! How an issuer is asked, and what happens when it does not answer as it should.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bulkhead_fixtures::{
    TestIssuer,
    issuer::{Algorithm as Signed, Fault, now},
};
use bulkhead_oidc::{
    AllowedHosts, Expected, Issuers, Kind, Presented, Source, TokenError, Unavailable, client,
    issuers::Circuit,
    keys::{Algorithm, Keys},
};
use bulkhead_outbound::{Endpoint, FetchError};
use serde_json::{Value, json};

const KEYS: &str = "/keys";

fn issuers_of(issuer: &TestIssuer) -> Issuers {
    let client = client(Some(issuer.ca().as_bytes()), true).unwrap();
    Issuers::new(client, AllowedHosts::new([issuer.host().as_str()]).unwrap(), None)
}

fn source(issuer: &TestIssuer) -> Source {
    Source { issuer: issuer.issuer(), jwks: None }
}

async fn keys(issuers: &Issuers, issuer: &TestIssuer, kid: &str) -> Result<Arc<Keys>, Unavailable> {
    issuers.keys(&source(issuer), Some(kid), Algorithm::Rs256).await
}

#[tokio::test]
async fn many_who_need_the_keys_at_once_ask_the_issuer_once() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = Arc::new(issuers_of(&issuer));
    let all = (0..64).map(|_| {
        let (issuers, source) = (Arc::clone(&issuers), source(&issuer));
        tokio::spawn(async move { issuers.keys(&source, Some("key-0"), Algorithm::Rs256).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert!(one.await.unwrap().unwrap().has(Some("key-0"), Algorithm::Rs256));
    }
    assert_eq!((issuer.asked(KEYS), issuer.asked("/.well-known/openid-configuration")), (1, 1));
}

/// They come at each moment of a request that is under way: the issuer takes its time for both of its answers.
#[tokio::test]
async fn who_comes_while_the_issuer_is_being_asked_waits_for_its_answer() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = Arc::new(issuers_of(&issuer));
    let ask = |kid: &'static str| {
        let (issuers, source) = (Arc::clone(&issuers), source(&issuer));
        tokio::spawn(async move { issuers.keys(&source, Some(kid), Algorithm::Rs256).await })
    };
    for (round, kid) in ["key-0", "key-1"].into_iter().enumerate() {
        issuer.set_fault(Some(Fault::Slow(Duration::from_millis(200))));
        let mut all = vec![ask(kid)];
        while issuer.asked(KEYS) == round {
            // Nothing is known of the issuer, or not this key.
            all.push(ask(kid));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        all.extend((0..64).map(|_| ask(kid)));
        for one in all {
            assert!(one.await.unwrap().unwrap().has(Some(kid), Algorithm::Rs256));
        }
        assert_eq!(issuer.asked(KEYS), round + 1);
        issuer.add_key(Signed::Rs256).unwrap();
        tokio::time::pause();
        tokio::time::advance(bulkhead_oidc::issuers::PAUSE).await;
        tokio::time::resume();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_known_is_asked_for_once_in_half_a_minute() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    keys(&issuers, &issuer, "key-0").await.unwrap();
    issuer.add_key(Signed::Rs256).unwrap();
    // It was asked a moment ago, so a flood of made-up names does not reach it, and neither does the new key.
    for round in 0..200 {
        let known = keys(&issuers, &issuer, &format!("made-up-{round}")).await.unwrap();
        assert!(!known.has(Some("key-1"), Algorithm::Rs256));
    }
    assert_eq!(issuer.asked(KEYS), 1);
}

/// Not every issuer names its keys, and some give a new one the old one's name.
#[tokio::test]
async fn a_new_key_that_its_name_does_not_tell_is_asked_for_in_the_same_way() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    let verify = async |header: Value| {
        let claims =
            json!({ "iss": issuer.issuer(), "sub": "a", "aud": "b", "iat": now(), "exp": now() + 300 });
        let token = issuer.sign_as(&header, &claims).unwrap();
        let (presented, expected) = (Presented::read(&token).unwrap(), Expected::Access { audience: "b" });
        let at = chrono::DateTime::from_timestamp(now().cast_signed(), 0).unwrap();
        issuers.verify(&source(&issuer), presented, Kind::Oidc, expected, at).await.unwrap().map(|_claims| ())
    };
    for header in [json!({ "alg": "RS256" }), json!({ "alg": "RS256", "kid": "key-0" })] {
        verify(header.clone()).await.unwrap();
        let asked = issuer.asked(KEYS);
        issuer.add_key_as(Signed::Rs256, "key-0").unwrap();
        issuer.forget_old_keys();
        for _ in 0..20 {
            assert_eq!(verify(header.clone()).await, Err(TokenError::Signature), "it was asked a moment ago");
        }
        assert_eq!(issuer.asked(KEYS), asked);
        tokio::time::pause();
        tokio::time::advance(bulkhead_oidc::issuers::PAUSE).await;
        tokio::time::resume();
        verify(header).await.unwrap();
        assert_eq!(issuer.asked(KEYS), asked + 1);
    }
}

#[tokio::test]
async fn every_fault_is_told_apart_and_takes_no_longer_than_it_may() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    let probe = async |fault| {
        issuer.set_fault(Some(fault));
        let began = Instant::now();
        let outcome = issuers.probe(&source(&issuer)).await;
        assert!(began.elapsed() < Duration::from_secs(7), "{fault:?}");
        outcome.unwrap_err()
    };
    assert!(matches!(probe(Fault::Slow(Duration::from_secs(60))).await, FetchError::Timeout(_)));
    assert!(matches!(probe(Fault::Huge).await, FetchError::TooLarge(_)));
    assert!(matches!(probe(Fault::Redirecting).await, FetchError::Redirect));
    assert_eq!(issuer.asked("/.well-known/openid-configuration/elsewhere"), 0);
    assert!(matches!(probe(Fault::Failing).await, FetchError::Status(500)));
    assert!(matches!(probe(Fault::Impostor).await, FetchError::Unusable(_)));
    issuer.set_fault(None);
    assert_eq!(issuers.probe(&source(&issuer)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_trusted_is_refused() {
    let (issuer, other) = (TestIssuer::start().unwrap(), TestIssuer::start().unwrap());
    let hosts = || AllowedHosts::new([issuer.host().as_str()]).unwrap();
    for authority in [None, Some(other.ca().as_bytes())] {
        let issuers = Issuers::new(client(authority, true).unwrap(), hosts(), None);
        assert!(matches!(issuers.probe(&source(&issuer)).await.unwrap_err(), FetchError::Tls(_)));
    }
    assert_eq!(issuer.asked(KEYS), 0);
}

#[tokio::test]
async fn a_private_address_is_not_connected_to_by_whatever_name() {
    let issuer = TestIssuer::start().unwrap();
    let client = client(Some(issuer.ca().as_bytes()), false).unwrap();
    let port = issuer.host().split(':').nth(1).unwrap().to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ] {
        let endpoint = Endpoint::parse(&format!("https://{host}:{port}/keys"), false).unwrap();
        let refused = client.get(&endpoint).await.unwrap_err();
        assert!(matches!(refused, FetchError::PrivateAddress), "{host}: {refused}");
    }
    assert_eq!(issuer.asked(KEYS), 0);
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_asked() {
    let issuer = TestIssuer::start().unwrap();
    let client = client(Some(issuer.ca().as_bytes()), true).unwrap();
    let issuers = Issuers::new(client, AllowedHosts::new(["login.example.com"]).unwrap(), None);
    assert_eq!(keys(&issuers, &issuer, "key-0").await.unwrap_err(), Unavailable);
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_while_and_its_state_is_told() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    let metadata = "/.well-known/openid-configuration";
    issuer.set_fault(Some(Fault::Failing));
    for failures in 1..=3 {
        assert!(keys(&issuers, &issuer, "key-0").await.is_err());
        assert_eq!(issuer.asked(metadata), failures);
        tokio::time::sleep(bulkhead_oidc::issuers::SHORT_PAUSE).await;
    }
    assert_eq!(issuers.circuit(&source(&issuer)), Some(Circuit::Open));
    issuer.set_fault(None);
    for _ in 0..50 {
        assert!(keys(&issuers, &issuer, "key-0").await.is_err());
    }
    assert_eq!(issuer.asked(metadata), 3, "the circuit is open");
}

/// What counts are failures in a row.
#[tokio::test]
async fn an_answer_closes_the_circuit() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    for (fault, times) in [(Some(Fault::Failing), 2), (None, 1), (Some(Fault::Failing), 2)] {
        issuer.set_fault(fault);
        for _ in 0..times {
            // Of a name that it does not have: it is asked each time.
            let found = keys(&issuers, &issuer, "made-up").await;
            assert!(found.is_err() || !found.unwrap().has(Some("made-up"), Algorithm::Rs256));
            tokio::time::pause();
            tokio::time::advance(bulkhead_oidc::issuers::PAUSE).await;
            tokio::time::resume();
        }
    }
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 5);
    assert_eq!(issuers.circuit(&source(&issuer)), Some(Circuit::Closed));
}

#[tokio::test]
async fn keys_go_on_being_used_while_their_issuer_is_away() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    keys(&issuers, &issuer, "key-0").await.unwrap();
    issuer.set_fault(Some(Fault::Failing));
    tokio::time::pause();
    // An hour later they are old: the issuer is asked, and does not answer.
    tokio::time::advance(bulkhead_oidc::issuers::FRESH_FOR).await;
    tokio::time::resume();
    assert!(keys(&issuers, &issuer, "key-0").await.unwrap().has(Some("key-0"), Algorithm::Rs256));
    // Its failure is known by now, so that it is asked anew below.
    while issuer.asked("/.well-known/openid-configuration") < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::time::pause();
    tokio::time::advance(bulkhead_oidc::issuers::STALE_FOR).await;
    tokio::time::resume();
    assert!(keys(&issuers, &issuer, "key-0").await.is_err(), "for a day in all");
}

#[tokio::test]
async fn keys_that_are_an_hour_old_are_read_anew() {
    let issuer = TestIssuer::start().unwrap();
    let issuers = issuers_of(&issuer);
    keys(&issuers, &issuer, "key-0").await.unwrap();
    issuer.add_key(Signed::Rs256).unwrap();
    issuer.forget_old_keys();
    for (later, asked) in [(bulkhead_oidc::issuers::PAUSE, 2), (bulkhead_oidc::issuers::FRESH_FOR, 3)] {
        tokio::time::pause();
        tokio::time::advance(later).await;
        tokio::time::resume();
        let found = keys(&issuers, &issuer, "key-1").await.unwrap();
        assert!(found.has(Some("key-1"), Algorithm::Rs256));
        // Whoever has keys to go on with does not wait for the answer.
        while issuer.asked(KEYS) < asked {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(issuer.asked(KEYS), asked);
    }
    while keys(&issuers, &issuer, "key-0").await.unwrap().has(Some("key-0"), Algorithm::Rs256) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A key that is for something else does not verify tokens, however good it is.
#[tokio::test]
async fn a_key_that_is_for_something_else_is_left_out() {
    let issuer = TestIssuer::start().unwrap();
    issuer.add_key(Signed::Es256).unwrap();
    let client = client(Some(issuer.ca().as_bytes()), true).unwrap();
    let set = client.get(&Endpoint::parse(&issuer.jwks_url(), true).unwrap()).await.unwrap();
    let set: serde_json::Value = serde_json::from_slice(&set).unwrap();
    let count = |which: usize, more: serde_json::Value| {
        let key = bulkhead_fixtures::issuer::merged(set["keys"][which].clone(), &more);
        Keys::read(json!({ "keys": [key] }).to_string().as_bytes()).map_or(0, |keys| keys.count())
    };
    let (rsa, ec) = (0, 1);
    for key in [rsa, ec] {
        for good in [
            json!({}),
            json!({ "use": "sig" }),
            json!({ "key_ops": ["sign", "verify"] }),
            json!({ "alg": null }),
        ] {
            assert_eq!(count(key, good.clone()), 1, "{key} {good}");
        }
        for other in [
            json!({ "use": "enc" }),
            json!({ "use": "" }),
            json!({ "key_ops": ["encrypt"] }),
            json!({ "key_ops": [] }),
            json!({ "alg": "RS512" }),
            json!({ "alg": "RSA-OAEP" }),
            json!({ "alg": "none" }),
            json!({ "kty": "oct" }),
        ] {
            assert_eq!(count(key, other.clone()), 0, "{key} {other}");
        }
    }
    assert_eq!((count(rsa, json!({ "alg": "ES256" })), count(ec, json!({ "alg": "RS256" }))), (0, 0));
    for curve in ["P-384", "secp256k1", ""] {
        assert_eq!(count(ec, json!({ "crv": curve })), 0, "{curve}");
    }
}

#[test]
fn a_set_of_keys_is_bounded_and_takes_only_what_can_verify() {
    let refused = |json: serde_json::Value| Keys::read(json.to_string().as_bytes()).unwrap_err().to_string();
    let many: Vec<_> = (0..33).map(|_| json!({ "kty": "oct" })).collect();
    assert_eq!(refused(json!({ "keys": many })), "it has more than 32 keys");
    for keys in [
        json!([]),
        json!([{ "kty": "oct", "k": "c2VjcmV0" }]),
        // 1,024 bits.
        json!([{ "kty": "RSA", "e": "AQAB", "n": "x".repeat(171) }]),
        json!([{ "kty": "RSA", "e": "AQAB" }]),
        json!([{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }]),
    ] {
        assert_eq!(refused(json!({ "keys": keys })), "it has no key for RS256 or ES256");
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        assert_eq!(
            Keys::read(text.as_bytes()).unwrap_err().to_string(),
            "it is no JSON Web Key Set",
            "{text}"
        );
    }
}
