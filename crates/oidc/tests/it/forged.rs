//! Tokens that must be refused: every way to write one that is not what it says.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_fixtures::{
    TestIssuer,
    issuer::{Algorithm as Signed, merged, now},
};
use bulkhead_oidc::{
    AllowedHosts, Claims, Expected, Issuers, Kind, Presented, Source, TokenError, client,
    keys::{Algorithm, Keys},
};
use chrono::DateTime;
use serde_json::{Value, json};
use std::sync::Arc;

const AUDIENCE: &str = "https://api.example.com";
const CLIENT: &str = "client-1";

struct Trusted {
    issuer: TestIssuer,
    keys: Arc<Keys>,
}

impl Trusted {
    async fn start() -> Self {
        let issuer = TestIssuer::start().unwrap();
        issuer.add_key(Signed::Es256).unwrap();
        issuer.add_key(Signed::Rs256).unwrap();
        let keys = read(&issuer).await;
        Self { issuer, keys }
    }

    fn claims(&self, more: &Value) -> Value {
        let now = now();
        let claims = json!({ "iss": self.issuer.issuer(), "sub": "248289761001", "aud": AUDIENCE, "iat": now, "exp": now + 300 });
        merged(claims, more)
    }

    fn verify(&self, kind: Kind, expected: Expected<'_>, token: &str) -> Result<Claims, TokenError> {
        Presented::read(token)?.verify(
            &self.keys,
            &self.issuer.issuer(),
            kind,
            expected,
            DateTime::from_timestamp(now().cast_signed(), 0).unwrap(),
        )
    }

    fn access(&self, kind: Kind, more: &Value) -> Result<Claims, TokenError> {
        let token = self.issuer.sign(&self.claims(more)).unwrap();
        self.verify(kind, Expected::Access { audience: AUDIENCE }, &token)
    }

    fn id(&self, kind: Kind, more: &Value) -> Result<Claims, TokenError> {
        let usual = json!({ "aud": CLIENT, "nonce": "n-1" });
        let token = self.issuer.sign(&merged(self.claims(&usual), more)).unwrap();
        let expected =
            Expected::Id { client_id: CLIENT, nonce: Some("n-1"), access_token: Some("an access token") };
        self.verify(kind, expected, &token)
    }
}

async fn read(issuer: &TestIssuer) -> Arc<Keys> {
    let client = client(Some(issuer.ca().as_bytes()), true).unwrap();
    let issuers = Issuers::new(client, AllowedHosts::new([issuer.host().as_str()]).unwrap(), None);
    let source = Source { issuer: issuer.issuer(), jwks: None };
    issuers.keys(&source, None, Algorithm::Rs256).await.unwrap()
}

