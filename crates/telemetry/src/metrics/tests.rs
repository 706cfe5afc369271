//! The exposition as a scraper sees it.

use std::{collections::BTreeMap, time::Duration};

use super::*;

/// Every sample of the exposition by its series.
fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.render();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn every_family_is_exposed_under_its_name() {
    let metrics = Metrics::new().unwrap();
    metrics.http.route("GET", "/v1/me").finished(200, Duration::from_millis(2));
    metrics.jobs.finished("purge_expired", JobOutcome::Retried, Duration::from_secs(2));
    let pool = metrics.database.pool("tenant");
    pool.waited(Duration::from_micros(80));
    let text = metrics.render();
    for (family, kind) in [
        ("http_server_request_duration_seconds", "histogram"),
        ("http_server_active_requests", "gauge"),
        ("bulkhead_db_connections", "gauge"),
        ("bulkhead_db_connection_opened_total", "counter"),
        ("bulkhead_db_connection_dropped_total", "counter"),
        ("bulkhead_db_failures_total", "counter"),
        ("bulkhead_db_wait_seconds", "histogram"),
        ("bulkhead_redis_up", "gauge"),
        ("bulkhead_redis_errors_total", "counter"),
        ("bulkhead_limiter_decisions_total", "counter"),
        ("bulkhead_usage_batches_in_flight", "gauge"),
        ("bulkhead_usage_batches_total", "counter"),
        ("bulkhead_usage_buffer_bytes", "gauge"),
        ("bulkhead_usage_rejected_total", "counter"),
        ("bulkhead_jobs_total", "counter"),
        ("bulkhead_jobs_forged_total", "counter"),
        ("bulkhead_job_duration_seconds", "histogram"),
        ("bulkhead_jobs_outstanding", "gauge"),
        ("bulkhead_jobs_due", "gauge"),
        ("bulkhead_jobs_oldest_due_seconds", "gauge"),
        ("bulkhead_usage_counts_waiting", "gauge"),
        ("bulkhead_usage_stream_length", "gauge"),
        ("bulkhead_usage_unsafe_answers_total", "counter"),
        ("bulkhead_usage_late_answers_total", "counter"),
        ("bulkhead_auth_total", "counter"),
        ("bulkhead_auth_stored_passwords_total", "counter"),
        ("bulkhead_build_info", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
    ] {
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family} is missing:\n{text}");
    }
    assert!(!text.contains("tenant_id") && !text.contains("tenant.id"));
}

/// Names in `text` that look like ours: alerts, dashboards and scaling would wait for a misspelt one for ever.
fn named_metrics(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|name| {
        [
            "bulkhead_job",
            "bulkhead_usage_",
            "bulkhead_db_",
            "bulkhead_redis_",
            "bulkhead_limiter_",
            "bulkhead_auth_",
        ]
        .iter()
        .chain(&["http_server_", "process_"])
        .any(|family| name.starts_with(family))
    })
}

#[test]
fn every_metric_that_alerts_dashboards_and_scaling_name_exists() {
    let metrics = Metrics::new().unwrap();
    metrics.http.route("GET", "/v1/me").finished(200, Duration::from_millis(2));
    metrics.jobs.finished("purge_expired", JobOutcome::Retried, Duration::from_secs(2));
    metrics.database.pool("tenant").waited(Duration::from_micros(80));
    let text = metrics.render();
    let terraform = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform");
    let mut seen = 0;
    for file in [
        "observability/alerts.yml",
        "observability/alerts.test.yml",
        "observability/grafana/dashboard.json",
        "modules/observability/main.tf",
        "modules/stack/main.tf",
    ] {
        let written = std::fs::read_to_string(terraform.join(file)).unwrap();
        for name in named_metrics(&written) {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part));
            let exists = [Some(name), family].into_iter().flatten();
            let exists = exists.map(|name| format!("# TYPE {name} ")).any(|line| text.contains(&line));
            assert!(exists, "{file} names {name}, which is not exposed");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} names were found");
}

