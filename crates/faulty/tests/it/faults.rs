//! The faults of an extension are its own.

use std::{
    process::{Command, Output},
    time::Duration,
};

use serde_json::json;

use crate::running::Running;

fn run(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(program).args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

/// The one line in which a program has refused to go on.
fn refusal(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim().to_owned()
}

#[tokio::test]
async fn a_fault_of_a_handler_or_a_job_fails_that_one_and_nothing_else() {
    let running =
        Running::start(&[("BULKHEAD_STATEMENT_TIMEOUT_MS", "3000"), ("BULKHEAD_HTTP_THREADS", "1")]).await;
    let [acme, other] = running.tenants();

    // A panic is this request's, also on the only thread there is.
    for _ in 0..3 {
        assert_eq!(acme.get("/v1/faults/panic").await.code(), (500, "internal"));
        assert_eq!(acme.get("/v1/notes").await.status, 200);
    }
    assert_eq!(acme.get("/v1/faults/settings").await.code(), (500, "internal"));

    // A statement that is not work on rows is refused before it is sent, and the next request is inside its walls.
    assert_eq!(acme.get("/v1/faults/leave").await.code(), (500, "internal"));
    assert_eq!(acme.get("/v1/notes").await.body["data"].as_array().map(Vec::len), Some(1));

    // While slow queries run, other tenants are answered.
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let acme = acme.clone();
            tokio::spawn(async move { acme.get("/v1/faults/sleep").await })
        })
        .collect();
    let mut answered = 0;
    while !slow.iter().any(tokio::task::JoinHandle::is_finished) {
        assert_eq!(other.get("/v1/notes").await.status, 200);
        answered += 1;
        // So slowly that the tenant stays within its plan.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answered > 1, "{answered}");
    for one in slow {
        let answer = one.await.unwrap();
        assert!([(503, "unavailable"), (429, "too-many-in-flight")].contains(&answer.code()), "{answer:?}");
    }
    assert_eq!(acme.get("/v1/notes").await.status, 200);

    // A job whose payload this version cannot read is given up; others of its kind are done.
    let newer = acme.post("/v1/faults/newer", &json!({})).await;
    let operation = acme.follow(&newer).await;
    assert_eq!(operation["state"], "failed", "{operation}");
    assert_eq!(operation["error"], "the job's payload cannot be read");
    let written = acme.post("/v1/notes", &json!({ "title": "Afterwards" })).await;
    assert_eq!(acme.follow(&written).await["state"], "succeeded");
}

#[test]
fn a_permission_that_is_declared_nowhere_stops_every_command_with_one_line() {
    for command in ["api", "worker", "migrate", "dev", "openapi", "doctor"] {
        let refused = refusal(&run(env!("CARGO_BIN_EXE_refused"), &[command], &[]));
        assert_eq!(
            refused,
            "bulkhead: operation leave of faulty needs the permission read:notes, which is declared nowhere",
            "{command}"
        );
    }
}

#[test]
fn a_misspelt_setting_of_an_extension_stops_the_start_with_one_line() {
    let refused =
        refusal(&run(env!("CARGO_BIN_EXE_faulty"), &["api"], &[("BULKHEAD_FAULTY_STAMPS", "seen")]));
    assert_eq!(
        refused,
        "faulty: BULKHEAD_FAULTY_STAMPS: no such setting; did you mean BULKHEAD_FAULTY_STAMP?"
    );
}

#[test]
fn the_commands_are_the_applications_own() {
    let version = run(env!("CARGO_BIN_EXE_faulty"), &["--version"], &[]);
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("faulty "));
    let settings = run(env!("CARGO_BIN_EXE_faulty"), &["settings", "--markdown"], &[]);
    let settings = String::from_utf8(settings.stdout).unwrap();
    assert!(
        settings.contains("| `BULKHEAD_FAULTY_SLOW_SECS` | `30` | How long a slow query takes, in seconds")
    );
}
