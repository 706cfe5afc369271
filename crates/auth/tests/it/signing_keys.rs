//! Keys: their names, their storage, the sets they form.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_auth::{KeySet, Keyring, KeyringError, RootKey, SigningKey, SigningKeyError, VerifyingKey};
use serde_json::{Value, json};

use crate::forger::{keyring, keys, with};

/// The key and the thumbprint of RFC 7638 section 3.1.
const RFC_MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
const RFC_KID: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

fn rfc_jwk() -> Value {
    json!({ "kty": "RSA", "n": RFC_MODULUS, "e": "AQAB", "use": "sig", "alg": "RS256", "kid": RFC_KID })
}

#[test]
fn a_key_is_named_by_its_rfc_7638_thumbprint() {
    let key = VerifyingKey::from_jwk(&rfc_jwk()).unwrap();
    assert_eq!(key.kid(), RFC_KID);
    assert_eq!(key.to_jwk(), rfc_jwk());
}

#[test]
fn a_public_key_that_is_not_ours_is_refused() {
    let short = json!("sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1Wl");
    for (member, to) in [
        ("kty", json!("EC")),
        ("alg", json!("HS256")),
        ("use", json!("enc")),
        ("e", json!("AQ")),
        ("kid", json!("mine")),
        ("kid", Value::Null),
        ("n", short),
        ("n", json!(format!("{RFC_MODULUS}="))),
        ("n", json!(format!("AAAA{RFC_MODULUS}"))),
        ("d", json!("AQAB")),
    ] {
        let jwk = with(rfc_jwk(), member, to);
        assert_eq!(VerifyingKey::from_jwk(&jwk).err(), Some(SigningKeyError::PublicKey), "{jwk}");
    }
}

#[test]
fn a_key_of_another_size_is_refused_under_its_own_thumbprint_too() {
    for (modulus, accepted) in
        [(RFC_MODULUS, true), (&RFC_MODULUS[..340], false), (&"0vx7".repeat(128), false)]
    {
        let canonical = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{modulus}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        let jwk = with(with(rfc_jwk(), "n", json!(modulus)), "kid", json!(kid));
        assert_eq!(VerifyingKey::from_jwk(&jwk).is_ok(), accepted, "{} characters", modulus.len());
    }
}

#[test]
fn a_private_key_survives_its_storage_and_opens_for_nobody_else() {
    let active = keys().active().unwrap();
    let (public, sealed) = (active.public().clone(), active.sealed(&keyring()).unwrap());
    assert!(SigningKey::unseal(public.clone(), &sealed, &keyring()).is_ok());
    assert!(!sealed.windows(7).any(|bytes| bytes == b"PRIVATE"));

    let other_keyring = Keyring::new(&RootKey::from([2; 32])).unwrap();
    let unopenable = Some(SigningKeyError::Keyring(KeyringError::Unopenable));
    assert_eq!(SigningKey::unseal(public, &sealed, &other_keyring).err(), unopenable);
    let another = VerifyingKey::from_jwk(&rfc_jwk()).unwrap();
    assert_eq!(SigningKey::unseal(another, &sealed, &keyring()).err(), unopenable);
}

#[test]
fn a_private_key_under_a_foreign_public_key_is_refused_even_when_it_opens() {
    let active = keys().active().unwrap();
    let pem = keyring().open(&active.sealed(&keyring()).unwrap(), active.public().kid()).unwrap();
    assert!(pem.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
    let another = VerifyingKey::from_jwk(&rfc_jwk()).unwrap();
    let swapped = keyring().seal(&pem, RFC_KID).unwrap();
    assert_eq!(
        SigningKey::unseal(another.clone(), &swapped, &keyring()).err(),
        Some(SigningKeyError::Mismatch)
    );
    let garbage = keyring().seal(b"not a key", RFC_KID).unwrap();
    assert_eq!(SigningKey::unseal(another, &garbage, &keyring()).err(), Some(SigningKeyError::PrivateKey));
}

#[test]
fn the_published_set_holds_every_trusted_key_once_and_nothing_private() {
    let active = keys().active().unwrap();
    let again =
        SigningKey::unseal(active.public().clone(), &active.sealed(&keyring()).unwrap(), &keyring()).unwrap();
    let announced = VerifyingKey::from_jwk(&rfc_jwk()).unwrap();
    let set = KeySet::new(again, [announced.clone(), active.public().clone(), announced]);
    let jwks: Value = serde_json::from_str(set.jwks()).unwrap();
    let published = jwks["keys"].as_array().unwrap();
    assert_eq!(published.len(), 2);
    for jwk in published {
        let members: Vec<_> = jwk.as_object().unwrap().keys().collect();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert!(VerifyingKey::from_jwk(jwk).is_ok());
        assert!(set.find(jwk["kid"].as_str().unwrap()).is_some());
    }
    for unknown in ["", "NzbLs", &format!("{RFC_KID} "), &RFC_KID.to_lowercase()] {
        assert!(set.find(unknown).is_none(), "{unknown:?}");
    }
}

#[test]
fn debug_names_keys_and_shows_nothing_else() {
    let active = keys().active().unwrap();
    assert_eq!(format!("{active:?}"), format!("SigningKey({})", active.public().kid()));
}
