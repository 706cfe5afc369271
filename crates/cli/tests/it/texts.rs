//! Texts in all their spellings: passwords that are one, addresses that are one, names that are refused.

use serde_json::{Value, json};

use crate::support::{Answer, MakesResources, Options, System, bulkhead, unique};

/// What is wrong with which field.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["detail"]))).collect()
}

#[tokio::test]
async fn a_password_is_the_same_on_every_keyboard() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let login = async |email: &str, password: &str| {
        let body = json!({ "tenant": tenant.slug, "email": email, "password": password });
        system.anonymous().post("/v1/auth/login", &body).await
    };
    for (number, (typed, elsewhere, other)) in [
        ("pässwörd", "pa\u{308}sswo\u{308}rd", "passwörd"),
        ("pa\u{30a}sswo\u{308}rd", "påsswörd", "Påsswörd"),
        ("비밀번호비밀번호", "\u{1107}\u{1175}\u{1106}\u{1175}\u{11af}\u{1107}\u{1165}\u{11ab}\u{1112}\u{1169}\u{1107}\u{1175}\u{1106}\u{1175}\u{11af}\u{1107}\u{1165}\u{11ab}\u{1112}\u{1169}", "비밀번호비밀번후"),
        ("two\u{3000}words", "two words", "two  words"),
        ("straße 42", "straße\u{a0}42", "STRAẞE 42"),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("p{number}@example.com");
        let body = json!({ "email": email, "password": typed, "role": "read_only" });
        tenant.owner.caller.post("/v1/users", &body).await.expect(201);
        login(&email, typed).await.expect(200);
        login(&email, elsewhere).await.expect(200);
        login(&email, other).await.refused(401, "login-failed");
    }
}

/// Hashes with today's parameters that this program would not make: of texts as they were sent, and of passwords that it refuses.
const OF_DECOMPOSED: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$e3e4V7pvxYa9LlOWniee+Q$+OukRuq8sk6YeKF8gkmYWGHJbtZmjrUE+P+PaXYHdUU";
const OF_FAMILY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$mvllQQjCyLRpc5mEFoL7mw$zmxDHdOMHpgFWpTPVHnidifXzVcjFF8zhd7IU+wKJ3Q";
const OF_OWN_NAME: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$dQ+E6nURrkk5lqJbRsjvQA$6igJRBpX/9KFA78tkFtyDnUAbm4R7Go+UZ2g1cw+T7M";
const OF_8_CHARS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$2Of1aa+Q9k3KnHxbKKyLzg$Syx5pvQZDqckfsCL29qonnShTbiCjRiKANB91x1xPA4";

#[tokio::test]
async fn a_hash_of_a_password_as_it_was_sent_is_good_and_is_renewed_where_it_can_be() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let row = format!("{}.users", tenant.schema());
    let stored = || system.sql(&format!("SELECT password_hash FROM {row}"));
    let store = |hash: &str| system.sql(&format!("UPDATE {row} SET password_hash = '{hash}'"));
    let login = async |password: &str| {
        let body = json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": password });
        system.anonymous().post("/v1/auth/login", &body).await
    };
    let (decomposed, composed) = ("pa\u{308}sswo\u{308}rd", "pässwörd");
    store(OF_DECOMPOSED);
    // Another keyboard's spelling was another password then.
    login(composed).await.refused(401, "login-failed");
    assert_eq!(stored(), OF_DECOMPOSED);
    login(decomposed).await.expect(200);
    let renewed = stored();
    assert_ne!(renewed, OF_DECOMPOSED);
    login(composed).await.expect(200);
    login(decomposed).await.expect(200);
    assert_eq!(stored(), renewed);
    login("pässwörd.").await.refused(401, "login-failed");

    // One that may not be set any more has no other form, so its hash stays.
    let family = "family \u{1f469}\u{200d}\u{1f467} photo";
    store(OF_FAMILY);
    login(family).await.expect(200);
    assert_eq!(stored(), OF_FAMILY);
    login("family \u{1f469}\u{1f467} photo").await.refused(401, "login-failed");
}

