//! What a step of a request costs, told by leaving it out.
//!
//! Owns the seam through which benchmarks leave out authentication, admission, metering or the walls: the pipeline of `api`
//! and the transactions of `db` call these functions, which in the product hand back what they are given. Only a build
//! with `--cfg bulkhead_ablation` (in RUSTFLAGS, so no feature can turn it on) can leave anything out; `make bench` makes
//! one. Refuses to be built like that with a profile that keeps no debug information, as `release`: such a program
//! refuses nothing that the missing step would have refused. `.ci/check-program` looks for [`VARIABLE`] in the image.

#[cfg(all(bulkhead_ablation, not(keeps_debug_information)))]
compile_error!(
    "bulkhead_ablation turns security off and must not be released: build with --profile profiling"
);

/// Names the step that a build for benchmarks leaves out. No part of the product's settings.
pub const VARIABLE: &str = "BENCH_WITHOUT";

/// A step that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Verifying a credential: once it was good, its text is believed.
    Authentication,
    /// The tenant's bucket and its permits.
    Admission,
    /// Recording usage and storing it before the answer.
    Metering,
    /// The role, the path and the time-outs of a tenant's transaction; the server has to be prepared for that.
    Walls,
}

#[cfg(not(bulkhead_ablation))]
mod product {
    use super::Step;

    /// Whether the step is taken: always.
    pub const fn is_taken(_step: Step) -> bool {
        true
    }

    /// The verification of a credential, as it is.
    pub const fn authentication<F>(_credential: &str, verification: F) -> F {
        verification
    }

    /// The first message of a tenant's transaction, as it is.
    pub const fn opening(walls: String) -> String {
        walls
    }
}

#[cfg(not(bulkhead_ablation))]
pub use product::{authentication, is_taken, opening};

#[cfg(bulkhead_ablation)]
mod switches;

#[cfg(bulkhead_ablation)]
pub use switches::{authentication, is_taken, opening};
