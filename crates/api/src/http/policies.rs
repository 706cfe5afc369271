//! The values of `RateLimit-Policy` that a thread has written: there are a few limits, and each answer to a tenant tells one.

use std::cell::RefCell;

use actix_web::http::header::HeaderValue;
use bulkhead_domain::Limit;
use bulkhead_limits::{Decision, rate_limit_policy};

/// The values kept: most tenants have the limit of their plan. When there are more, all are written anew.
const KEPT: usize = 16;

/// The values written last, by bucket and limit.
#[derive(Debug, Default)]
pub(crate) struct Policies(RefCell<Vec<(&'static str, Limit, HeaderValue)>>);

impl Policies {
    /// The value for a decision.
    pub(crate) fn of(&self, decision: &Decision) -> Option<HeaderValue> {
        let Decision { bucket, limit, .. } = *decision;
        let mut kept = self.0.borrow_mut();
        if let Some((.., value)) = kept.iter().find(|(name, of, _)| (*name, *of) == (bucket, limit)) {
            return Some(value.clone());
        }
        let value = HeaderValue::try_from(rate_limit_policy(&[*decision])).ok()?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.push((bucket, limit, value.clone()));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bulkhead_limits::Source;

    use super::*;

    #[test]
    fn each_limit_is_told_as_its_own_however_many_there_are() {
        let policies = Policies::default();
        for round in 0..2 {
            for per_minute in 1..=2 * u32::try_from(KEPT).unwrap() {
                let limit = Limit { per_minute, burst: 1 };
                let decision = Decision {
                    bucket: "tenant",
                    allowed: true,
                    limit,
                    remaining: 1,
                    retry_after: Duration::ZERO,
                    reset_after: Duration::ZERO,
                    source: Source::Local,
                };
                let told = policies.of(&decision).unwrap();
                assert_eq!(told, format!("\"tenant\";q={per_minute};w=60").as_str(), "{round}");
                assert_eq!(policies.of(&decision).unwrap(), told);
            }
        }
        assert!(policies.0.borrow().len() <= KEPT);
    }
}
