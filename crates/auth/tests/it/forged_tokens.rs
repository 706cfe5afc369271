//! Every way we know of to forge a token. Each must be refused, and none may panic.

use std::{panic, sync::LazyLock};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bulkhead_auth::{Issue, Principal, SigningKey, TokenError};
use bulkhead_domain::{ApiKeyId, Evidence, Proven, RoleName, TenantId, UserId};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forger::{
    AUDIENCE, ISSUER, NOW, NOW_SECONDS, claims, gone, header, keys, operator, private, role, segment,
    session, signed, signed_with, standby, stolen, tenant, tokens, user, verify, with, with_claims,
    with_header,
};

type Forgery = (String, String);

/// A 2048-bit key that the node does not know.
static FOREIGN: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

fn foreign() -> EncodingKey {
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = FOREIGN.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(pkcs8.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn good() -> String {
    let tenant = Proven::on(Evidence::AccessToken, tenant());
    let principal = Principal::User {
        tenant,
        id: user(),
        role: role(RoleName::READ_ONLY),
        session: session(),
        acting: None,
    };
    tokens().issue(keys(), &Issue { principal, proven_at: NOW, credential_expires_at: None }).unwrap().text
}

fn modulus() -> String {
    keys().active().unwrap().public().to_jwk()["n"].as_str().unwrap().to_owned()
}

/// The node's public key as the DER of `SubjectPublicKeyInfo`, written by hand: the prefix is the same for every RSA key
/// of this size.
fn public_der() -> Vec<u8> {
    let rsa = public_pkcs1();
    let algorithm =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = [&tag(0x03, rsa.len() + 1)[..], &[0], &rsa].concat();
    [&tag(0x30, algorithm.len() + bits.len())[..], &algorithm, &bits].concat()
}

fn public_pkcs1() -> Vec<u8> {
    let modulus = URL_SAFE_NO_PAD.decode(modulus()).unwrap();
    let n = [&tag(0x02, modulus.len() + 1)[..], &[0], &modulus].concat();
    let e = [0x02, 0x03, 0x01, 0x00, 0x01];
    [&tag(0x30, n.len() + e.len())[..], &n, &e].concat()
}

fn tag(tag: u8, length: usize) -> [u8; 4] {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [tag, 0x82, high, low]
}

fn public_pem() -> String {
    let body = STANDARD.encode(public_der());
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// No algorithm, with and without something in the signature's place.
fn unsigned() -> Vec<Forgery> {
    let mut forged = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "none ", "\0none"] {
        let message = format!(
            "{}.{}",
            segment(with(header(), "alg", json!(alg)).to_string()),
            segment(claims().to_string())
        );
        forged.push((format!("alg {alg:?}, no signature"), format!("{message}.")));
        let old = good();
        let signature = old.rsplit('.').next().unwrap();
        forged.push((format!("alg {alg:?}, another token's signature"), format!("{message}.{signature}")));
    }
    for alg in [Value::Null, json!(null), json!(0), json!(true), json!(["RS256"]), json!({ "alg": "RS256" })]
    {
        forged.push((format!("alg {alg}, signed by the node"), with_header(&with(header(), "alg", alg))));
    }
    forged
}

/// Another algorithm, with the best key an attacker could have for it.
fn other_algorithms() -> Vec<Forgery> {
    let mut forged = Vec::new();
    let modulus_bytes = URL_SAFE_NO_PAD.decode(modulus()).unwrap();
    let secrets: [(&str, Vec<u8>); 8] = [
        ("the public PEM", public_pem().into_bytes()),
        ("the public PEM without its last newline", public_pem().trim_end().as_bytes().to_vec()),
        ("the public DER", public_der()),
        ("the public PKCS#1 DER", public_pkcs1()),
        ("the modulus", modulus_bytes),
        ("the JWK's n", modulus().into_bytes()),
        ("the JWKS document", keys().jwks().as_bytes().to_vec()),
        ("nothing", Vec::new()),
    ];
    let claims = claims().to_string();
    for (name, secret) in &secrets {
        for (alg, algorithm) in
            [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512), ("RS256", Algorithm::HS256)]
        {
            let header = with(header(), "alg", json!(alg)).to_string();
            let token = signed_with(&header, &claims, &EncodingKey::from_secret(secret), algorithm);
            forged.push((format!("{alg}, an HMAC under {name}"), token));
        }
    }
    // Even the right key is refused for another algorithm, whatever the header calls it.
    for (algorithm, name) in [
        (Algorithm::PS256, "PS256"),
        (Algorithm::PS384, "PS384"),
        (Algorithm::PS512, "PS512"),
        (Algorithm::RS384, "RS384"),
        (Algorithm::RS512, "RS512"),
    ] {
        for alg in [name, "RS256"] {
            let header = with(header(), "alg", json!(alg)).to_string();
            let token = signed_with(&header, &claims, private(), algorithm);
            forged.push((format!("a {name} signature called {alg}"), token));
        }
    }
    for alg in ["ES256", "ES384", "EdDSA", "rs256", "RS256 ", "Rs256", "RSA-OAEP", "A256GCM"] {
        let token = with_header(&with(header(), "alg", json!(alg)));
        forged.push((format!("a good signature called {alg:?}"), token));
    }
    forged
}

/// Keys that the node does not trust, and names that mean something elsewhere.
fn other_keys() -> Vec<Forgery> {
    let (header, claims) = (header(), claims().to_string());
    let mut forged = vec![
        ("a foreign key".to_owned(), signed_with(&header.to_string(), &claims, &foreign(), Algorithm::RS256)),
        ("no kid".to_owned(), with_header(&with(header.clone(), "kid", Value::Null))),
        ("a kid that is a number".to_owned(), with_header(&with(header.clone(), "kid", json!(1)))),
        (
            "a kid that is a list".to_owned(),
            with_header(&with(header.clone(), "kid", json!([header["kid"]]))),
        ),
    ];
    let kid = header["kid"].as_str().unwrap();
    for other in [
        String::new(),
        "../../../../dev/null".to_owned(),
        "/etc/passwd".to_owned(),
        "' OR '1'='1".to_owned(),
        "x'; DROP SCHEMA platform CASCADE; --".to_owned(),
        "https://evil.example/jwks.json".to_owned(),
        "| whoami".to_owned(),
        "ключ\u{202e}🔑".to_owned(),
        "k".repeat(4096),
        kid.to_lowercase(),
        format!("{kid} "),
        format!("{kid}\0"),
        format!("{kid}="),
        kid.chars().take(42).collect(),
    ] {
        let name: String = other.chars().take(40).collect();
        forged.push((format!("kid {name:?}"), with_header(&with(header.clone(), "kid", json!(other)))));
        let own = with(header.clone(), "kid", json!(other)).to_string();
        forged.push((
            format!("kid {name:?}, foreign key"),
            signed_with(&own, &claims, &foreign(), Algorithm::RS256),
        ));
    }
    forged
}

/// Keys that were the node's, or will be: each private part, under every name that the node knows or knew.
fn keys_of_another_time() -> Vec<Forgery> {
    let (header, claims) = (header(), claims().to_string());
    let active = keys().active().unwrap();
    let all = [("the active key", active), ("the standby key", standby()), ("a key that is gone", gone())];
    let mut forged = Vec::new();
    for (by, signer) in all {
        for (under, name) in all {
            // What the active key signs under its own name is good.
            if std::ptr::eq(signer, active) && std::ptr::eq(name, active) {
                continue;
            }
            let header = with(header.clone(), "kid", json!(name.public().kid())).to_string();
            for (what, claims) in
                [("", claims.clone()), (", with a claim more", appended(&claims, "\"x\":1"))]
            {
                let token = signed_with(&header, &claims, &stolen(signer), Algorithm::RS256);
                forged.push((format!("{by} under the name of {under}{what}"), token));
            }
        }
    }
    forged
}

/// Headers that bring a key or ask for special treatment; signed by the foreign key and, harder, by the node's own.
fn headers() -> Vec<Forgery> {
    let jwk =
        json!({ "kty": "RSA", "e": "AQAB", "n": segment(FOREIGN.public_key().as_ref()), "kid": "mine" });
    let certificate = STANDARD.encode(FOREIGN.public_key().as_ref());
    let mut forged = Vec::new();
    for (member, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!([certificate])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
        ("url", json!("https://evil.example")),
        ("nonce", json!("AAAA")),
        ("verified", json!(true)),
    ] {
        let header = with(header(), member, value.clone()).to_string();
        forged.push((format!("header {member}: {value}"), signed(&header, &claims().to_string())));
        let foreign = signed_with(&header, &claims().to_string(), &foreign(), Algorithm::RS256);
        forged.push((format!("header {member}: {value}, foreign key"), foreign));
    }
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("rt+jwt"),
        json!("id+jwt"),
        json!("dpop+jwt"),
        json!("at+jwt "),
        json!(" at+jwt"),
        json!("application/application/at+jwt"),
        json!("text/at+jwt"),
        json!("at"),
        json!(""),
        json!(1),
        json!(["at+jwt"]),
        Value::Null,
    ] {
        forged.push((format!("typ {typ}"), with_header(&with(header(), "typ", typ.clone()))));
    }
    let payload = claims().to_string();
    for raw in ["", "{}", "[]", "null", "\"RS256\"", "{", "{\"alg\":\"RS256\"", "not json"] {
        forged.push((format!("header {raw:?}"), signed(raw, &payload)));
    }
    forged
}

