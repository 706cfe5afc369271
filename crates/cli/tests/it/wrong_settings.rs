//! What happens when the product is not set up as it should be, and the commands that look at how it is.

use std::net::TcpListener;

use crate::support::{Finished, System, Variables, bulkhead, dev, free_port};

/// A failed start: with one line on standard error that names the culprit and tells no secret.
#[track_caller]
fn assert_refused(finished: &Finished, names: &str) {
    assert!(!finished.success, "{finished:?}");
    assert_eq!(finished.out, "", "{finished:?}");
    assert_eq!(finished.err.lines().count(), 1, "{finished:?}");
    assert!(finished.err.contains(names), "{names}: {finished:?}");
}

fn with(variables: &Variables, name: &'static str, value: &str) -> Variables {
    let mut variables: Variables = variables.iter().filter(|(other, _)| *other != name).cloned().collect();
    variables.push((name, value.to_owned()));
    variables
}

fn without(variables: &Variables, name: &str) -> Variables {
    variables.iter().filter(|(other, _)| *other != name).cloned().collect()
}

/// The settings of further processes: on ports that no other process has.
fn elsewhere(system: &System) -> Variables {
    let port = || free_port().to_string();
    with(&with(&system.commands(), "BULKHEAD_PORT", &port()), "BULKHEAD_METRICS_PORT", &port())
}

#[tokio::test]
async fn a_wrong_value_is_named_in_one_line() {
    let variables = System::shared().await.commands();
    for (name, value) in [
        ("BULKHEAD_PORT", "0"),
        ("BULKHEAD_PORT", "65536"),
        ("BULKHEAD_PORT", "http"),
        ("BULKHEAD_PORT", ""),
        ("BULKHEAD_BIND", "localhost"),
        ("BULKHEAD_PUBLIC_URL", "api.example.com"),
        ("BULKHEAD_BODY_LIMIT_BYTES", "-1"),
        ("BULKHEAD_REQUEST_TIMEOUT_MS", "0"),
        ("BULKHEAD_IP_REQUESTS_PER_MINUTE", "0"),
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "true"),
        ("BULKHEAD_DATABASE_TENANT_URL", "mysql://bulkhead_tenant:hunter2hunter2@127.0.0.1/x"),
        (
            "BULKHEAD_DATABASE_TENANT_URL",
            "postgres://bulkhead_tenant:hunter2hunter2@127.0.0.1/x?sslmode=disable",
        ),
        ("BULKHEAD_DATABASE_PLATFORM_URL", "hunter2hunter2"),
        ("BULKHEAD_DATABASE_PLATFORM_URL", "postgres://bulkhead_platform:hunter2hunter2@db.example.com/x"),
        ("BULKHEAD_DATABASE_TLS", "on"),
        ("BULKHEAD_DATABASE_CA_FILE", "/nonexistent.pem"),
        ("BULKHEAD_REDIS_CACHE_URL", "http://default:hunter2hunter2@127.0.0.1:6379/0"),
        ("BULKHEAD_REDIS_CACHE_URL", "redis://default:hunter2hunter2@redis.example.com:6379/0"),
        ("BULKHEAD_REDIS_QUEUE_URL", "redis://default:hunter2hunter2@127.0.0.1:6379/first"),
        ("BULKHEAD_MASTER_KEY", "hunter2hunter2"),
        ("BULKHEAD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("BULKHEAD_ENVIRONMENT", "production"),
        ("BULKHEAD_ACCESS_TOKEN_SECS", "86400"),
        ("BULKHEAD_LOG", "inof"),
        ("BULKHEAD_LOG", ""),
        ("BULKHEAD_LOG_FORMAT", "xml"),
        ("BULKHEAD_NODE_NAME", "a node\nwith a line break"),
        ("BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT", "yes"),
    ] {
        let finished = bulkhead(&["api"], &with(&variables, name, value), "");
        assert_refused(&finished, if name == "BULKHEAD_LOG" && value == "inof" { "inof" } else { name });
        assert!(!finished.err.contains("hunter2"), "{finished:?}");
    }
    // Every command reads the same settings.
    for command in [&["worker"][..], &["migrate"], &["doctor"], &["operator", "create", "a@example.com"]] {
        assert_refused(&bulkhead(command, &with(&variables, "BULKHEAD_PORT", "0"), ""), "BULKHEAD_PORT");
    }
}

