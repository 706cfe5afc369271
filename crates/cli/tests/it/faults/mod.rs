//! Whole systems under load, with their parts killed: what was answered is billed, to the request, and every job's
//! effect is there once.
//!
//! A world of its own: here every server and process is the test's to kill.

mod large_writes;
mod load;
mod world;

use bulkhead_servers::Signal;

use self::load::Load;
pub(crate) use self::world::World;

/// Requests of the load that end before something is killed, while it is dead, and after it is back.
const STRETCH: u64 = 100;

/// One fault: tenants are being built and requests answered when `hurt` strikes, and until after `heal`.
async fn through(
    world: &mut World,
    name: &str,
    hurt: impl AsyncFn(&mut World),
    heal: impl AsyncFn(&mut World),
) {
    let load = Load::start(world);
    load.answers(STRETCH).await;
    let operations = world.order_tenants(3).await;
    hurt(world).await;
    load.ends(STRETCH).await;
    heal(world).await;
    world.wait_until_ready().await;
    load.answers(STRETCH).await;
    let counted = load.stop().await;
    eprintln!("{name}: {counted:?}");
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
