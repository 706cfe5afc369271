//! What a step of a request costs, told by leaving it out.
//!
//! Owns the question whether a step is left out. The answer is `false` and nothing of this is in the program, unless it
//! was built with the feature `price-walls`, which only `make bench` does. Such a program is no product: it says so at
//! every start, and refuses nothing that the step would have refused.

/// A step that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Verifying a credential: once it was good, its text is believed.
    Authentication,
    /// The buckets of addresses and tenants, and the permits.
    Admission,
    /// Recording usage and storing it before the answer.
    Metering,
    /// The role, the path and the time-outs of a transaction; the server has to be prepared for that.
    Walls,
}

#[cfg(not(feature = "price-walls"))]
mod none {
    use super::Step;

    /// Whether this step is left out.
    pub const fn is_left_out(_step: Step) -> bool {
        false
    }

    /// What a credential was good for before, where that is all it takes.
    pub const fn believed<T>(_credential: &str) -> Option<T> {
        None
    }

    /// Remembers what a credential was good for.
    pub const fn believe<T, E>(_credential: &str, _result: &Result<T, E>) {}
}

#[cfg(not(feature = "price-walls"))]
pub use none::{believe, believed, is_left_out};

#[cfg(feature = "price-walls")]
mod some {
    use std::{any::Any, cell::RefCell, collections::HashMap, env, sync::OnceLock};

    use super::Step;

    thread_local! {
        static GOOD: RefCell<HashMap<String, Box<dyn Any>>> = RefCell::default();
    }

    /// Whether this step is left out: `BENCH_WITHOUT` names it.
    #[expect(clippy::disallowed_methods, reason = "no setting of the product: it does not have this code")]
    pub fn is_left_out(step: Step) -> bool {
        static LEFT_OUT: OnceLock<Option<Step>> = OnceLock::new();
        let left_out = LEFT_OUT.get_or_init(|| {
            let left_out = match env::var("BENCH_WITHOUT").as_deref() {
                Ok("authentication") => Some(Step::Authentication),
                Ok("admission") => Some(Step::Admission),
                Ok("metering") => Some(Step::Metering),
                Ok("walls") => Some(Step::Walls),
                _ => None,
            };
            tracing::error!(
                ?left_out,
                "built for benchmarks: steps can be left out, so never serve anybody with it"
            );
            left_out
        });
        *left_out == Some(step)
    }

    /// What a credential was good for before, where that is all it takes.
    pub fn believed<T: Clone + 'static>(credential: &str) -> Option<T> {
        if !is_left_out(Step::Authentication) {
            return None;
        }
        GOOD.with_borrow(|good| good.get(credential)?.downcast_ref().cloned())
    }

    /// Remembers what a credential was good for.
    pub fn believe<T: Clone + 'static, E>(credential: &str, result: &Result<T, E>) {
        if let (Ok(good), true) = (result, is_left_out(Step::Authentication)) {
            GOOD.with_borrow_mut(|all| all.insert(credential.to_owned(), Box::new(good.clone())));
        }
    }
}

#[cfg(feature = "price-walls")]
pub use some::{believe, believed, is_left_out};
