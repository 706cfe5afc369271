//! What an installation needs beyond the machine that was measured: processors, memory and money, by tenants and requests.
//!
//! Owns the constants: what was measured (README.md tells how), what a cell may be used for, and list prices. The tests hold
//! the model against the record of measurements. Refuses to size a database for more than [`CELL_TENANTS`]: an
//! installation with more tenants has more cells.

use std::fmt::Write as _;

/// Tenants in one database, at most: what the catalog, migrations and the memberships of roles are built for.
const CELL_TENANTS: u64 = 10_000;
/// Processor time of a read, in µs, with 1,000 tenants and enough load to keep all processes busy, from `/proc`
/// (`bench hold`).
const API_US: f64 = 163.0;
const POSTGRES_US: f64 = 170.0;
const REDIS_US: f64 = 23.0;
const WORKER_US: f64 = 6.0;
/// What a write takes of the API and of PostgreSQL, by what a read takes.
const WRITE: f64 = 2.0;
/// The exponent of requests/s ~ tenants^-a, when all tenants are asked for alike.
const SLOWDOWN: f64 = 0.045;
/// What a backend keeps for a tenant whose keys and resources it has read, in kB: tables, indexes, statements.
const KB_PER_TENANT: f64 = 45.0;
/// What a backend that has served has of its own, in MB.
const BACKEND_MB: f64 = 12.0;
/// Connections of a thread: to its tenants and to the platform.
const CONNECTIONS_PER_THREAD: f64 = 12.0;
/// Connections of a process beside those of the threads that it is set to: of one thread more, and for usage or for building
/// tenants.
const CONNECTIONS_PER_PROCESS: f64 = CONNECTIONS_PER_THREAD + 3.0;
/// Processors of a task of the API, and of a worker (`terraform/environments/production`).
const API_TASK_VCPUS: f64 = 2.0;
const WORKER_TASK_VCPUS: f64 = 1.0;
/// What a tenant takes on disk before it has any rows, in MB, with its part of the catalog.
const DISK_MB: f64 = 0.42;

/// The part of a processor that is used at the peak: beyond it, answers wait for each other.
const BUSY: f64 = 0.6;
/// The part of a database's memory that its backends may have; a quarter is for shared buffers, the rest for files.
const BACKENDS_PART: f64 = 0.5;
/// A month, in hours.
const MONTH: f64 = 730.0;

/// A size of database server: RDS for PostgreSQL, Multi-AZ instance.
#[derive(Debug)]
struct Class {
    name: &'static str,
    vcpus: f64,
    gb: f64,
    /// US dollars an hour. On demand, us-east-1, 2025; so are all prices here.
    price: f64,
}

const CLASSES: [Class; 6] = [
    Class { name: "db.r7g.large", vcpus: 2.0, gb: 16.0, price: 0.478 },
    Class { name: "db.r7g.xlarge", vcpus: 4.0, gb: 32.0, price: 0.956 },
    Class { name: "db.r7g.2xlarge", vcpus: 8.0, gb: 64.0, price: 1.913 },
    Class { name: "db.r7g.4xlarge", vcpus: 16.0, gb: 128.0, price: 3.827 },
    Class { name: "db.r7g.8xlarge", vcpus: 32.0, gb: 256.0, price: 7.654 },
    Class { name: "db.r7g.16xlarge", vcpus: 64.0, gb: 512.0, price: 15.309 },
];
/// Fargate, Linux on x86: an hour of a processor, and of a GB.
const FARGATE_VCPU: f64 = 0.04048;
const FARGATE_GB: f64 = 0.004_445;
/// Memory of a task for each of its processors, in GB.
const GB_PER_VCPU: f64 = 2.0;
/// An hour of `ElastiCache`: cache.m7g.large, with a replica.
const CACHE: f64 = 2.0 * 0.158;
/// A GB of Multi-AZ gp3 storage for a month.
const STORAGE: f64 = 0.23;
/// A load balancer and three NAT gateways for a month, without their traffic.
const NETWORK: f64 = 125.0;