#[tokio::test]
async fn a_password_that_is_set_is_told_what_is_wrong_with_it() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let email = "Ada.Lovelace@Bücher.example";
    let many = "must not be one of the passwords that many people use: they are guessed first";
    let own_email = "must not be the e-mail address of its account";
    let own_name = "must not be the name before the @ of its account's e-mail address";
    let slug = tenant.slug.to_uppercase();
    let rows = tenant.rows();
    for (password, detail) in [
        ("password123", many),
        ("QwertyUiop", many),
        ("ada.lovelace@bücher.example", own_email),
        ("ADA.LOVELACE@xn--bcher-kva.example", own_email),
        ("Ada.Lovelace", own_name),
        (slug.as_str(), "must not be the slug of its tenant"),
        ("", "must not be empty"),
        ("a\u{308}bcdefg", "must be at least 8 characters long"),
        (
            "tab\tin the middle",
            "must not contain control characters or characters that show nothing, as the parts of some emoji are joined with",
        ),
        (
            "private \u{e000} use",
            "must not contain characters for private use or that Unicode has not assigned",
        ),
    ] {
        let body = json!({ "email": email, "password": password, "role": "developer" });
        let refused = owner.post("/v1/users", &body).await.refused(422, "validation-failed");
        assert_eq!(told(&refused), [("/password".to_owned(), detail.to_owned())], "{password:?}");
    }
    assert_eq!(tenant.rows(), rows);
    // A tenant's first owner, and an operator.
    let operator = system.operator().await;
    let slug = format!("texts-{}", unique());
    for (password, detail) in
        [("password123", many), (email, own_email), (&slug, "must not be the slug of its tenant")]
    {
        let body = json!({ "slug": slug, "name": "Texts", "plan": "free", "owner": { "email": email, "password": password } });
        let refused = operator.post("/v1/admin/tenants", &body).await.refused(422, "validation-failed");
        assert_eq!(told(&refused), [("/owner/password".to_owned(), detail.to_owned())], "{password:?}");
    }
    for (password, detail) in [("iloveyou1", many), ("texts@bulkhead.example", own_email)] {
        let create = ["operator", "create", "texts@bulkhead.example", "--role", "billing"];
        let refused = bulkhead(&create, &system.commands(), password);
        assert!(!refused.success && refused.err.contains(detail), "{refused:?}");
        assert!(!refused.err.contains("iloveyou1"), "{refused:?}");
    }
    // Such a password was set before there was a rule, and is good until it is changed.
    system.sql(&format!(
        "UPDATE {}.users SET email = 'ada.lovelace@example.com', password_hash = '{OF_OWN_NAME}'",
        tenant.schema()
    ));
    tenant.log_in("ada.lovelace@example.com", "ada.lovelace").await;
}

#[tokio::test]
async fn the_least_length_of_a_password_is_a_setting_and_no_reason_to_lock_people_out() {
    let api = vec![("BULKHEAD_PASSWORD_MIN_LENGTH", "15".to_owned())];
    let system = System::start("min_length", Options { api, ..Options::default() }).await;
    let tenant = system.tenant().await;
    let add = async |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password, "role": "read_only" });
        tenant.owner.caller.post("/v1/users", &body).await
    };
    let refused = add("a@example.com", "fourteen chars").await.refused(422, "validation-failed");
    assert_eq!(told(&refused), [("/password".to_owned(), "must be at least 15 characters long".to_owned())]);
    add("a@example.com", "fifteen  chars.").await.expect(201);
    system.sql(&format!("UPDATE {}.users SET password_hash = '{OF_8_CHARS}'", tenant.schema()));
    tenant.log_in("a@example.com", "8 chars.").await;
    system.assert_sound();
}

