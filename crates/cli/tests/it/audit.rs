//! The audit log: read, exported, verified offline, anchored, and a person erased from it.

use std::{fs, path::Path, process::Command};

use bulkhead_domain::RoleName;
use bulkhead_servers::Scratch;
use serde_json::{Value, json};

use crate::support::{Finished, Options, System, Tenant, Tool, Variables, bulkhead, eventually, unique};

/// Waits until all entries of a tenant are chained.
async fn chained(system: &System, tenant: &Tenant<'_>) {
    let waiting = format!(
        "SELECT count(*) FROM {}.audit_log e WHERE NOT EXISTS (SELECT FROM platform.audit_links l WHERE l.entry_id = e.id)",
        tenant.schema()
    );
    eventually(async || system.sql(&waiting), |waiting| waiting == "0").await;
}

/// A directory with what was exported and the public keys.
struct Taken {
    dir: Scratch,
}

impl Taken {
    async fn from(tenant: &Tenant<'_>, query: &str) -> Self {
        let taken = Self { dir: Scratch::new().unwrap() };
        let export = tenant.owner.caller.get(&format!("/v1/audit/export{query}")).await.expect(200);
        assert_eq!(export.header("content-type"), "application/x-ndjson");
        fs::write(taken.path("slice"), &export.body).unwrap();
        let keys = tenant.app.anonymous().get("/.well-known/audit-keys.json").await.expect(200);
        fs::write(taken.path("keys"), &keys.body).unwrap();
        taken
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("slice")).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the command and the script of the documentation say of a file.
    fn verify(&self, text: &str) -> [Finished; 2] {
        let file = self.path("tried");
        fs::write(&file, text).unwrap();
        let keys = self.path("keys");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../db/verify_export.py");
        let python = Command::new("python3").arg(script).args([&file, &keys]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let python = Finished {
            success: python.status.success(),
            out: text(&python.stdout),
            err: text(&python.stderr),
        };
        [bulkhead(&["audit", "verify-export", &file, "--keys", &keys], &[], ""), python]
    }
}

fn verify(variables: &Variables, more: &[&str]) -> Finished {
    bulkhead(&[&["audit", "verify"], more].concat(), variables, "")
}

#[tokio::test]
async fn what_was_done_is_found_by_whom_what_and_when() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let id = unique();
    let body = json!({ "name": "a program", "role": "developer" });
    let key =
        admin.caller.post("/v1/api-keys", &body).header("x-request-id", &id).await.expect(201).at("/id");
    let wrong = json!({ "tenant": tenant.slug, "email": admin.email, "password": "a wrong password" });
    system.anonymous().post("/v1/auth/login", &wrong).await.refused(401, "login-failed");
    let found = async |query: &str| {
        let page = admin.caller.get(&format!("/v1/audit?{query}")).await.expect(200).json();
        let entries = page["data"].as_array().unwrap().clone();
        entries.into_iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let failed = eventually(async || found("actor=anonymous").await, |found| !found.is_empty()).await;
    assert_eq!(failed, ["login_failed"]);
    assert_eq!(found(&format!("target={}", admin.id)).await, ["login_failed", "create_user"]);
    assert_eq!(found(&format!("actor={}", admin.id)).await, ["create_api_key", "login"]);
    assert_eq!(found(&format!("request_id={id}")).await, ["create_api_key"]);
    assert_eq!(
        found(&format!("target={key}&action=create_api_key&actor={}", admin.id)).await,
        ["create_api_key"]
    );
    assert_eq!(found("action=delete_user").await, Vec::<String>::new());
    assert_eq!(found("to=2026-01-01T00:00:00Z").await, Vec::<String>::new());
    assert_eq!(found("from=2026-01-01T00:00:00Z&limit=1").await, ["login_failed"]);
    let entry = admin.caller.get(&format!("/v1/audit?request_id={id}")).await.expect(200);
    assert_eq!(
        [entry.at("/data/0/actor"), entry.at("/data/0/address"), entry.at("/data/0/target")],
        [admin.id.clone(), admin.caller.address.clone(), key]
    );
    for query in ["actor=a%00b", "from=yesterday", "limit=0", "cursor=aud_1", "actor=%FF"] {
        admin.caller.get(&format!("/v1/audit?{query}")).await.expect(400);
    }
    let reader = tenant.person(RoleName::DEVELOPER).await;
    for path in ["/v1/audit", "/v1/audit/export"] {
        reader.caller.get(path).await.refused(403, "insufficient-permission");
    }
    let operator = system.operator_with(RoleName::SUPPORT).await;
    let about = operator.get(&format!("/v1/admin/audit?target={}", tenant.id)).await.expect(200);
    assert_eq!(about.at("/data/0/action"), "create_tenant");
    operator.get("/v1/admin/audit/export").await.expect(200);
    admin.caller.get("/v1/admin/audit").await.expect(403);
}

#[tokio::test]
async fn an_exported_slice_is_verified_without_us() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    // More than are read at a time.
    for _ in 0..220 {
        tenant.make("/v1/resources").await;
    }
    let text = json!({ "email": "grace@example.com", "password": "correct horse battery", "role": "admin" });
    let person = tenant.owner.caller.post("/v1/users", &text).await.expect(201).at("/id");
    chained(system, &tenant).await;
    let taken = Taken::from(&tenant, "").await;
    let lines = taken.lines();
    assert!(lines.len() > 220, "{}", lines.len());
    assert!(taken.text().contains("grace@example.com") && taken.text().contains(&person));
    for verified in taken.verify(&taken.text()) {
        assert!(verified.success && verified.out.starts_with(&tenant.id), "{verified:?}");
    }
    // Each byte of some lines, a line less, two that change places, an end that is missing.
    let all: Vec<String> = taken.text().lines().map(|line| format!("{line}\n")).collect();
    let joined = |lines: &[&[String]]| lines.concat().concat();
    let last = all.len() - 1;
    let mut forged = vec![
        joined(&[&all[..5], &all[6..]]),
        joined(&[&all[..last - 1], &all[last..]]),
        joined(&[&all[..3], &all[4..5], &all[3..4], &all[5..]]),
        joined(&[&all[..last]]),
        joined(&[&all[..2]]),
        String::new(),
        taken.text().replace(&tenant.id, "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"),
        taken.text().replace("grace@example.com", "trace@example.com"),
        taken.text() + "\n",
    ];
    let whole = taken.text();
    let places: Vec<usize> = (0..whole.len()).step_by(whole.len() / 40).collect();
    for at in places {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        forged.extend(String::from_utf8(bytes).ok());
    }
    for text in forged {
        for verified in taken.verify(&text) {
            assert!(!verified.success, "{verified:?}");
        }
    }
    // A slice of the middle is as good.
    let at = lines[100]["at"].as_str().unwrap().to_owned();
    let middle = Taken::from(&tenant, &format!("?from={at}")).await;
    assert!(middle.lines()[0]["first"].as_i64() > Some(50), "{}", middle.lines()[0]);
    assert!(middle.verify(&middle.text()).iter().all(|verified| verified.success));
    // Without entries.
    let none = Taken::from(&tenant, "?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z").await;
    assert_eq!(none.lines()[0]["first"], Value::Null);
    assert!(none.verify(&none.text()).iter().all(|verified| verified.success));
    // Another deployment's keys.
    fs::write(taken.path("keys"), "{\"keys\":[]}").unwrap();
    assert!(taken.verify(&taken.text()).iter().all(|verified| !verified.success));
    let refused =
        tenant.owner.caller.get("/v1/audit/export?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").await;
    refused.refused(400, "invalid-parameter");
}