/// Good tokens, each with one claim changed to each of these values (`null`: left out); all signed by the node itself.
fn with_each(values: &[(&'static str, Value)]) -> Vec<Forgery> {
    let each = |(member, values): &(&'static str, Value)| -> Vec<Forgery> {
        let forge = |value: &Value| with_claims(&with(claims(), member, value.clone()));
        let name = |value: &Value| format!("claim {member}: {value}");
        values.as_array().unwrap().iter().map(|value| (name(value), forge(value))).collect()
    };
    values.iter().flat_map(each).collect()
}

/// Claims of time: missing, of another type, over, to come, too long.
fn wrong_times() -> Vec<Forgery> {
    let now = NOW_SECONDS;
    let text = now.to_string();
    let (min, max, unsigned, last_year) = (i64::MIN, i64::MAX, u64::MAX, 8_210_266_876_799_i64);
    let half = json!(1.8e9 + 0.5);
    with_each(&[
        (
            "exp",
            json!([
                now,
                now - 4,
                now - 5,
                now - 600,
                0,
                -1,
                min,
                max,
                unsigned,
                last_year,
                now + 3_601,
                half,
                text,
                true,
                [now],
                null
            ]),
        ),
        ("nbf", json!([now + 6, now + 599, max, last_year, half, text, {}, null])),
        ("iat", json!([now + 6, now + 1, now - 1, now - 3_600, min, max, 0, half, text, null])),
    ])
}

/// Claims of identity: missing, of another type, or those of another person or service.
fn wrong_names() -> Vec<Forgery> {
    let other = UserId::from_uuid(Uuid::from_bytes([9; 16]));
    let service = "https://billing.example.com";
    let tenant_upper = tenant().to_string().to_uppercase();
    let random_id = "8c9d4a52-3f0e-4b3c-9d1f-6a2b7c8d9e0f";
    let another_second = "018bcfe5-6800-7000-8000-000000000000";
    with_each(&[
        ("iss", json!([service, format!("{ISSUER}/"), ISSUER.to_uppercase(), [ISSUER], "", 1, null])),
        (
            "aud",
            json!([service, [AUDIENCE], [AUDIENCE, service], [], format!("{AUDIENCE}/v1"), { "0": AUDIENCE }, "", null]),
        ),
        ("sub", json!([other, operator(), "usr_", "usr_1", "admin", "us", "ключ", 1, [user()], "", null])),
        ("client_id", json!([other, "", 1, null])),
        ("jti", json!(["1", "", 1, Uuid::nil(), random_id, another_second, null])),
        (
            "tenant",
            json!([TenantId::PREFIX, "*", "", [tenant()], { "id": tenant() }, tenant().uuid(), tenant_upper, null]),
        ),
        ("role", json!(["Owner", "super-user", "9", "*", ["owner"], "", "o".repeat(32), null])),
        ("sid", json!(["", "ses_1", [session()], tenant(), 1])),
    ])
}

/// Kinds of principals and of tokens mixed up.
fn wrong_kinds() -> Vec<Forgery> {
    let speaking_for = |subject: &dyn ToString| {
        let subject = json!(subject.to_string());
        with(with(claims(), "sub", subject.clone()), "client_id", subject)
    };
    let key = ApiKeyId::from_uuid(Uuid::from_bytes([3; 16]));
    let operators = with(speaking_for(&operator()), "role", json!("admin"));
    let id_token = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": user(), "exp": NOW_SECONDS + 600, "iat": NOW_SECONDS,
        "token_use": "id", "email": "a@b",
    });
    let mut for_key = speaking_for(&key);
    for_key.as_object_mut().unwrap().remove("sid");
    [
        ("an operator of a tenant", operators),
        ("a key with a session", speaking_for(&key)),
        ("a key, which shows itself", for_key),
        ("a tenant as the subject", speaking_for(&tenant())),
        ("a session as the subject", speaking_for(&session())),
        ("an ID token, as Cognito writes them", id_token),
    ]
    .map(|(name, claims)| (name.to_owned(), with_claims(&claims)))
    .into()
}

