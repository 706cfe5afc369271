//! Test support: private servers, a template database, factories.
//!
//! Owns how a test gets its own PostgreSQL database and Redis server, and tenants in them, through the same code that
//! builds them in production. One PostgreSQL server is shared by all tests of a process and started by the first that
//! asks; a test that hurts its server starts a [`Cluster`] of its own. Refuses to be linked by anything but tests and
//! benchmarks.

mod certificates;
mod cluster;
mod database;
mod mac;
mod redis;

pub use certificates::CertificateAuthority;
pub use cluster::{Cluster, Login};
pub use database::{OWNER_PASSWORD, TestDb, TestTenant, Urls, timeouts};
pub use mac::{mac, mac_of};
pub use redis::TestRedis;
