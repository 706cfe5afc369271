//! Whole systems under load, with their parts killed: what was answered is billed, to the request, and every job's
//! effect is there once.
//!
//! A world of its own: here every server and process is the test's to kill.

mod large_writes;
mod load;
mod world;

use std::time::Duration;

use bulkhead_servers::Signal;

use self::load::Load;
pub(crate) use self::world::World;

/// How long the load runs before something is killed, how long it stays dead, and how long the load goes on after.
const STRETCH: Duration = Duration::from_millis(1_200);

async fn pause() {
    tokio::time::sleep(STRETCH).await;
}

/// One fault: tenants are being built and requests answered when `hurt` strikes, and until after `heal`.
async fn through(
    world: &mut World,
    name: &str,
    hurt: impl AsyncFn(&mut World),
    heal: impl AsyncFn(&mut World),
) {
    let load = Load::start(world);
    pause().await;
    let operations = world.order_tenants(3).await;
    hurt(world).await;
    pause().await;
    heal(world).await;
    world.wait_until_ready().await;
    pause().await;
    let counted = load.stop().await;
    eprintln!("{name}: {counted:?}");
    assert!(counted.answered > 50, "{name}: the load was hardly felt: {counted:?}");
    world.tally(&counted);
    world.await_billed(name).await;
    world.await_built(name, operations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_usage_stays_exact_and_jobs_take_effect_once() {
    let mut world = World::start().await;
    through(&mut world, "nothing", async |_| {}, async |_| {}).await;
    through(&mut world, "worker", async |world| world.kill_worker(), async |world| world.start_worker())
        .await;
    through(&mut world, "redis forgets", async |world| world.flush_redis().await, async |_| {}).await;
    through(
        &mut world,
        "redis",
        async |world| world.redis.kill(Signal::SIGKILL).unwrap(),
        async |world| world.redis.restart().unwrap(),
    )
    .await;
    through(
        &mut world,
        "postgres",
        async |world| world.postgres.kill(Signal::SIGKILL).unwrap(),
        async |world| world.postgres.restart().unwrap(),
    )
    .await;
    through(&mut world, "api", async |world| drop(world.kill_api()), async |world| world.start_api()).await;
    world.assert_no_orphans();
}