/// Who acts as whom, mixed up: a good one has `act` with the operator and their session in the place of `sid`.
fn wrong_impersonations() -> Vec<Forgery> {
    let good = impersonation();
    let act = good["act"].clone();
    let other_way = with(with(claims(), "sub", json!(operator())), "client_id", json!(operator()));
    let acts = [
        ("an empty act", json!({})),
        ("an act without a session", with(act.clone(), "sid", Value::Null)),
        ("an act without a subject", with(act.clone(), "sub", Value::Null)),
        ("an act in an act", with(act.clone(), "act", act.clone())),
        ("an act with more in it", with(act.clone(), "role", json!("admin"))),
        ("an act of a person", with(act.clone(), "sub", json!(user()))),
        ("an act of a key", with(act.clone(), "sub", json!(ApiKeyId::from_uuid(Uuid::from_bytes([3; 16]))))),
        ("an act of nobody", with(act.clone(), "sub", json!(""))),
        ("an act that is a text", json!(operator())),
        ("an act that is a list", json!([act])),
        ("an act that is false", json!(false)),
    ];
    let mut forged: Vec<_> = acts
        .into_iter()
        .map(|(name, act)| (name.to_owned(), with_claims(&with(good.clone(), "act", act))))
        .collect();
    let key = json!(ApiKeyId::from_uuid(Uuid::from_bytes([3; 16])));
    for (name, claims) in [
        ("an act beside a session", with(claims(), "act", act.clone())),
        ("no act and no session", with(good.clone(), "act", Value::Null)),
        ("an act without a tenant", with(good.clone(), "tenant", Value::Null)),
        ("an act as a key", with(with(good.clone(), "sub", key.clone()), "client_id", key)),
        ("an act as an operator", with(with(other_way, "act", act.clone()), "tenant", Value::Null)),
    ] {
        forged.push((name.to_owned(), with_claims(&claims)));
    }
    let text = good.to_string();
    let member = format!("\"act\":{act}");
    forged.push(("act twice, first".to_owned(), signed(&header().to_string(), &prepended(&text, &member))));
    forged.push(("act twice, last".to_owned(), signed(&header().to_string(), &appended(&text, &member))));
    forged
}

