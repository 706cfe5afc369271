//! `bulkhead worker`.

use std::sync::Arc;

use anyhow::Result;
use bulkhead_api::{block_on, probes};
use bulkhead_auth::{Purpose, SigningKeyMaker};
use bulkhead_config::{PLATFORM_URL, PROVISIONER_CONNECTIONS, PROVISIONER_URL, Settings, TENANT_URL};
use bulkhead_db::Shares;
use bulkhead_domain::SystemClock;
use bulkhead_telemetry::{Health, health::probes::Pace};
use bulkhead_worker::{Dependencies, WorkerOptions, run as work};
use tokio_util::sync::CancellationToken;

use super::migrate;
use crate::{app::Parts, stop, wiring};

/// Runs jobs until it is told to stop.
pub(crate) fn run(parts: &Parts, settings: &Settings, stop_with_stdin: bool) -> Result<()> {
    block_on(async {
        let mut stop = stop::signal_of(stop_with_stdin)?;
        let metrics = parts.metrics()?;
        let extensions = parts.probes(&settings.extensions)?;
        let health = Arc::new(Health::with_probes(&extensions));
        let databases = wiring::databases(settings, &metrics, Shares::Whole)?;
        let own = databases();
        let database = &settings.database;
        let logins = [
            (TENANT_URL, database.require_tenant()?),
            (PLATFORM_URL, database.require_platform()?),
            (PROVISIONER_URL, database.require_provisioner()?),
        ];
        wiring::try_logins(database, &logins).await?;
        migrate::require_migrated(&own, &parts.sets).await?;
        let keyring = wiring::keyring(settings, &own).await?;
        let dependencies = Dependencies {
            threads: (0..wiring::threads(settings)).map(|_| databases()).collect(),
            own,
            owner: wiring::measured_owner(settings, PROVISIONER_CONNECTIONS, &metrics)?,
            purger: wiring::measured_owner(settings, PROVISIONER_CONNECTIONS, &metrics)?,
            redis: wiring::queue_redis(settings)?,
            usage_mac: keyring.for_purpose(Purpose::UsageEntry),
            queue_mac: keyring.for_purpose(Purpose::QueuedJob),
            mail: wiring::outgoing_mail(settings, &keyring)?,
            pools: wiring::pools(settings, &metrics)?,
            anchoring: wiring::anchoring(settings, &keyring)?,
            signing_key_maker: SigningKeyMaker::new(keyring),
            metrics: metrics.clone(),
            health: Arc::clone(&health),
            clock: Arc::new(SystemClock),
            extensions: settings.extensions.clone(),
        };
        // Only now, so that a wrong setting is named before any port is taken.
        let address = (settings.http.metrics_bind, settings.http.metrics_port).into();
        let probes = probes(address, metrics, Arc::clone(&health))
            .map_err(|error| wiring::name_port(error, settings))?;
        let _watching = extensions.watch(&health, Pace::default())?;
        let probes_handle = probes.handle();
        tokio::task::spawn_local(probes);
        let shutdown = CancellationToken::new();
        let (asked, ending) = (shutdown.clone(), Arc::clone(&health));
        tokio::task::spawn_local(async move {
            // An error means that the sender of the signal is gone: the process could not be asked any more, so it
            // stops.
            let _asked = stop.wait_for(|stop| *stop).await;
            ending.mark_draining();
            asked.cancel();
        });
        health.mark_started();
        let connections = database.connections_of_worker(wiring::threads(settings));
        tracing::info!(metrics = %address, database_connections_at_most = connections, "working");
        Box::pin(work(options(settings), dependencies, parts.jobs.clone(), shutdown)).await?;
        probes_handle.stop(false).await;
        Ok(())
    })
}

fn options(settings: &Settings) -> WorkerOptions {
    let worker = &settings.worker;
    WorkerOptions {
        node: settings.usage.node_name(),
        concurrency: worker.worker_concurrency,
        lane_concurrency: worker.worker_tenant_concurrency,
        lease: worker.worker_lease,
        poll: worker.worker_poll,
        outstanding: worker.worker_outstanding,
        sweep: worker.worker_sweep,
        schema_pool: worker.schema_pool,
        ..WorkerOptions::default()
    }
}