/// What is asked of an installation at its peak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    pub(crate) tenants: u64,
    /// Requests per second, of all tenants.
    pub(crate) requests: f64,
    /// The part of them that writes.
    pub(crate) writes: f64,
    /// Rows and files of a tenant, in MB.
    pub(crate) data: f64,
}

/// One database with what stands before it.
#[derive(Debug)]
struct Cell {
    class: &'static Class,
    tenants: f64,
    /// Of the API: as many threads as processors, so that each has its own connections.
    api_vcpus: f64,
    worker_vcpus: f64,
    connections: f64,
    /// What the cell uses of what it may use: 1 is full.
    memory: f64,
    processors: f64,
    redis: f64,
    gb: f64,
}

impl Cell {
    /// The smallest that can do it, if any.
    fn fit(demand: Demand, cells: u64) -> Option<Self> {
        let tenants = demand.tenants as f64 / cells as f64;
        let requests = demand.requests / cells as f64;
        let weight = (1.0 + demand.writes * (WRITE - 1.0)) * (tenants / 1_000.0).max(1.0).powf(SLOWDOWN);
        let vcpus = |micros: f64| requests * micros * 1e-6 / BUSY;
        // Two tasks at least, in two zones.
        let api_vcpus = vcpus(API_US * weight).ceil().max(2.0);
        let worker_vcpus = vcpus(WORKER_US).ceil().max(2.0);
        let processes =
            (api_vcpus / API_TASK_VCPUS).ceil().max(2.0) + (worker_vcpus / WORKER_TASK_VCPUS).ceil();
        let connections =
            (api_vcpus + worker_vcpus) * CONNECTIONS_PER_THREAD + processes * CONNECTIONS_PER_PROCESS;
        let used_gb = backends_mb(tenants, api_vcpus, connections) / 1_024.0;
        CLASSES
            .iter()
            .map(|class| Self {
                class,
                tenants,
                api_vcpus,
                worker_vcpus,
                connections,
                memory: used_gb / (class.gb * BACKENDS_PART),
                processors: vcpus(POSTGRES_US * weight) / class.vcpus,
                redis: vcpus(REDIS_US),
                gb: tenants * (DISK_MB + demand.data) / 1_024.0,
            })
            .find(|cell| cell.memory <= 1.0 && cell.processors <= 1.0 && cell.redis <= 1.0)
    }

    /// US dollars a month.
    fn price(&self) -> f64 {
        let fargate = (self.api_vcpus + self.worker_vcpus) * (FARGATE_VCPU + GB_PER_VCPU * FARGATE_GB);
        (self.class.price + fargate + CACHE) * MONTH + self.gb.max(20.0) * STORAGE + NETWORK
    }

    /// What is full first when everything grows alike.
    fn first(&self) -> &'static str {
        let parts = [
            (self.memory, "memory of PostgreSQL's backends"),
            (self.processors, "PostgreSQL's processors"),
            (self.redis, "Redis' one processor"),
            (self.tenants / CELL_TENANTS as f64, "the tenants that a database is built for"),
        ];
        parts.into_iter().max_by(|one, other| one.0.total_cmp(&other.0)).map_or("", |part| part.1)
    }
}

/// Memory of the backends that serve tenants, in MB, when each thread has been asked for all of them: a thread's connections
/// share the tenants among themselves (goal 4).
fn backends_mb(tenants: f64, threads: f64, connections: f64) -> f64 {
    threads * tenants * KB_PER_TENANT / 1_024.0 + connections * BACKEND_MB
}