/// The claims of a good token of an operator who acts as the tenant's owner.
fn impersonation() -> Value {
    with(with(claims(), "sid", Value::Null), "act", json!({ "sub": operator(), "sid": session() }))
}

#[test]
fn a_token_says_who_acts_as_whom() {
    let verified = verify(keys(), &with_claims(&impersonation()), NOW).unwrap();
    assert_eq!(verified.principal.act(), Some(operator()));
    assert_eq!(verified.principal.user(), Some(user()));
    assert_eq!(verified.principal.session(), None, "the session is the operator's");
    let issue = Issue { principal: verified.principal, proven_at: NOW, credential_expires_at: None };
    let text = tokens().issue(keys(), &issue).unwrap().text;
    assert_eq!(verify(keys(), &text, NOW).unwrap().principal, verified.principal);
    // Nodes of before know no `act` and refuse a person without a session.
    let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims.get("sid").is_none() && claims["act"]["sub"] == json!(operator()));
}

fn prepended(json: &str, member: &str) -> String {
    format!("{{{member},{}", &json[1..])
}

fn appended(json: &str, member: &str) -> String {
    format!("{},{member}}}", &json[..json.len() - 1])
}

/// JSON that two parsers read differently.
fn duplicates() -> Vec<Forgery> {
    let (header, claims) = (header().to_string(), claims().to_string());
    let other = TenantId::from_uuid(Uuid::from_bytes([9; 16]));
    let mut forged = Vec::new();
    for member in [
        "\"exp\":9999999999".to_owned(),
        "\"role\":\"owner\"".to_owned(),
        format!("\"tenant\":\"{other}\""),
        format!("\"sub\":\"{}\"", operator()),
        format!("\"aud\":\"{AUDIENCE}\""),
        "\"r\\u006fle\":\"owner\"".to_owned(),
        "\"sid\":null".to_owned(),
    ] {
        forged.push((format!("claim {member} twice, first"), signed(&header, &prepended(&claims, &member))));
        forged.push((format!("claim {member} twice, last"), signed(&header, &appended(&claims, &member))));
    }
    for member in [
        "\"alg\":\"none\"",
        "\"alg\":\"RS256\"",
        "\"kid\":\"x\"",
        "\"typ\":\"at+jwt\"",
        "\"\\u0061lg\":\"none\"",
    ] {
        forged.push((format!("header {member} twice, first"), signed(&prepended(&header, member), &claims)));
        forged.push((format!("header {member} twice, last"), signed(&appended(&header, member), &claims)));
    }
    forged
}

