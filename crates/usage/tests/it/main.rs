//! Usage against real PostgreSQL and Redis servers.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod apply;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod node;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod support;
