//! Usage against real PostgreSQL and Redis servers.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod apply;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod support;
