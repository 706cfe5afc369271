//! Admission against real Redis servers, some of them in trouble.

// What the model, which the unit tests share, finds at its own crate's root.
#[cfg(test)]
use bulkhead_limits::{Prefetch, bucket};

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
#[path = "../../src/lease/model.rs"]
mod model;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod script;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
