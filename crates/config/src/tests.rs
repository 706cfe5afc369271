//! The settings as a user meets them: variables in, settings or one line out.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const CANARY: &str = "hunter2hunter2";

fn load(vars: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::from_vars(vars.iter().map(|(name, value)| (name.into(), value.into())), &Sections::default())
}

fn refusal(name: &str, value: &str) -> String {
    load(&[(name, value)]).expect_err("the value was accepted").to_string()
}

/// Every variable, its default, and whether it holds a secret.
fn variables() -> Vec<(String, Option<String>, bool)> {
    let variables: Vec<_> = Settings::command()
        .get_arguments()
        .map(|arg| {
            let default = arg.get_default_values().first().map(|value| value.to_str().unwrap().to_owned());
            (variable(arg).expect("an argument without a variable"), default, arg.is_hide_env_values_set())
        })
        .collect();
    assert!(variables.len() > 30);
    variables
}

#[test]
fn the_documents_say_how_many_connections_a_process_may_open() {
    let database = load(&[]).unwrap().database;
    let each = database.connections_per_thread + database.platform_connections_per_thread;
    let (api, worker) = (database.connections_of_api(2), database.connections_of_worker(1));
    let beside = [api - 3 * usize::from(each), worker - 2 * usize::from(each)];
    for (text, figures) in [
        (
            include_str!("../../bench/README.md"),
            format!("{api} for an API task of two threads, {worker} for a worker of one."),
        ),
        (
            include_str!("../../../terraform/README.md"),
            format!("(threads + 1) × {each}, and the API {} beside, a worker {};", beside[0], beside[1]),
        ),
    ] {
        assert!(text.contains(&figures), "{figures}");
    }
}

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let settings = load(&[("PATH", "/bin"), ("XBULKHEAD_PORT", "x")]).unwrap();
    assert_eq!(settings.http.port, 8080);
    assert_eq!(settings.http.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.auth.refresh_token_life, Duration::from_hours(720));
    assert_eq!(settings.database.tls, DatabaseTls::VerifyFull);
    assert_eq!(settings.issuer(), "http://127.0.0.1:8080");
    assert!(!settings.usage.node_name().is_empty());
    assert!(!settings.transport.dangerously_allow_plaintext);
}

#[test]
fn a_wrong_value_gives_one_line_that_names_the_variable_and_the_values_there_are() {
    assert_eq!(
        refusal("BULKHEAD_PORT", "abc"),
        "BULKHEAD_PORT: invalid value 'abc': not a number between 1 and 65535"
    );
    assert_eq!(
        refusal("BULKHEAD_LIMITER_TIMEOUT_MS", "-1"),
        "BULKHEAD_LIMITER_TIMEOUT_MS: invalid value '-1': not a number of milliseconds between 1 and 1000"
    );
    assert_eq!(
        refusal("BULKHEAD_ENVIRONMENT", "prod"),
        "BULKHEAD_ENVIRONMENT: invalid value 'prod': not one of dev, test, live"
    );
    assert_eq!(
        refusal("BULKHEAD_BIND", "everywhere"),
        "BULKHEAD_BIND: invalid value 'everywhere': invalid IP address syntax"
    );
    assert_eq!(
        refusal("BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT", "yes\nplease"),
        "BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT: invalid value 'yes\\nplease': not one of true, false"
    );
    assert_eq!(
        refusal("BULKHEAD_DATABASE_CA_FILE", "/nonexistent"),
        "BULKHEAD_DATABASE_CA_FILE: invalid value '/nonexistent': No such file or directory (os error 2)"
    );
}

#[test]
fn an_empty_value_is_refused_everywhere() {
    for (name, _, _) in variables().into_iter().filter(|(name, ..)| name.starts_with(PREFIX)) {
        let message = refusal(&name, "");
        assert!(message.starts_with(&format!("{name}: invalid value")), "{message}");
    }
}

#[test]
fn a_misspelt_variable_is_refused_with_the_nearest_one() {
    assert_eq!(refusal("BULKHEAD_PROT", "80"), "BULKHEAD_PROT: no such setting; did you mean BULKHEAD_PORT?");
    assert_eq!(
        refusal("BULKHEAD_REDIS_CACHEURL", "redis://localhost"),
        "BULKHEAD_REDIS_CACHEURL: no such setting; did you mean BULKHEAD_REDIS_CACHE_URL?"
    );
    let both = load(&[("BULKHEAD_PORT", "x"), ("BULKHEAD_ZZZZ", "1")]).unwrap_err();
    assert!(matches!(both, ConfigError::Unknown { .. }), "{both}");
}