#[tokio::test]
async fn a_forged_log_is_found_by_the_command_and_a_forged_chain_by_the_anchor() {
    let system = System::start("audit", Options::default()).await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::DEVELOPER).await;
    chained(&system, &tenant).await;
    let anchors = Scratch::new().unwrap();
    let directory = anchors.path().join("of this system");
    fs::create_dir(&directory).unwrap();
    let place = format!("file://{}", directory.display().to_string().replace(' ', "%20"));
    let mut variables = system.migrator();
    variables.extend(system.commands());
    let well = verify(&variables, &["--chain", &tenant.id]);
    assert!(
        well.success && well.out.contains("entries hold, 0 of them with erased parts, 0 anchors agree"),
        "{well:?}"
    );
    assert!(!bulkhead(&["audit", "anchor"], &variables, "").success, "no place is set");
    variables.push(("BULKHEAD_AUDIT_ANCHOR", place));
    for _ in 0..2 {
        let anchored = bulkhead(&["audit", "anchor"], &variables, "");
        assert!(anchored.success && anchored.out.contains("the heads of"), "{anchored:?}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    let well = verify(&variables, &[]);
    assert!(well.success && well.out.contains("2 anchors agree"), "{well:?}");

    // A person is erased: what they were is gone, the chain and the anchors agree.
    let path = format!("/v1/users/{}/erase", person.id);
    person.caller.post_nothing(&path).await.refused(403, "insufficient-permission");
    let erased = tenant.owner.caller.post_nothing(&path).await.expect(202);
    let operation = format!("/v1/operations/{}", erased.at("/id"));
    let done = async || tenant.owner.caller.get(&operation).await.expect(200);
    let done = eventually(done, |answer| answer.at("/done") == "true").await;
    assert_eq!(
        (done.at("/state"), done.at("/result/entries")),
        ("succeeded".to_owned(), "2".to_owned()),
        "{}",
        done.body
    );
    tenant.owner.caller.get(&format!("/v1/users/{}", person.id)).await.refused(404, "not-found");
    // Nodes learn of it within two seconds.
    eventually(async || person.caller.get("/v1/me").await.status, |status| *status == 401).await;
    let logged = system.sql(&format!("SELECT string_agg(e::text, ' ') FROM {}.audit_log e", tenant.schema()));
    assert!(!logged.contains(&person.email) && !logged.contains(&person.caller.address), "{logged}");
    assert!(logged.contains("erase_user"), "{logged}");
    tenant.owner.caller.post_nothing(&path).await.expect(202);
    let nobody = "/v1/users/usr_01jd3e2x6m7k9v4q8t5b2n0c1c/erase";
    tenant.owner.caller.post_nothing(nobody).await.refused(404, "not-found");
    chained(&system, &tenant).await;
    let well = verify(&variables, &[]);
    assert!(well.success && well.out.contains("2 of them with erased parts, 2 anchors agree"), "{well:?}");

    // A row is changed.
    let (schema, owner) = (tenant.schema(), &tenant.owner.id);
    let rename =
        |from: &str, to: &str| format!("UPDATE {schema}.audit_log SET actor = '{to}' WHERE actor = '{from}'");
    system.sql(&rename(owner, "usr_eve"));
    let broken = verify(&variables, &[]);
    assert!(!broken.success && broken.err.contains("1 audit logs are not what they were"), "{broken:?}");
    assert!(broken.out.contains("BROKEN") && broken.out.contains("it is not what was chained"), "{broken:?}");
    // The chain is made anew by somebody with all rights, and holds by itself.
    let uuid = system.sql(&format!("SELECT id FROM platform.tenants WHERE slug = '{}'", tenant.slug));
    system.sql(&format!(
        "DELETE FROM platform.audit_links WHERE chain = '{uuid}'; DELETE FROM platform.audit_chains WHERE chain = '{uuid}'"
    ));
    chained(&system, &tenant).await;
    let empty = Scratch::new().unwrap();
    let by_itself = verify(&variables, &["--anchors", empty.path().to_str().unwrap()]);
    assert!(by_itself.success, "{by_itself:?}");
    let broken = verify(&variables, &[]);
    assert!(!broken.success && broken.out.contains("not the one that was anchored"), "{broken:?}");
    // Log and chain are gone altogether.
    system.sql(&format!(
        "DROP TABLE {schema}.audit_log; DELETE FROM platform.audit_links WHERE chain = '{uuid}'; \
         DELETE FROM platform.audit_chains WHERE chain = '{uuid}'"
    ));
    let broken = verify(&variables, &[]);
    assert!(!broken.success && broken.out.contains("shorter than when it was anchored"), "{broken:?}");
    // An anchor that was changed to fit is none.
    let file = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"sequence\":", "\"sequence\":1", 1)).unwrap();
    let broken = verify(&variables, &[]);
    assert!(!broken.success && broken.err.contains("the signature is not good"), "{broken:?}");
}