#[tokio::test]
async fn a_missing_variable_is_named_in_one_line() {
    let system = System::shared().await;
    let variables = with(&elsewhere(system), "BULKHEAD_LOG", "info");
    for name in [
        "BULKHEAD_DATABASE_TENANT_URL",
        "BULKHEAD_DATABASE_PLATFORM_URL",
        "BULKHEAD_REDIS_CACHE_URL",
        "BULKHEAD_MASTER_KEY",
    ] {
        assert_refused(&bulkhead(&["api"], &without(&variables, name), ""), name);
    }
    let bare = bulkhead(&["worker"], &Variables::new(), "");
    for name in [
        "BULKHEAD_DATABASE_TENANT_URL",
        "BULKHEAD_DATABASE_PLATFORM_URL",
        "BULKHEAD_DATABASE_PROVISIONER_URL",
        "BULKHEAD_REDIS_CACHE_URL",
        "BULKHEAD_MASTER_KEY",
    ] {
        assert_refused(&bare, name);
    }
    assert_refused(&bulkhead(&["worker"], &variables, ""), "BULKHEAD_DATABASE_PROVISIONER_URL");
    assert_refused(&bulkhead(&["migrate"], &variables, ""), "BULKHEAD_DATABASE_PROVISIONER_URL");
    assert_refused(&bulkhead(&["doctor"], &variables, ""), "BULKHEAD_DATABASE_PROVISIONER_URL");
}

#[tokio::test]
async fn a_misspelt_variable_is_named_in_one_line() {
    let variables = System::shared().await.commands();
    let finished = bulkhead(&["api"], &with(&variables, "BULKHEAD_PROT", "8080"), "");
    assert_refused(&finished, "BULKHEAD_PROT");
    assert!(finished.err.contains("BULKHEAD_PORT"), "{finished:?}");
    assert_refused(&bulkhead(&["api"], &with(&variables, "BULKHEAD_", "x"), ""), "BULKHEAD_");
    assert_refused(&bulkhead(&["api"], &with(&variables, "BULKHEAD_bind", "127.0.0.1"), ""), "BULKHEAD_bind");
}