#[test]
fn no_message_shows_a_secret() {
    let secrets: Vec<_> = variables().into_iter().filter(|(.., secret)| *secret).collect();
    assert_eq!(secrets.len(), 14, "{secrets:?}");
    let long = refusal("BULKHEAD_DATABASE_ADMIN_PASSWORD", &CANARY.repeat(200));
    assert!(!long.contains("hunter2"), "{long}");
    for (name, ..) in secrets.iter().filter(|(name, ..)| name.starts_with(aws::PREFIX)) {
        let message = refusal(name, &format!("{}\u{1}\u{0}", CANARY.repeat(2_000)));
        assert!(message.starts_with(name) && !message.contains("hunter2"), "{message}");
    }
    // Any other text may be a password, or a token.
    let is_free = |name: &str| name.ends_with("PASSWORD") || name.starts_with(aws::PREFIX);
    for (name, ..) in secrets.into_iter().filter(|(name, ..)| !is_free(name)) {
        for wrong in
            [CANARY.to_owned(), format!("http://u:{CANARY}@h/d"), format!("postgres://u:{CANARY}@h:x/d?q")]
        {
            let message = refusal(&name, &wrong);
            assert!(message.starts_with(&name) && !message.contains("hunter2"), "{message}");
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    let url = format!("postgres://bulkhead_tenant:{CANARY}@db.internal:5432/bulkhead");
    let redis = format!("rediss://default:{CANARY}@cache.internal:6379/0");
    let key = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnQ=";
    let settings = load(&[
        ("BULKHEAD_DATABASE_TENANT_URL", &url),
        ("BULKHEAD_REDIS_CACHE_URL", &redis),
        ("BULKHEAD_MASTER_KEY", key),
    ])
    .unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("postgres://bulkhead_tenant@db.internal:5432/bulkhead"), "{shown}");
    assert!(!shown.contains("hunter") && !shown.contains("aHVu"), "{shown}");
    assert_eq!(settings.database.require_tenant().unwrap().expose(), url);
    assert_eq!(settings.auth.require_master_key().unwrap().expose(), b"hunter2hunter2hunter2hunter2hunt");
}

#[test]
fn no_number_can_be_zero_unless_zero_is_its_default_nor_without_bound() {
    let mut numbers = 0;
    for (name, default, _) in variables() {
        let Some(default) = default.filter(|text| text.parse::<u64>().is_ok()) else { continue };
        numbers += 1;
        assert!(load(&[(&name, &default)]).is_ok());
        assert!(load(&[(&name, &u64::MAX.to_string())]).is_err(), "{name} has no upper bound");
        // What it switches off is neither a limit nor a time-out.
        let zero =
            default == "0" || ["BULKHEAD_SCHEMA_POOL", "BULKHEAD_TENANT_GRACE_DAYS"].contains(&name.as_str());
        assert_eq!(load(&[(&name, "0")]).is_ok(), zero, "{name}=0");
    }
    assert!(numbers > 20);
}

#[test]
fn plaintext_reaches_other_hosts_only_when_that_is_said_aloud() {
    let remote = ("BULKHEAD_REDIS_QUEUE_URL", "redis://cache.internal:6379");
    let message = load(&[remote]).unwrap_err().to_string();
    assert!(message.starts_with("BULKHEAD_REDIS_QUEUE_URL: leads to another host without TLS"), "{message}");
    assert!(load(&[remote, ("BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT", "true")]).is_ok());
    assert!(load(&[("BULKHEAD_REDIS_QUEUE_URL", "rediss://cache.internal:6379")]).is_ok());

    let off = ("BULKHEAD_DATABASE_TLS", "off");
    for (host, safe) in [
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("[::1]", true),
        ("localhost", true),
        ("10.0.0.1", false),
        ("localhost.example.com", false),
        ("[::ffff:10.0.0.1]", false),
        ("0.0.0.0", false),
    ] {
        let url = format!("postgres://u:p@{host}/d");
        let database = ("BULKHEAD_DATABASE_ADMIN_URL", url.as_str());
        let redis = format!("redis://:p@{host}:6379");
        assert!(load(&[database]).is_ok(), "with TLS any host is good: {host}");
        assert_eq!(load(&[database, off]).is_ok(), safe, "{url}");
        assert_eq!(load(&[("BULKHEAD_REDIS_CACHE_URL", &redis)]).is_ok(), safe, "{redis}");
    }
}

#[test]
fn server_addresses_are_kept_to_what_every_client_reads_alike() {
    for bad in [
        "postgres://u:p@h/d?sslmode=disable",
        "postgres://u:p@h/d?options=-csearch_path%3Dpublic",
        "postgres://u:p@127.0.0.1,evil.example/d",
        "postgres://u:p@%2Fvar%2Frun/d",
        "postgres:///d",
        "postgres://h/d",
        "postgres://u@h",
        "postgres://u@h/d/e",
        "postgres://u@h/d#f",
        "host=h user=u",
    ] {
        assert!(load(&[("BULKHEAD_DATABASE_TENANT_URL", bad)]).is_err(), "{bad} was accepted");
    }
    for bad in [
        "rediss://h#insecure",
        "rediss://h/0?protocol=3",
        "rediss://h/x",
        "rediss://h/0/1",
        "unix:///x",
        "h:1",
    ] {
        assert!(load(&[("BULKHEAD_REDIS_CACHE_URL", bad)]).is_err(), "{bad} was accepted");
    }
    assert!(load(&[("BULKHEAD_DATABASE_TENANT_URL", "postgresql://u:p%40@db-1.x_y.example:5433/d")]).is_ok());
}

#[test]
fn who_we_are_at_aws_is_said_by_its_own_variables_in_its_own_order() {
    let (key, secret) = (("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", CANARY));
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CANARY);
    let container = |variables: &[(&str, &str)]| match load(variables).unwrap().aws.credentials() {
        Some(AwsCredentials::Container { url, token, .. }) => {
            (url, token.map(|token| token.expose().to_owned()))
        }
        other => panic!("{other:?}"),
    };
    for (half, empty) in [(key, "AWS_SECRET_ACCESS_KEY"), (secret, "AWS_ACCESS_KEY_ID")] {
        assert_eq!(load(&[half, (empty, "")]).unwrap().aws.credentials(), None);
    }
    assert_eq!(container(&[key, relative, full]), ("http://169.254.170.2/v2/credentials/1".to_owned(), None));
    let with_token = container(&[full, token]);
    assert_eq!(with_token, ("http://169.254.170.23/v1/credentials".to_owned(), Some(CANARY.to_owned())));
    let all = [key, secret, relative, full, token, ("AWS_SESSION_TOKEN", CANARY), ("AWS_PROFILE", "x")];
    let settings = load(&all).unwrap();
    let given = settings.aws.credentials();
    assert!(
        matches!(given, Some(AwsCredentials::Given { key_id: "AKIAEXAMPLE", token: Some(_), .. })),
        "{given:?}"
    );
    assert!(!format!("{settings:?}{given:?}").contains("hunter2"));
    for (name, wrong) in [
        ("AWS_REGION", "Frankfurt!"),
        ("AWS_ACCESS_KEY_ID", "a b"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "file:///x"),
        ("AWS_ENDPOINT_URL_S3", "minio"),
    ] {
        assert!(refusal(name, wrong).starts_with(&format!("{name}: invalid value")));
    }
}