/// What the demand needs, as text. The error says why it cannot be sized.
pub(crate) fn size(demand: Demand) -> Result<String, &'static str> {
    let fewest = demand.tenants.div_ceil(CELL_TENANTS).max(1);
    let fitting =
        (fewest..=fewest.saturating_mul(64)).find_map(|cells| Some((cells, Cell::fit(demand, cells)?)));
    let (cells, cell) = fitting.ok_or("no number of cells can do that: ask for fewer requests per tenant")?;
    let mut text = String::new();
    let month = cell.price() * cells as f64;
    let _: std::fmt::Result = write!(
        text,
        "{cells} x {class} (Multi-AZ), each with\n\
         \x20 {tenants:.0} tenants, {requests:.0} requests/s at the peak, {connections:.0} connections, {gb:.0} GB\n\
         \x20 {api:.0} vCPU for the API, {worker:.0} vCPU for the worker, cache.m7g.large with a replica\n\
         \x20 used of what may be used: {memory:.0} % of memory, {processors:.0} % of processors, {redis:.0} % of Redis\n\
         \x20 full first: {first}\n\
         {month:.0} US dollars a month, {per:.3} for each tenant\n",
        class = cell.class.name,
        tenants = cell.tenants,
        requests = demand.requests / cells as f64,
        connections = cell.connections,
        gb = cell.gb,
        api = cell.api_vcpus,
        worker = cell.worker_vcpus,
        memory = cell.memory * 100.0,
        processors = cell.processors * 100.0,
        redis = cell.redis * 100.0,
        first = cell.first(),
        per = month / demand.tenants.max(1) as f64,
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests per second with so many tenants, asked for alike (README.md, goal 3b with 10,000 tenants).
    const UNIFORM: [(f64, f64); 4] =
        [(10.0, 5_516.0), (100.0, 5_278.0), (1_000.0, 4_951.0), (10_000.0, 4_034.0)];
    /// Growth of the backends, in MB, of two threads that were asked for so many tenants (goal 4).
    const MEMORY: [(f64, f64); 4] = [(500.0, 45.0), (1_000.0, 95.0), (2_000.0, 184.0), (2_000.0, 166.0)];

    /// Requests per second on the machine of the record, which has two processors and carries the load's client as well.
    fn rate(tenants: f64) -> f64 {
        const CLIENT_US: f64 = 25.0;
        let micros = API_US + POSTGRES_US + REDIS_US + WORKER_US + CLIENT_US;
        2.0 / (micros * 1e-6) * (tenants / 1_000.0).powf(-SLOWDOWN)
    }

    /// Within a quarter, as far as the machine itself drifts.
    fn assert_close(model: f64, measured: f64) {
        assert!((0.75..=1.25).contains(&(model / measured)), "{model} beside {measured}");
    }

    #[test]
    fn the_model_gives_the_rates_that_were_measured() {
        for (tenants, measured) in UNIFORM {
            assert_close(rate(tenants), measured);
        }
    }

    #[test]
    fn the_model_gives_the_memory_that_was_measured() {
        for (tenants, measured) in MEMORY {
            assert_close(backends_mb(tenants, 2.0, 8.0) - backends_mb(0.0, 2.0, 8.0), measured);
        }
    }

    #[test]
    fn more_of_anything_never_needs_less() {
        let demand = Demand { tenants: 5_000, requests: 200.0, writes: 0.1, data: 10.0 };
        let price = |demand| Cell::fit(demand, 1).map(|cell| cell.price());
        let usual = price(demand);
        assert!(usual.is_some());
        for more in [
            Demand { tenants: 10_000, ..demand },
            Demand { requests: 9_000.0, ..demand },
            Demand { requests: 5_000.0, writes: 1.0, ..demand },
            Demand { data: 50.0, ..demand },
        ] {
            assert!(price(more) > usual, "{more:?}");
        }
    }

    #[test]
    fn more_tenants_than_a_database_is_built_for_are_more_cells() {
        let demand = Demand { tenants: 1_000_000, requests: 1_000.0, writes: 0.1, data: 10.0 };
        assert!(size(demand).is_ok_and(|text| text.starts_with("100 x ")));
        assert!(size(Demand { requests: 1e9, ..demand }).is_err());
    }
}