/// A request of somebody who may do everything in S3, as an emulator of it behaves (moto), which looks at no signature.
async fn of_s3(request: reqwest::RequestBuilder) -> (u16, String) {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
    let request = request.header("authorization", format!("{scope}, SignedHeaders=host, Signature=00"));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// What a worker is told of a bucket that is made there.
async fn bucket(emulator: &Tool) -> Variables {
    let made = of_s3(reqwest::Client::new().put(emulator.url("/anchors"))).await;
    assert_eq!(made.0, 200, "{made:?}");
    vec![
        ("BULKHEAD_AUDIT_ANCHOR", "s3://anchors/live".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL_S3", emulator.url("")),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "of the emulator".to_owned()),
    ]
}

#[tokio::test]
async fn a_worker_anchors_in_a_bucket_and_a_copy_of_it_is_verified() {
    let Some(emulator) = Tool::start("moto_server", &[], "/moto-api/").await else { return };
    let aws = bucket(&emulator).await;
    let system = System::start("anchored", Options { worker: aws.clone(), ..Options::default() }).await;
    let s3 = reqwest::Client::new();
    let get = async |path: &str| of_s3(s3.get(emulator.url(path))).await.1;
    let listed = eventually(async || get("/anchors?list-type=2").await, |text| text.contains("<Key>")).await;
    let key = listed.split("<Key>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(key.starts_with("live/audit-anchor-"), "{key}");
    // What is there stays as it is.
    let again = s3.put(emulator.url(&format!("/anchors/{key}"))).header("if-none-match", "*").body("forged");
    assert_eq!(of_s3(again).await.0, 412);

    let tenant = system.tenant().await;
    chained(&system, &tenant).await;
    let mut variables = system.migrator();
    variables.extend(system.commands());
    variables.extend(aws.clone());
    let elsewhere = verify(&variables, &[]);
    assert!(!elsewhere.success && elsewhere.err.contains("aws s3 sync s3://anchors/live/ "), "{elsewhere:?}");
    let anchored = bulkhead(&["audit", "anchor"], &variables, "");
    assert!(anchored.success && anchored.out.starts_with("s3://anchors/live/audit-anchor-"), "{anchored:?}");
    let copy = Scratch::new().unwrap();
    let key = anchored.out.split(':').nth(1).unwrap().trim_start_matches("//anchors");
    fs::write(copy.path().join("one.ndjson"), get(&format!("/anchors{key}")).await).unwrap();
    let well = verify(&variables, &["--anchors", copy.path().to_str().unwrap()]);
    assert!(well.success && well.out.contains("1 anchors agree"), "{well:?}");

    let said = bulkhead(&["doctor"], &variables, "").out;
    assert!(
        said.contains("ok       AWS: there are credentials for the bucket anchors in us-east-1"),
        "{said}"
    );
    for missing in ["AWS_REGION", "AWS_SECRET_ACCESS_KEY"] {
        let mut less = variables.clone();
        less.retain(|(name, _)| *name != missing);
        let said = bulkhead(&["doctor"], &less, "");
        let wanted = "BROKEN   AWS: anchors cannot go to the bucket anchors: ";
        assert!(!said.success && said.out.contains(wanted) && said.out.contains(missing), "{said:?}");
        let refused = bulkhead(&["worker"], &less, "");
        assert!(!refused.success && refused.err.contains("BULKHEAD_AUDIT_ANCHOR: "), "{refused:?}");
        assert!(refused.err.contains(missing), "{refused:?}");
    }
}
