//! Meters, and the shape in which a node reports what it served.
//!
//! Owns the names of meters, what requests use by themselves, and the batches in which nodes report both. Refuses to know who
//! stores them, and to take a meter for an error because this program has not declared it.

mod batch;
mod latency;
mod meter;
mod quantity;
mod stats;

pub use batch::{BatchId, MeterKey, StatusClass, UsageBatch, UsageKey};
pub use latency::LatencyHistogram;
pub use meter::{MeterConflict, MeterDef, MeterKind, MeterName, MeterRegistry, MeterText, requests};
pub use quantity::{Quantity, QuantityError};
pub use stats::RequestStats;