#[tokio::test]
async fn good_tokens_are_taken_each_as_what_it_is() {
    let trusted = Trusted::start().await;
    for more in [
        json!({}),
        json!({ "aud": ["elsewhere", AUDIENCE] }),
        json!({ "nbf": now() }),
        json!({ "iat": now() + 20, "exp": now() + 40 }),
        json!({ "exp": now() - 20, "iat": now() - 200 }),
        json!({ "typ": "Bearer", "azp": "anybody", "scope": "read" }),
    ] {
        assert_eq!(trusted.access(Kind::Oidc, &more).unwrap().sub, "248289761001", "{more}");
    }
    let cognito = json!({ "aud": null, "client_id": AUDIENCE, "token_use": "access" });
    assert!(trusted.access(Kind::Cognito, &cognito).is_ok());
    assert!(trusted.id(Kind::Oidc, &json!({})).is_ok());
    assert!(trusted.id(Kind::Oidc, &json!({ "aud": [CLIENT, "other"], "azp": CLIENT })).is_ok());
    assert!(trusted.id(Kind::Cognito, &json!({ "token_use": "id" })).is_ok());
    let half = URL_SAFE_NO_PAD
        .encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"an access token").as_ref()[..16]);
    assert!(trusted.id(Kind::Oidc, &json!({ "at_hash": half })).is_ok());
    for (told, is_verified) in [
        (json!(true), true),
        (json!("true"), true),
        (json!("false"), false),
        (json!(false), false),
        (json!(1), false),
        (json!(["true"]), false),
    ] {
        let claims =
            trusted.id(Kind::Oidc, &json!({ "email": "a@example.com", "email_verified": told })).unwrap();
        assert_eq!(claims.email_verified, is_verified, "{told}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn claims_that_are_not_for_us_or_not_now_are_refused() {
    let trusted = Trusted::start().await;
    let now = now();
    let forged = [
        json!({ "iss": "https://login.example.com" }),
        json!({ "iss": format!("{}/", trusted.issuer.issuer()) }),
        json!({ "iss": null }),
        json!({ "iss": [trusted.issuer.issuer()] }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "sub": "a".repeat(256) }),
        json!({ "sub": "a\u{0}b" }),
        json!({ "aud": null }),
        json!({ "aud": "" }),
        json!({ "aud": [] }),
        json!({ "aud": "https://api.example.com/" }),
        json!({ "aud": "https://api.example.org" }),
        json!({ "aud": { "0": AUDIENCE } }),
        json!({ "aud": [[AUDIENCE]] }),
        json!({ "aud": null, "client_id": AUDIENCE }),
        json!({ "exp": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": now - 60, "iat": now - 300 }),
        json!({ "exp": now + 10, "iat": now + 20 }),
        json!({ "exp": "9999999999" }),
        json!({ "exp": 9_999_999_999_u64 }),
        json!({ "exp": -1 }),
        json!({ "exp": 1.5e300 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": now + 90_000 }),
        json!({ "iat": null }),
        json!({ "iat": now + 60 }),
        json!({ "iat": now + 400 }),
        json!({ "iat": "now" }),
        json!({ "nbf": now + 60 }),
        json!({ "nbf": "never" }),
        // Id tokens, logout tokens and refresh tokens where access tokens belong.
        json!({ "nonce": "n-1" }),
        json!({ "at_hash": "x" }),
        json!({ "c_hash": "x" }),
        json!({ "token_use": "id" }),
        json!({ "token_use": "access" }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
        json!({ "typ": "Logout" }),
        json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
    ];
    for more in &forged {
        assert!(trusted.access(Kind::Oidc, more).is_err(), "{more}");
    }
    let cognito =
        |more: Value| merged(json!({ "aud": null, "client_id": AUDIENCE, "token_use": "access" }), &more);
    let forged_cognito = [
        cognito(json!({ "token_use": "id" })),
        cognito(json!({ "token_use": null })),
        cognito(json!({ "token_use": ["access"] })),
        cognito(json!({ "client_id": null })),
        cognito(json!({ "client_id": "another" })),
        cognito(json!({ "client_id": null, "aud": AUDIENCE })),
        cognito(json!({ "nonce": "n" })),
    ];
    for more in &forged_cognito {
        assert!(trusted.access(Kind::Cognito, more).is_err(), "{more}");
    }
    let forged_id = [
        json!({ "nonce": null }),
        json!({ "nonce": "n-2" }),
        json!({ "nonce": ["n-1"] }),
        json!({ "aud": "client-2" }),
        json!({ "aud": [CLIENT, "client-2"] }),
        json!({ "aud": [CLIENT, "client-2"], "azp": "client-2" }),
        json!({ "azp": "client-2" }),
        json!({ "aud": null, "client_id": CLIENT }),
        json!({ "at_hash": "another" }),
        json!({ "token_use": "access" }),
        json!({ "typ": "Bearer" }),
        json!({ "iss": "https://login.example.com" }),
        json!({ "exp": now - 60 }),
    ];
    for more in &forged_id {
        assert!(trusted.id(Kind::Oidc, more).is_err(), "{more}");
    }
    for more in [json!({}), json!({ "token_use": "access" })] {
        assert!(trusted.id(Kind::Cognito, &more).is_err(), "{more}");
    }
    println!("{} forged claims", forged.len() + forged_cognito.len() + forged_id.len() + 2);
}

/// What is looked at for a token that anybody may have written is bounded.
#[tokio::test]
async fn a_token_that_says_too_much_is_not_looked_at() {
    let trusted = Trusted::start().await;
    let long = |length: usize| trusted.access(Kind::Oidc, &json!({ "padding": "a".repeat(length) }));
    assert!(long(4_000).is_ok());
    assert_eq!(long(bulkhead_oidc::token::LONGEST).unwrap_err(), TokenError::TooLong);
    let many: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let token = trusted.issuer.sign(&trusted.claims(&json!({ "aud": many, "client_id": "one" }))).unwrap();
    let presented = Presented::read(&token).unwrap();
    assert_eq!(presented.audiences().len(), 17, "sixteen audiences and the client");
}

/// An access token of a form of its own is no id token.
#[tokio::test]
async fn an_id_token_is_not_of_another_type() {
    let trusted = Trusted::start().await;
    let claims = trusted.claims(&json!({ "aud": CLIENT, "nonce": "n-1" }));
    let expected = Expected::Id { client_id: CLIENT, nonce: Some("n-1"), access_token: None };
    for (typ, is_good) in [
        ("JWT", true),
        ("jwt", true),
        ("at+jwt", false),
        ("application/at+jwt", false),
        ("logout+jwt", false),
    ] {
        let header = json!({ "alg": "RS256", "kid": "key-2", "typ": typ });
        let token = trusted.issuer.sign_as(&header, &claims).unwrap();
        assert_eq!(trusted.verify(Kind::Oidc, expected, &token).is_ok(), is_good, "{typ}");
    }
}

#[tokio::test]
async fn headers_that_change_what_is_verified_are_refused() {
    let trusted = Trusted::start().await;
    let claims = trusted.claims(&json!({}));
    let expected = Expected::Access { audience: AUDIENCE };
    let kid = "key-2";
    let good = json!({ "alg": "RS256", "kid": kid });
    let verify = |header: &Value| {
        trusted.verify(Kind::Oidc, expected, &trusted.issuer.sign_as(header, &claims).unwrap())
    };
    for header in [
        good.clone(),
        json!({ "alg": "RS256" }),
        merged(good.clone(), &json!({ "typ": "at+jwt", "x5t": "y" })),
    ] {
        assert!(verify(&header).is_ok(), "{header}");
    }
    for alg in [
        "none", "None", "nOnE", "", "HS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "rs256",
        "RS256 ",
    ] {
        assert!(verify(&json!({ "alg": alg, "kid": kid })).is_err(), "{alg}");
    }
    for more in [
        json!({ "alg": null }),
        json!({ "alg": ["RS256"] }),
        json!({ "kid": "key-0" }),
        json!({ "kid": "key-1" }),
        json!({ "kid": "../../dev/null" }),
        json!({ "kid": "' OR 1=1 --" }),
        json!({ "kid": "k".repeat(4_096) }),
        json!({ "kid": "" }),
        json!({ "kid": 2 }),
        json!({ "jwk": { "kty": "RSA" } }),
        json!({ "jku": "https://evil.example/keys" }),
        json!({ "x5u": "https://evil.example/cert" }),
        json!({ "x5c": ["AA"] }),
        json!({ "crit": ["exp"] }),
        json!({ "b64": false }),
        json!({ "enc": "A256GCM" }),
        json!({ "typ": "logout+jwt" }),
        json!({ "typ": "dpop+jwt" }),
    ] {
        assert!(verify(&merged(good.clone(), &more)).is_err(), "{more}");
    }
}

#[tokio::test]
async fn texts_that_are_no_tokens_or_were_changed_are_refused() {
    let trusted = Trusted::start().await;
    let expected = Expected::Access { audience: AUDIENCE };
    let good = trusted.issuer.sign(&trusted.claims(&json!({}))).unwrap();
    assert!(trusted.verify(Kind::Oidc, expected, &good).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let twice = format!(
        r#"{{"iss":"{0}","iss":"{0}","sub":"a","aud":"{AUDIENCE}","iat":1,"exp":2}}"#,
        trusted.issuer.issuer()
    );
    let other = TestIssuer::start().unwrap();
    let theirs = other.sign(&trusted.claims(&json!({}))).unwrap();
    let elsewhere = trusted.issuer.sign(&trusted.claims(&json!({ "sub": "another" }))).unwrap();
    let changed = elsewhere.split('.').nth(1).unwrap();
    let all = [
        String::new(),
        "a".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{changed}.{signature}"),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
        format!("{header}.{claims}.{signature}AAAA"),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 256])),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{}.{claims}.{signature}", encode("not json")),
        format!("{header}.{}.{signature}", encode("[]")),
        format!("{header}.{}.{signature}", encode("null")),
        format!("{header}.{}.{signature}", encode(&twice)),
        format!("{}.{claims}.{signature}", encode(r#"{"alg":"RS256","alg":"none","kid":"key-2"}"#)),
        format!("{header}.{claims}.{signature}{}", "A".repeat(9_000)),
        theirs,
    ];
    for token in &all {
        assert!(trusted.verify(Kind::Oidc, expected, token).is_err(), "{token}");
    }
    // Signed with HMAC under a public key.
    let modulus = encode("the issuer's modulus");
    let hmac = format!("{}.{claims}.{modulus}", encode(r#"{"alg":"HS256","kid":"key-2"}"#));
    assert_eq!(trusted.verify(Kind::Oidc, expected, &hmac).unwrap_err(), TokenError::Algorithm);
}

#[tokio::test]
async fn two_keys_of_one_name_are_both_tried_and_no_others() {
    let issuer = TestIssuer::start().unwrap();
    let first = issuer
        .sign(
            &json!({ "iss": issuer.issuer(), "sub": "a", "aud": AUDIENCE, "iat": now(), "exp": now() + 60 }),
        )
        .unwrap();
    issuer.add_key_as(Signed::Rs256, "key-0").unwrap();
    let second = issuer
        .sign(
            &json!({ "iss": issuer.issuer(), "sub": "b", "aud": AUDIENCE, "iat": now(), "exp": now() + 60 }),
        )
        .unwrap();
    issuer.add_key_as(Signed::Rs256, "key-1").unwrap();
    let trusted = Trusted { keys: read(&issuer).await, issuer };
    for (token, subject) in [(&first, "a"), (&second, "b")] {
        let claims = trusted.verify(Kind::Oidc, Expected::Access { audience: AUDIENCE }, token).unwrap();
        assert_eq!(claims.sub, subject);
    }
    // The third key has signed it, and it names the other two.
    let header = json!({ "alg": "RS256", "kid": "key-0" });
    let forged = trusted.issuer.sign_as(&header, &trusted.claims(&json!({}))).unwrap();
    let refused = trusted.verify(Kind::Oidc, Expected::Access { audience: AUDIENCE }, &forged).unwrap_err();
    assert_eq!(refused, TokenError::Signature);
}