/// JSON that no reader should accept.
fn odd_json() -> Vec<Forgery> {
    let (header, claims) = (header().to_string(), claims().to_string());
    let mut forged = Vec::new();
    for number in [
        "1e400",
        "-1e400",
        "1e10",
        "18446744073709551616",
        "0x7fffffff",
        "01800000600",
        "+1800000600",
        "NaN",
        "Infinity",
        "1800000600.0",
    ] {
        let text = claims.replace(&format!("\"exp\":{}", NOW_SECONDS + 600), &format!("\"exp\":{number}"));
        assert_ne!(text, claims);
        forged.push((format!("exp {number}"), signed(&header, &text)));
    }
    for role in ["own\\ud800er", "\\udfffowner", "owner\\u0000", "own\ner", "owner\\"] {
        forged.push((
            format!("role {role:?}"),
            signed(&header, &claims.replace("\"owner\"", &format!("\"{role}\""))),
        ));
    }
    let deep = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    for (name, text) in [
        ("claims with a byte order mark", format!("\u{feff}{claims}")),
        ("claims with a trailing comma", format!("{},}}", &claims[..claims.len() - 1])),
        ("claims with a comment", format!("{claims}//")),
        ("claims twice", format!("{claims}{claims}")),
        ("claims in a list", format!("[{claims}]")),
        ("claims nested 3,000 deep", appended(&claims, &format!("\"x\":{deep}"))),
        ("no claims", String::new()),
        ("empty claims", "{}".to_owned()),
        ("claims null", "null".to_owned()),
        ("claims cut off", claims[..claims.len() - 1].to_owned()),
        ("claims with NUL", format!("{claims}\0")),
    ] {
        forged.push((name.to_owned(), signed(&header, &text)));
    }
    let message = format!("{}.{}", segment(&header), segment([claims.as_bytes(), b"\xff\xfe"].concat()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), private(), Algorithm::RS256).unwrap();
    forged.push(("claims that are not UTF-8".to_owned(), format!("{message}.{signature}")));
    forged
}

