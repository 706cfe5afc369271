//! Jobs against real PostgreSQL and Redis servers.

mod crash;
mod failures;
mod fairness;
mod product;
mod queries;
mod redis_away;
mod shutdown;
mod support;
