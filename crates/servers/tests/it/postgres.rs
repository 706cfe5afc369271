//! PostgreSQL: starting, keeping data, being killed, and what is refused.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use bulkhead_servers::{Error, Postgres, PostgresOptions, Scratch, Signal};

use crate::support::{BINARIES, certificate, postgres, sql, test_only, within};

#[test]
fn data_and_password_outlive_the_server() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("postgres");
    let options = PostgresOptions { settings: vec![("work_mem".into(), "7MB".into())], ..test_only(&dir) };
    let first = Postgres::start(&BINARIES, options).unwrap();
    let url = first.superuser_url("postgres");
    assert_eq!(sql(&url, "SHOW work_mem").as_deref(), Ok("7MB"));
    assert_eq!(sql(&url, "SHOW max_connections").as_deref(), Ok("100"));
    assert_eq!(sql(&url, "SHOW max_locks_per_transaction").as_deref(), Ok("256"));
    assert_eq!(sql(&url, "SHOW listen_addresses").as_deref(), Ok("127.0.0.1"));
    sql(&url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").unwrap();
    drop(first);
    assert!(sql(&url, "SELECT 1").is_err(), "dropping stops the server");

    let second = postgres(&dir);
    assert_eq!(sql(&second.superuser_url("postgres"), "SELECT n FROM kept").as_deref(), Ok("42"));
    let mode = fs::metadata(dir.join("password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn names_of_databases_are_escaped() {
    let scratch = Scratch::new().unwrap();
    let server = postgres(scratch.path().join("postgres"));
    sql(&server.superuser_url("postgres"), "CREATE DATABASE \"a b/c?d\"").unwrap();
    let url = server.superuser_url("a b/c?d");
    assert_eq!(sql(&url, "SELECT current_database()").as_deref(), Ok("a b/c?d"));
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_not_shown() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("postgres");
    let server = postgres(&dir);
    let password = fs::read_to_string(dir.join("password")).unwrap();
    let url = server.superuser_url("postgres");
    assert!(url.contains(&password) && !format!("{server:?}").contains(&password));
    let refused = sql(&url.replace(&password, "wrong"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[test]
fn kill_9_ends_every_process_and_keeps_what_was_committed() {
    let scratch = Scratch::new().unwrap();
    let mut server = postgres(scratch.path().join("postgres"));
    let (url, port) = (server.superuser_url("postgres"), server.port());
    sql(&url, "CREATE TABLE kept (n int)").unwrap();
    // A backend that computes does not look up to see whether its parent lives; this one never ends by itself.
    let mut busy = Command::new(BINARIES.postgres_dir.join("psql"))
        .args([&url, "-c", "DO $$ BEGIN LOOP NULL; END LOOP; END $$"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'";
    assert!(within(10, || sql(&url, running).as_deref() == Ok("1")));
    sql(&url, "INSERT INTO kept VALUES (1)").unwrap();

    server.kill(Signal::SIGKILL).unwrap();
    assert!(sql(&url, "SELECT 1").is_err());
    assert!(matches!(server.kill(Signal::SIGTERM), Err(Error::NotRunning(_))));

    server.restart().unwrap();
    assert!(!busy.wait().unwrap().success());
    assert_eq!(server.port(), port);
    assert_eq!(sql(&url, "SELECT n FROM kept").as_deref(), Ok("1"));
}

#[test]
fn a_stale_pid_file_that_names_a_living_process_is_no_obstacle() {
    let scratch = Scratch::new().unwrap();
    let other = postgres(scratch.path().join("other"));
    let dir = scratch.path().join("postgres");
    let mut server = postgres(&dir);
    let pid_file = dir.join("data/postmaster.pid");
    let pid = server.pid().unwrap().to_string();
    let stale = fs::read_to_string(&pid_file).unwrap().replacen(&pid, &other.pid().unwrap().to_string(), 1);
    server.kill(Signal::SIGKILL).unwrap();
    fs::write(&pid_file, stale).unwrap();
    server.restart().unwrap();
    assert_eq!(sql(&server.superuser_url("postgres"), "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn stopped_it_can_be_started_again() {
    let scratch = Scratch::new().unwrap();
    let mut server = postgres(scratch.path().join("postgres"));
    let url = server.superuser_url("postgres");
    server.stop().unwrap();
    assert_eq!(server.pid(), None);
    assert!(sql(&url, "SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(sql(&url, "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn an_interrupted_initdb_is_done_over() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("postgres");
    drop(postgres(&dir));
    fs::rename(dir.join("data"), dir.join("data.new")).unwrap();
    fs::remove_file(dir.join("data.new/PG_VERSION")).unwrap();
    let server = postgres(&dir);
    assert_eq!(sql(&server.superuser_url("postgres"), "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn one_owner_per_directory() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("postgres");
    let _first = postgres(&dir);
    let second = Postgres::start(&BINARIES, test_only(&dir)).unwrap_err();
    assert!(
        matches!(&second, Error::InUse { owner, .. } if *owner == std::process::id().to_string()),
        "{second}"
    );
}

#[test]
fn a_fixed_port_that_is_taken_is_named() {
    let scratch = Scratch::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = PostgresOptions { port: Some(port), ..test_only(scratch.path().join("postgres")) };
    let error = Postgres::start(&BINARIES, options).unwrap_err();
    assert!(matches!(error, Error::PortInUse { port: named, .. } if named == port), "{error}");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let scratch = Scratch::new().unwrap();
    let options = PostgresOptions {
        settings: vec![("shared_buffers".into(), "a lot".into())],
        ..test_only(scratch.path().join("postgres"))
    };
    let error = Postgres::start(&BINARIES, options).unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"shared_buffers\""), "{error}");
}

#[test]
fn data_of_another_version_is_not_touched() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("postgres");
    drop(postgres(&dir));
    fs::write(dir.join("data/PG_VERSION"), "9\n").unwrap();
    let error = Postgres::start(&BINARIES, test_only(&dir)).unwrap_err();
    assert!(matches!(&error, Error::DataVersion { made_by, .. } if made_by == "9"), "{error}");
}

#[test]
fn with_tls_nothing_else_is_accepted() {
    let scratch = Scratch::new().unwrap();
    let tls = certificate(&scratch.path().join("tls"));
    let stranger = certificate(&scratch.path().join("stranger"));
    let ca = tls.ca.clone();
    let options = PostgresOptions { tls: Some(tls), ..test_only(scratch.path().join("postgres")) };
    let server = Postgres::start(&BINARIES, options).unwrap();
    let url = server.superuser_url("postgres");
    assert_eq!(sql(&url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").as_deref(), Ok("t"));
    let plain = sql(&url.replace("=require", "=disable"), "SELECT 1").unwrap_err();
    assert!(plain.contains("no encryption"), "{plain}");
    let verified = |ca: &std::path::Path| {
        sql(&url.replace("=require", &format!("=verify-full&sslrootcert={}", ca.display())), "SELECT 1")
    };
    assert_eq!(verified(&ca).as_deref(), Ok("1"));
    let refused = verified(&stranger.ca).unwrap_err();
    assert!(refused.contains("SSL error"), "{refused}");
}