#[test]
fn what_a_command_needs_is_named_when_it_is_missing() {
    let settings = load(&[("BULKHEAD_REDIS_CACHE_URL", "redis://localhost")]).unwrap();
    let missing = settings.database.require_provisioner().unwrap_err().to_string();
    assert_eq!(missing, "BULKHEAD_DATABASE_PROVISIONER_URL: not set, and this command needs it");
    assert_eq!(settings.redis.require_queue().unwrap(), settings.redis.require_cache().unwrap());
    assert!(settings.auth.require_master_key().is_err());
}

#[test]
fn all_that_a_command_needs_is_named_at_once_and_each_once() {
    use Needed::{LimitsRedis, MasterKey, PlatformLogin, QueueRedis, TenantLogin};
    let needed = [TenantLogin, PlatformLogin, LimitsRedis, QueueRedis, MasterKey];
    let missing = load(&[("BULKHEAD_DATABASE_PLATFORM_URL", "postgres://u:p@h/d")]).unwrap();
    assert_eq!(
        missing.require(&needed).unwrap_err().to_string(),
        "BULKHEAD_DATABASE_TENANT_URL, BULKHEAD_REDIS_CACHE_URL, BULKHEAD_MASTER_KEY: not set, and this command needs \
         them"
    );
    assert!(missing.require(&[PlatformLogin, Needed::Extensions]).is_ok());
}

