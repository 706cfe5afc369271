//! Usage against real PostgreSQL and Redis servers.

mod apply;
mod drain;
mod recorder;
mod support;