#[test]
fn answers_are_counted_by_route_and_status_class() {
    let metrics = Metrics::new().unwrap();
    let route = metrics.http.route("GET", "/v1/users/{id}");
    for status in [200, 204, 404, 503, 0, 700] {
        route.clone().finished(status, Duration::from_millis(30));
    }
    let count = |class: &str| {
        let series = format!(
            "http_server_request_duration_seconds_count{{method=\"GET\",route=\"/v1/users/{{id}}\",status_class=\"{class}\"}}"
        );
        samples(&metrics).get(&series).copied()
    };
    assert_eq!(
        [count("1xx"), count("2xx"), count("4xx"), count("5xx")],
        [None, Some(2.0), Some(1.0), Some(3.0)]
    );
}

#[test]
fn a_request_is_active_until_its_guard_is_dropped() {
    let metrics = Metrics::new().unwrap();
    let active = |metrics: &Metrics| samples(metrics)["http_server_active_requests"];
    let first = metrics.http.request_started();
    let second = metrics.http.request_started();
    assert!((active(&metrics) - 2.0).abs() < f64::EPSILON);
    drop((first, second));
    assert!(active(&metrics).abs() < f64::EPSILON);
}

#[test]
fn every_labelled_counter_moves_its_own_series_alone() {
    let metrics = Metrics::new().unwrap();
    let pool = metrics.database.pool("platform");
    let mut moves: Vec<(Box<dyn Fn()>, String)> = Vec::new();
    for reason in DropReason::ALL {
        let (pool, word) = (&pool, reason.as_str());
        let series = format!("bulkhead_db_connection_dropped_total{{pool=\"platform\",reason=\"{word}\"}}");
        let before = samples(&metrics);
        pool.dropped(*reason);
        assert_eq!(moved(&before, &samples(&metrics)), [series]);
    }
    for needed_for in RedisUse::ALL {
        let (metrics, needed_for) = (metrics.clone(), *needed_for);
        let series = format!("bulkhead_redis_errors_total{{use=\"{}\"}}", needed_for.as_str());
        moves.push((Box::new(move || metrics.redis.failed(needed_for)), series));
    }
    for path in UsagePath::ALL {
        let (metrics, path) = (metrics.clone(), *path);
        let series = format!("bulkhead_usage_batches_total{{path=\"{}\"}}", path.as_str());
        moves.push((Box::new(move || metrics.usage.sent(path)), series));
    }
    for credential in Credential::ALL {
        for outcome in AuthOutcome::ALL {
            let (metrics, credential, outcome) = (metrics.clone(), *credential, *outcome);
            let (c, o) = (credential.as_str(), outcome.as_str());
            let series = format!("bulkhead_auth_total{{credential=\"{c}\",outcome=\"{o}\"}}");
            moves.push((Box::new(move || metrics.auth.presented(credential, outcome)), series));
        }
    }
    let decisions = [
        (LimitKind::Tenant, LimitSource::Redis),
        (LimitKind::Tenant, LimitSource::Local),
        (LimitKind::Ip, LimitSource::Local),
        (LimitKind::Concurrency, LimitSource::Local),
    ];
    for (kind, source) in decisions {
        for (admitted, outcome) in [(true, "admitted"), (false, "refused")] {
            let metrics = metrics.clone();
            let (k, s) = (kind.as_str(), source.as_str());
            let series = format!(
                "bulkhead_limiter_decisions_total{{kind=\"{k}\",outcome=\"{outcome}\",source=\"{s}\"}}"
            );
            moves.push((Box::new(move || metrics.limiter.decided(kind, source, admitted)), series));
        }
    }
    for (count, series) in moves {
        let before = samples(&metrics);
        count();
        assert_eq!(moved(&before, &samples(&metrics)), [series]);
    }
}

/// The series of ours that differ.
fn moved(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> Vec<String> {
    let ours = after.iter().filter(|(series, _)| series.starts_with("bulkhead_"));
    ours.filter(|(series, value)| before.get(*series) != Some(*value))
        .map(|(series, _)| series.clone())
        .collect()
}

#[test]
fn processes_do_not_share_series_through_a_global() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.usage.rejected.inc();
    assert!((samples(&one)["bulkhead_usage_rejected_total"] - 1.0).abs() < f64::EPSILON);
    assert!(samples(&other)["bulkhead_usage_rejected_total"].abs() < f64::EPSILON);
}