#[test]
fn the_administrators_password_may_stand_by_itself() {
    let url = ("BULKHEAD_DATABASE_ADMIN_URL", "postgres://master:old@db.example:5432/bulkhead");
    let password = ("BULKHEAD_DATABASE_ADMIN_PASSWORD", "a?b@c/d #%:");
    let admin =
        |variables: &[_]| load(variables).unwrap().database.admin().map(|url| url.expose().to_owned());
    assert_eq!(admin(&[url]).as_deref(), Some(url.1));
    assert_eq!(admin(&[password]), None);
    let together = admin(&[url, password]).unwrap();
    assert_eq!(together, "postgres://master:a%3Fb%40c%2Fd%20%23%%3A@db.example:5432/bulkhead");
    let shown = format!("{:?}", load(&[url, password]).unwrap());
    assert!(!shown.contains("old") && !shown.contains("a?b") && !shown.contains("a%3F"), "{shown}");
    assert!(load(&[url, (password.0, "")]).is_err());
}

#[test]
fn a_master_key_is_32_bytes_and_no_placeholder() {
    for bad in ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "aHVudGVyMg==", "not base64"] {
        assert!(load(&[("BULKHEAD_MASTER_KEY", bad)]).is_err(), "{bad} was accepted");
    }
}

#[test]
fn a_ca_file_is_read_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, "hello").unwrap();
    let message = refusal("BULKHEAD_REDIS_CA_FILE", file.to_str().unwrap());
    assert!(message.ends_with("not a PEM file of certificates"), "{message}");
    std::fs::write(&file, "# ours\n-----BEGIN CERTIFICATE-----\n").unwrap();
    let settings = load(&[("BULKHEAD_REDIS_CA_FILE", file.to_str().unwrap())]).unwrap();
    assert!(settings.redis.ca.unwrap().pem().starts_with(b"# ours"));
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_no_setting() {
    for service in ["BULKHEAD", "BULKHEAD_API", "BULKHEAD_WORKER_METRICS"] {
        let variables: Vec<(String, &str)> = [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "80"),
            ("SERVICE_PORT_HTTP", "80"),
            ("SERVICE_PORT_HTTP_METRICS", "9090"),
            ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PORT_53_UDP", "udp://10.0.0.1:53"),
        ]
        .map(|(name, value)| (format!("{service}_{name}"), value))
        .to_vec();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(load(&variables).unwrap().http.port, 8080);
    }
    assert!(load(&[("BULKHEAD_API_PORT", "tcp://10.0.0.1:80")]).is_ok());
    for (name, value) in [
        ("BULKHEAD_API_PORT", "80"),
        ("BULKHEAD_PORT_HTTP_TCP", "tcp://10.0.0.1:80"),
        ("BULKHEAD_PORT_80_TCP_NAME", "x"),
        ("BULKHEAD_SERVICE_NAME", "x"),
    ] {
        assert!(matches!(load(&[(name, value)]), Err(ConfigError::Unknown { .. })), "{name}");
    }
    // Where the name is that of a setting, the value of a Service is told apart from a mistake.
    for name in ["BULKHEAD_PORT", "BULKHEAD_METRICS_PORT"] {
        assert_eq!(
            refusal(name, "tcp://10.0.0.1:80"),
            format!(
                "{name}: invalid value 'tcp://10.0.0.1:80': set by Kubernetes for a Service of that name; set it to a \
                 port in the pod's own environment, or turn the pod's enableServiceLinks off"
            )
        );
    }
}

#[test]
fn a_path_in_the_public_url_is_found_without_a_slash_at_its_end() {
    let path = |url: &str| load(&[("BULKHEAD_PUBLIC_URL", url)]).unwrap().http.public_url.path().to_owned();
    assert_eq!([path("https://a.example"), path("https://a.example/")], ["", ""]);
    assert_eq!(path("https://a.example:8443/p/q/"), "/p/q");
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    let origins =
        |text: &str| load(&[("BULKHEAD_CORS_ORIGINS", text)]).map(|settings| settings.http.cors_origins);
    assert_eq!(load(&[]).unwrap().http.cors_origins, []);
    let two = origins("https://app.example.com,http://localhost:3000").unwrap();
    assert_eq!(
        two.iter().map(Origin::as_str).collect::<Vec<_>>(),
        ["https://app.example.com", "http://localhost:3000"]
    );
    for bad in [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://App.example.com",
        "https://*.example.com",
        "https://a.example, https://b.example",
        "https://a.example,",
        "ftp://a.example",
    ] {
        assert!(origins(bad).is_err(), "{bad} was accepted");
    }
}