/// Segments of a good token, missing, repeated or changed.
fn damaged() -> Vec<Forgery> {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let [h, c, s] = parts[..] else { panic!("a token has three segments") };
    let bytes = |segment: &str| URL_SAFE_NO_PAD.decode(segment).unwrap();
    let other = TenantId::from_uuid(Uuid::from_bytes([9; 16])).to_string();
    let changed = |from: &str, to: &str| {
        let claims = String::from_utf8(bytes(c)).unwrap();
        assert!(claims.contains(from));
        format!("{h}.{}.{s}", segment(claims.replace(from, to)))
    };
    let resigned = |signature: Vec<u8>| format!("{h}.{c}.{}", segment(signature));
    [
        ("empty", String::new()),
        ("two dots", "..".to_owned()),
        ("one segment", h.to_owned()),
        ("two segments", format!("{h}.{c}")),
        ("no signature", format!("{h}.{c}.")),
        ("four segments", format!("{good}.{s}")),
        ("four segments, the last empty", format!("{good}.")),
        ("four segments, the first empty", format!(".{good}")),
        ("five segments, as a JWE", format!("{h}.{c}.{c}.{c}.{s}")),
        ("no header", format!(".{c}.{s}")),
        ("no claims", format!("{h}..{s}")),
        ("segments swapped", format!("{c}.{h}.{s}")),
        ("the role raised under the old signature", changed("read_only", "owner")),
        ("another tenant under the old signature", changed(&tenant().to_string(), &other)),
        ("a longer life under the old signature", changed("1800000600", "1800009600")),
        ("a signature cut short", good[..good.len() - 1].to_owned()),
        ("a signature cut to a byte", format!("{h}.{c}.{}", &s[..2])),
        ("a signature of zeros", resigned(vec![0; 256])),
        ("a signature of ones", resigned(vec![0xff; 256])),
        ("a signature with a byte more", resigned([bytes(s), vec![0]].concat())),
        ("a signature with a leading zero", resigned([vec![0], bytes(s)].concat())),
        ("a padded signature", format!("{good}==")),
        ("padded claims", format!("{h}.{c}=.{s}")),
        ("standard base64", format!("{h}.{c}.{}", STANDARD.encode(bytes(s)))),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// A good token with something around it or in it, and texts that are too long.
fn wrapped() -> Vec<Forgery> {
    let good = good();
    let (h, rest) = good.split_once('.').unwrap();
    let (c, s) = rest.split_once('.').unwrap();
    let huge = with_claims(&with(claims(), "pad", json!("x".repeat(16_000))));
    [
        ("a leading blank", format!(" {good}")),
        ("a trailing blank", format!("{good} ")),
        ("a trailing newline", format!("{good}\n")),
        ("a trailing CRLF", format!("{good}\r\n")),
        ("a trailing NUL", format!("{good}\0")),
        ("a leading byte order mark", format!("\u{feff}{good}")),
        ("a newline inside", format!("{h}.\n{c}.{s}")),
        ("a blank inside", format!("{h}.{c} .{s}")),
        ("a full-width dot", format!("{h}\u{ff0e}{c}.{s}")),
        ("the scheme left in", format!("Bearer {good}")),
        ("in quotes", format!("\"{good}\"")),
        ("percent-encoded", good.replace('.', "%2E")),
        (
            "the JSON serialisation of JWS",
            json!({ "protected": h, "payload": c, "signature": s }).to_string(),
        ),
        ("twice", format!("{good}{good}")),
        ("two of them", format!("{good},{good}")),
        ("16 kB, well signed", huge),
        ("16 kB of dots", ".".repeat(16_384)),
        ("a megabyte", "A".repeat(1 << 20)),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

#[test]
fn no_forgery_is_accepted_and_none_panics() {
    let groups = [
        ("unsigned", unsigned()),
        ("other algorithms", other_algorithms()),
        ("other keys", other_keys()),
        ("keys of another time", keys_of_another_time()),
        ("headers", headers()),
        ("times", wrong_times()),
        ("names", wrong_names()),
        ("kinds", wrong_kinds()),
        ("impersonations", wrong_impersonations()),
        ("duplicates", duplicates()),
        ("odd JSON", odd_json()),
        ("damaged", damaged()),
        ("wrapped", wrapped()),
    ];
    let mut failures = Vec::new();
    let mut total = 0;
    for (group, forgeries) in groups {
        for (name, text) in forgeries {
            total += 1;
            match panic::catch_unwind(|| verify(keys(), &text, NOW)) {
                Ok(Err(_)) => {}
                Ok(Ok(verified)) => failures.push(format!("{group}: {name} was accepted as {verified:?}")),
                Err(_) => failures.push(format!("{group}: {name} panicked")),
            }
        }
    }
    assert!(failures.is_empty(), "{} of {total} got through:\n{}", failures.len(), failures.join("\n"));
    assert!(total >= 320, "the corpus has shrunk to {total}");
    assert!(verify(keys(), &good(), NOW).is_ok());
}

/// The refusal must come from the wall the forgery is aimed at, not from an accident in how it was written.
#[test]
fn each_wall_refuses_for_its_own_reason() {
    let claim = |member: &str, value| with_claims(&with(claims(), member, value));
    let in_header = |member: &str, value| with_header(&with(header(), member, value));
    let active = keys().active().unwrap();
    let by = |signer, name: &SigningKey| {
        let header = with(header(), "kid", json!(name.public().kid())).to_string();
        signed_with(&header, &claims().to_string(), &stolen(signer), Algorithm::RS256)
    };
    let foreign = signed_with(&header().to_string(), &claims().to_string(), &foreign(), Algorithm::RS256);
    for (text, expected) in [
        ("A".repeat(9_000), TokenError::TooLong),
        ("a.b".to_owned(), TokenError::Malformed("token")),
        (in_header("crit", json!(["exp"])), TokenError::Malformed("header")),
        (in_header("alg", json!("HS256")), TokenError::Algorithm),
        (in_header("typ", json!("JWT")), TokenError::Type),
        (in_header("kid", json!("x")), TokenError::UnknownKey),
        (foreign, TokenError::Signature),
        (by(standby(), standby()), TokenError::NotActive),
        (by(standby(), active), TokenError::Signature),
        (by(active, standby()), TokenError::Signature),
        (by(gone(), gone()), TokenError::UnknownKey),
        (claim("exp", json!("1800000600")), TokenError::Malformed("claims")),
        (claim("iss", json!("https://evil.example")), TokenError::Issuer),
        (claim("aud", json!("https://evil.example")), TokenError::Audience),
        (claim("exp", json!(NOW_SECONDS - 5)), TokenError::Expired),
        (claim("nbf", json!(NOW_SECONDS + 6)), TokenError::NotYetValid),
        (claim("iat", json!(NOW_SECONDS + 6)), TokenError::NotYetValid),
        (claim("exp", json!(NOW_SECONDS + 3_601)), TokenError::Contradiction("lifetime")),
        (claim("iat", json!(NOW_SECONDS - 1)), TokenError::Contradiction("jti")),
        (claim("client_id", json!("x")), TokenError::Contradiction("client_id")),
        (claim("tenant", Value::Null), TokenError::Contradiction("subject")),
    ] {
        assert_eq!(verify(keys(), &text, NOW), Err(expected), "{}", &text[..text.len().min(80)]);
    }
}
