//! Jobs against real PostgreSQL and Redis servers.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod crash;
#[cfg(test)]
mod extension;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod product;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod redis_away;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod support;