#[tokio::test]
async fn what_kubernetes_sets_for_a_service_of_our_name_stops_nothing() {
    let mut variables = System::shared().await.commands();
    for (name, value) in [
        ("BULKHEAD_SERVICE_HOST", "10.0.0.1"),
        ("BULKHEAD_SERVICE_PORT_HTTP", "80"),
        ("BULKHEAD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("BULKHEAD_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ] {
        variables = with(&variables, name, value);
    }
    let live = bulkhead(&["doctor", "--live"], &variables, "");
    assert!(live.success, "{live:?}");
    let taken = bulkhead(&["api"], &with(&variables, "BULKHEAD_PORT", "tcp://10.0.0.1:80"), "");
    assert_refused(&taken, "BULKHEAD_PORT");
    assert!(taken.err.contains("set by Kubernetes") && taken.err.contains("enableServiceLinks"), "{taken:?}");
}

#[test]
fn dev_refuses_what_it_would_pass_over() {
    for (name, value) in [
        ("BULKHEAD_BIND", "0.0.0.0"),
        ("BULKHEAD_REDIS_QUEUE_URL", "rediss://cache.example.com"),
        ("BULKHEAD_ENVIRONMENT", "live"),
    ] {
        assert_refused(&dev(&[(name, value.to_owned())]), name);
    }
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for name in ["BULKHEAD_PORT", "BULKHEAD_METRICS_PORT"] {
        let variables = with(&vec![("BULKHEAD_PORT", free_port().to_string())], name, &port);
        let refused = dev(&variables);
        let lines: Vec<&str> = refused.err.lines().collect();
        let [cause, "Choose another one:", paste] = lines.as_slice() else { panic!("{refused:?}") };
        assert!(!refused.success && cause.starts_with(&format!("bulkhead: {name}: port {port} is taken: ")));
        let other = paste.strip_prefix(&format!("  {name}=")).and_then(|rest| rest.strip_suffix(" make run"));
        assert!(
            other.and_then(|other| other.parse::<u16>().ok()).is_some_and(|other| other.to_string() != port)
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_a_port_that_is_taken_is_one_line() {
    let variables = with(&elsewhere(System::shared().await), "BULKHEAD_LOG", "info");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for name in ["BULKHEAD_PORT", "BULKHEAD_METRICS_PORT"] {
        assert_refused(&bulkhead(&["api"], &with(&variables, name, &port), ""), name);
    }
    let url = variables.iter().find(|(name, _)| *name == "BULKHEAD_DATABASE_PLATFORM_URL").unwrap().1.clone();
    let (before, after) = url.split_once('@').unwrap();
    let wrong = format!("{}hunter2@{after}", before.rsplit_once(':').unwrap().0.to_owned() + ":");
    for command in ["api", "worker"] {
        let provisioner = ("BULKHEAD_DATABASE_PROVISIONER_URL", System::shared().await.provisioner_url());
        let variables = with(&variables, provisioner.0, &provisioner.1);
        let wrong = bulkhead(&[command], &with(&variables, "BULKHEAD_DATABASE_PLATFORM_URL", &wrong), "");
        assert_refused(&wrong, "BULKHEAD_DATABASE_PLATFORM_URL");
        assert!(wrong.err.contains("password authentication failed"), "{wrong:?}");
        assert!(!wrong.err.contains("hunter2"), "{wrong:?}");
    }
    // Commands that end by themselves log in first, too.
    let provisioner = "BULKHEAD_DATABASE_PROVISIONER_URL";
    let no_password = wrong.replace("bulkhead_platform", "bulkhead_provisioner");
    let create = &["operator", "create", "a@example.com"][..];
    for (command, name, url) in [
        (&["migrate"][..], provisioner, &no_password),
        (&["migrate", "--plan"], provisioner, &no_password),
        (&["migrate", "--forget", "notes"], provisioner, &no_password),
        (&["doctor"], provisioner, &no_password),
        (create, "BULKHEAD_DATABASE_PLATFORM_URL", &wrong),
    ] {
        let refused = bulkhead(command, &with(&variables, name, url), "a long enough password\n");
        assert_refused(&refused, name);
        assert!(refused.err.contains("password authentication failed"), "{refused:?}");
        assert!(!refused.err.contains("hunter2"), "{refused:?}");
    }
    let other_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_refused(
        &bulkhead(&["api"], &with(&variables, "BULKHEAD_MASTER_KEY", other_key), ""),
        "BULKHEAD_MASTER_KEY",
    );
    drop(taken);
    let nobody = format!("postgres://bulkhead_platform:hunter2@127.0.0.1:{port}/bulkhead");
    let nobody = with(&variables, "BULKHEAD_DATABASE_PLATFORM_URL", &nobody);
    assert_refused(&bulkhead(&["api"], &nobody, ""), "Connection refused");
}

#[tokio::test]
async fn the_doctor_finds_a_sound_system() {
    let system = System::shared().await;
    let seen = bulkhead(&["doctor"], &system.migrator(), "");
    assert!(seen.success, "{seen:?}");
    assert!(seen.out.lines().count() > 5 && !seen.out.contains("BROKEN"), "{seen:?}");
    // Three threads of each, with thirteen connections; and what they have beside.
    let three = with(&system.migrator(), "BULKHEAD_HTTP_THREADS", "2");
    let room = "ok       connections: an API process may open 42 connections and a worker 41";
    let seen = bulkhead(&["doctor"], &three, "");
    assert!(seen.out.contains(room), "{seen:?}");
    let crowded = with(&three, "BULKHEAD_DATABASE_CONNECTIONS_PER_THREAD", "256");
    let seen = bulkhead(&["doctor"], &crowded, "");
    assert!(
        seen.success && seen.out.contains("warning  connections: an API process may open 786"),
        "{seen:?}"
    );
    let live = bulkhead(&["doctor", "--live"], &system.commands(), "");
    assert!(live.success, "{live:?}");
    let gone = with(&system.commands(), "BULKHEAD_METRICS_PORT", "9");
    assert!(!bulkhead(&["doctor", "--live"], &gone, "").success);
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let system = System::shared().await;
    system.tenant().await;
    let again = bulkhead(&["migrate"], &system.migrator(), "");
    let nothing = "pending   core  nothing\npending   resources  nothing\n0 migrated, ";
    assert!(again.success && again.out.starts_with(nothing), "{again:?}");
}

#[tokio::test]
async fn an_operator_is_made_once() {
    let system = System::shared().await;
    let variables = system.commands();
    let create = |email: &str, password: &str| {
        bulkhead(&["operator", "create", email, "--role", "billing"], &variables, password)
    };
    let again = create("Admin@Bulkhead.example", "correct horse battery staple");
    assert_refused(&again, "admin@bulkhead.example");
    assert_refused(&create("new@bulkhead.example", "short"), "password");
    assert_refused(&create("new@bulkhead.example", ""), "password");
    for arguments in [
        &["operator", "create", "nobody"][..],
        &["operator", "create", "new@bulkhead.example", "--role", "king"],
        &["operator", "create"],
        &["apii"],
        &[],
    ] {
        let finished = bulkhead(arguments, &variables, "correct horse battery staple");
        assert!(!finished.success && !finished.err.is_empty(), "{finished:?}");
    }
    let made = "SELECT count(*) FROM platform.operators WHERE email LIKE 'new@%' OR email LIKE 'nobody%'";
    assert_eq!(system.sql(made), "0");
}