/// `crates/api/src/http/openapi.md` tells how far to go back when one follows a list: no write takes ten minutes.
#[test]
fn no_request_may_take_ten_minutes() {
    assert!(load(&[("BULKHEAD_REQUEST_TIMEOUT_MS", "300000")]).is_ok());
    assert!(load(&[("BULKHEAD_REQUEST_TIMEOUT_MS", "300001")]).is_err());
}

#[test]
fn the_issuer_is_the_public_url_unless_set_and_has_no_slash_at_its_end() {
    let public = ("BULKHEAD_PUBLIC_URL", "https://api.example.com/");
    assert_eq!(load(&[public]).unwrap().issuer(), "https://api.example.com");
    let issuer = ("BULKHEAD_ISSUER", "https://id.example.com");
    assert_eq!(load(&[public, issuer]).unwrap().issuer(), "https://id.example.com");
    for bad in ["ftp://a", "https://u@a", "https://a?x", "https://a#x", "a"] {
        assert!(load(&[("BULKHEAD_ISSUER", bad)]).is_err(), "{bad} was accepted");
    }
}

#[test]
fn the_table_lists_every_variable_once_with_its_meaning() {
    let table = table(&Sections::default());
    let rows: Vec<&str> = table.lines().skip(2).collect();
    let variables = variables();
    assert_eq!(rows.len(), variables.len());
    for (name, default, _) in variables {
        assert!(name.starts_with(PREFIX) || name.starts_with(aws::PREFIX));
        let own: Vec<_> = rows.iter().filter(|row| row.starts_with(&format!("| `{name}` |"))).collect();
        assert_eq!(own.len(), 1, "{name}");
        let cells: Vec<&str> = own[0].trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{cells:?}");
        assert_eq!(cells[1], default.map_or("—".to_owned(), |default| format!("`{default}`")));
        assert!(cells[2].len() > 10 && cells[2].ends_with('.') && !cells[2].ends_with(".."), "{cells:?}");
    }
}

proptest! {
    #[test]
    fn no_value_makes_the_parser_panic(value in "\\PC*", which in 0_usize..1000) {
        let variables = variables();
        let (name, _, secret) = &variables[which % variables.len()];
        if let Err(error) = load(&[(name, &value)]) {
            let message = error.to_string();
            prop_assert!(message.starts_with(name.as_str()) && !message.contains('\n'));
            prop_assert!(!*secret || value.len() < 8 || !message.contains(&value));
        }
    }
}

#[test]
fn mail_has_a_server_and_a_sender_or_neither() {
    let (url, from) = ("BULKHEAD_SMTP_URL", "BULKHEAD_MAIL_FROM");
    let server = format!("smtps://user:{CANARY}@mail.example.com:465");
    assert!(!load(&[]).unwrap().mail.is_on());
    let message = load(&[(url, &server)]).unwrap_err().to_string();
    assert_eq!(message, "BULKHEAD_MAIL_FROM: must be set with BULKHEAD_SMTP_URL");
    let message = load(&[(from, "a@example.com")]).unwrap_err().to_string();
    assert_eq!(message, "BULKHEAD_SMTP_URL: must be set with BULKHEAD_MAIL_FROM");
    let settings = load(&[(url, &server), (from, "Acme, Inc. <no-reply@BÜCHER.example>")]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let (server, sender) = settings.mail.server().unwrap();
    assert_eq!(server.login().unwrap().unwrap().1, CANARY);
    assert_eq!(sender.to_string(), "Acme, Inc. <no-reply@xn--bcher-kva.example>");
    assert_eq!(settings.mail_links_url(), "http://127.0.0.1:8080");
    for wrong in
        ["", "nobody", "<a@example.com>", "A <a@example.com", "A\r\nBcc: b <a@example.com>", "\"A\" <a@b.c>"]
    {
        assert!(load(&[(url, "smtp://localhost"), (from, wrong)]).is_err(), "{wrong:?}");
    }
    for wrong in [
        "https://mail.example.com",
        "smtp://mail.example.com/path",
        "smtp://mail.example.com?tls=none",
        "smtp://user@mail.example.com",
        "smtp://user:%ZZ@mail.example.com",
        "smtp://user:a%0Ab@mail.example.com",
    ] {
        assert!(load(&[(url, wrong), (from, "a@example.com")]).is_err(), "{wrong}");
    }
}
