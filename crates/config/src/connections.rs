//! How many connections to PostgreSQL the settings allow a process: everything that may hold some is counted here.

use crate::database::Database;

/// Connections that store an API process's usage: for what answers wait for, and for what is made up for beside it.
pub const USAGE_CONNECTIONS: u16 = 2;
/// The login by which an API process asks whether PostgreSQL answers at all, while storing usage takes long.
const USAGE_LOGINS: u16 = 1;
/// Connections of a worker to build tenants with, and as many to purge with: one tenant at a time each, and neither waits for
/// the other.
pub const PROVISIONER_CONNECTIONS: u16 = 1;

impl Database {
    /// Connections that an API process may open when it answers requests with so many threads.
    pub fn connections_of_api(&self, threads: usize) -> usize {
        self.connections_of_threads(threads) + usize::from(USAGE_CONNECTIONS + USAGE_LOGINS)
    }

    /// Connections that a worker with so many threads may open.
    pub fn connections_of_worker(&self, threads: usize) -> usize {
        self.connections_of_threads(threads) + 2 * usize::from(PROVISIONER_CONNECTIONS)
    }

    /// Each thread has its own, and so has the thread that does what a process does beside.
    fn connections_of_threads(&self, threads: usize) -> usize {
        (threads + 1) * usize::from(self.connections_per_thread + self.platform_connections_per_thread)
    }
}