#[tokio::test]
async fn an_address_is_one_however_its_domain_is_spelt() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let add = async |email: &str| {
        owner
            .post("/v1/users", &json!({ "email": email, "password": "correct horse", "role": "read_only" }))
            .await
    };
    let made = add("Grace@Bücher.example").await.expect(201);
    assert_eq!(made.at("/email"), "grace@xn--bcher-kva.example");
    let spellings = [
        "grace@bücher.example",
        "GRACE@BU\u{308}CHER.example",
        "grace@XN--BCHER-KVA.example",
        "grace@bücher。example",
    ];
    for spelling in spellings {
        add(spelling).await.refused(409, "already-taken");
        assert_eq!(tenant.log_in(spelling, "correct horse").await.id, made.at("/id"), "{spelling}");
    }
    for (email, detail) in [
        ("nobody", "must be an e-mail address: a name, an @ and a domain, like grace@example.com"),
        ("\"a b\"@example.com", "quoted names and comments are not taken"),
        ("gräce@example.com", "only ASCII letters"),
        ("grace@[192.0.2.1]", "must have a domain after the @, not an IP address"),
        ("grace@exa\u{200b}mple.com", "must not have invisible characters in its domain"),
        ("grace@exa_mple.com", "labels of letters, digits and hyphens"),
    ] {
        let refused = add(email).await.refused(422, "validation-failed");
        let told = told(&refused);
        assert!(told.len() == 1 && told[0].0 == "/email" && told[0].1.contains(detail), "{email}: {told:?}");
    }
    // Addresses from before stay good, those too that would not be taken today.
    for former in ["\"grace\"@[192.0.2.1]", "grace..hopper@exa_mple.com", "grace@xn--a.example"] {
        add(former).await.refused(422, "validation-failed");
        let id = made.at("/id");
        let uuid = system.sql(&format!(
            "SELECT id FROM {}.users WHERE email LIKE 'grace%' OR email LIKE '\"grace%'",
            tenant.schema()
        ));
        system.sql(&format!("UPDATE {}.users SET email = '{former}' WHERE id = '{uuid}'", tenant.schema()));
        assert_eq!(tenant.log_in(former, "correct horse").await.id, id, "{former}");
        assert_eq!(owner.get(&format!("/v1/users/{id}")).await.expect(200).at("/email"), former);
    }
    // Operators are looked up in the same form.
    let email = format!("{}@bücher.example", unique());
    let create = ["operator", "create", &email, "--role", "billing"];
    let made = bulkhead(&create, &system.commands(), "correct horse battery staple");
    assert!(made.success && made.out.contains("@xn--bcher-kva.example"), "{made:?}");
    let body = json!({ "email": email, "password": "correct horse battery staple" });
    system.anonymous().post("/v1/auth/login", &body).await.expect(200);
}

#[tokio::test]
async fn names_are_kept_as_they_were_sent_or_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let operator = system.operator().await;
    let resource = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let tenant_path = format!("/v1/admin/tenants/{}", tenant.id);
    let nfc = "normalization form C (NFC)";
    let shows = "must show something";
    let turns = "turn the direction";
    for (name, detail) in [
        ("Cafe\u{301}", nfc),
        ("\u{1112}\u{1161}\u{11ab}", nfc),
        ("\u{212a}elvin", nfc),
        ("\u{200b}", shows),
        ("\u{feff}\u{2060}", shows),
        ("\u{3164}", shows),
        ("\u{e0001}\u{e0041}", shows),
        ("\u{e000}", shows),
        ("\u{2800}", shows),
        ("\u{202e}gpj.exe", turns),
        ("a\u{2066}b", turns),
        ("a\u{2028}b", "must be one line"),
    ] {
        let attempts = [
            owner.post("/v1/resources", &json!({ "name": name, "kind": "a" })).await,
            owner.patch(&resource, &json!({ "name": name })).await,
            owner.post("/v1/api-keys", &json!({ "name": name, "role": "read_only" })).await,
            operator.patch(&tenant_path, &json!({ "name": name })).await,
        ];
        for refused in attempts {
            let told = told(&refused.refused(422, "validation-failed"));
            assert!(
                told.len() == 1 && told[0].0 == "/name" && told[0].1.contains(detail),
                "{name:?}: {told:?}"
            );
        }
    }
    let flood = format!("a{}", "\u{301}\u{323}".repeat(50_000));
    let refused = owner.post("/v1/resources", &json!({ "name": flood, "kind": "a" })).await;
    assert_eq!(told(&refused)[0].1, "must be at most 200 characters long");
    // Half of a pair is no character, and is found before there is a text.
    for half in ["\\ud800", "\\udfff", "\\ud83d\\ud83d", "a\\udc00\\ud800"] {
        let body = format!("{{\"name\":\"{half}\",\"kind\":\"a\"}}");
        let refused = owner.call("POST", "/v1/resources").body("application/json", body).await;
        refused.refused(400, "malformed-json");
    }
    for name in ["Café", "한", "ﬁ ａ Ⅳ", "İıßẞ", "👩\u{200d}👧", "שלום\u{200f}!", "\u{feff}bom", "a\u{200b}b"]
    {
        let made = owner.post("/v1/resources", &json!({ "name": name, "kind": "a" })).await.expect(201);
        assert_eq!(made.at("/name"), name);
        assert_eq!(owner.get(made.header("location")).await.at("/name"), name);
        let key = json!({ "name": name, "role": "read_only" });
        assert_eq!(owner.post("/v1/api-keys", &key).await.expect(201).at("/name"), name);
    }
    // Content is not compared by people, and is kept to the letter.
    let data = json!({ "e\u{301}": "\u{202e}\u{200b}e\u{301}" });
    let body = json!({ "name": "content", "kind": "a", "data": data });
    let made = owner.post("/v1/resources", &body).await.expect(201);
    assert_eq!(owner.get(made.header("location")).await.json()["data"], data);
}
