//! From a load and a policy to a decision, with its reason in words.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::text::TextError;

/// What was seen of a tenant in the window the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Requests per minute, over the whole tenant.
    pub requests_per_minute: f64,
    /// The 95th percentile of latency in milliseconds; `None` when there was no request.
    pub p95_ms: Option<f64>,
}

/// What to do about capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Add capacity.
    ScaleUp,
    /// Take capacity away.
    ScaleDown,
    /// Leave it.
    Hold,
}

impl Action {
    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleUp => "scale_up",
            Self::ScaleDown => "scale_down",
            Self::Hold => "hold",
        }
    }
}

impl TryFrom<String> for Action {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl std::str::FromStr for Action {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        [Self::ScaleUp, Self::ScaleDown, Self::Hold]
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or(TextError::new("must be scale_up, scale_down or hold"))
    }
}

/// A decision, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Capacity before, in units.
    pub current: u32,
    /// Capacity wanted, in units; equal to `current` when holding.
    pub target: u32,
    /// Why, in a sentence.
    pub reason: String,
}

/// Decides for one tenant. `last_change` is when capacity last changed.
///
/// Growth by requests goes straight to the capacity that brings the load per unit under the high threshold; growth
/// by latency alone, and every shrinking, goes one unit at a time, because latency does not say how much is missing
/// and capacity taken away too fast is felt at once. Bounds come before everything; the cooldown holds even a breach.
pub fn decide(
    policy: &Policy,
    load: &Load,
    current: u32,
    last_change: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Decision {
    let (wanted, why) = wanted(policy, load, current.max(1));
    let target = wanted.clamp(policy.min, policy.max.max(policy.min));
    let hold = |reason| Decision { action: Action::Hold, current, target: current, reason };
    if target == current {
        return hold(if wanted == current {
            why
        } else {
            format!("{why}; already at the bound of {current}")
        });
    }
    let ready_at = last_change.map(|at| at + policy.cooldown);
    if let Some(ready_at) = ready_at.filter(|ready_at| now < *ready_at) {
        let wait = (ready_at - now).num_seconds();
        return hold(format!("{why}; cooling down for another {wait} s"));
    }
    let action = if target > current { Action::ScaleUp } else { Action::ScaleDown };
    Decision { action, current, target, reason: why }
}

/// The capacity the load calls for, before bounds and cooldown, and why.
fn wanted(policy: &Policy, load: &Load, current: u32) -> (u32, String) {
    let per_unit = load.requests_per_minute / f64::from(current);
    let p95 = load.p95_ms.unwrap_or(0.0);
    if per_unit > f64::from(policy.high_requests_per_minute) {
        let units = (load.requests_per_minute / f64::from(policy.high_requests_per_minute.max(1))).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive count; `as` saturates"
        )]
        let units = units as u32;
        let why = format!(
            "{per_unit:.0} requests per minute per unit is above the high threshold of {}",
            policy.high_requests_per_minute
        );
        return (units.max(current.saturating_add(1)), why);
    }
    if p95 > f64::from(policy.high_p95_ms) {
        let why =
            format!("p95 latency of {p95:.0} ms is above the high threshold of {} ms", policy.high_p95_ms);
        return (current.saturating_add(1), why);
    }
    if per_unit < f64::from(policy.low_requests_per_minute) && p95 < f64::from(policy.low_p95_ms) {
        let why = format!(
            "{per_unit:.0} requests per minute per unit and p95 latency of {p95:.0} ms are below the low thresholds \
             of {} and {} ms",
            policy.low_requests_per_minute, policy.low_p95_ms
        );
        return (current.saturating_sub(1), why);
    }
    let why = format!(
        "{per_unit:.0} requests per minute per unit and p95 latency of {p95:.0} ms are within the thresholds"
    );
    (current, why)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn run(requests_per_minute: f64, p95_ms: f64, current: u32) -> Decision {
        decide(&Policy::default(), &Load { requests_per_minute, p95_ms: Some(p95_ms) }, current, None, at(0))
    }

    #[test]
    fn a_flood_of_requests_scales_straight_to_what_it_needs() {
        let decision = run(4_500.0, 20.0, 2);
        assert_eq!((decision.action, decision.target), (Action::ScaleUp, 5));
        assert_eq!(decision.reason, "2250 requests per minute per unit is above the high threshold of 1000");
    }

    #[test]
    fn slow_answers_add_one_unit_and_idleness_takes_one() {
        assert_eq!(run(500.0, 800.0, 2).target, 3);
        assert_eq!(run(20.0, 10.0, 3).target, 2);
        assert_eq!(run(20.0, 200.0, 3).action, Action::Hold);
    }

    #[test]
    fn the_cooldown_holds_until_its_last_second() {
        let load = Load { requests_per_minute: 9_000.0, p95_ms: None };
        let after = |seconds| decide(&Policy::default(), &load, 1, Some(at(0)), at(seconds)).action;
        assert_eq!((after(299), after(300)), (Action::Hold, Action::ScaleUp));
    }

    proptest! {
        #[test]
        fn the_target_stays_within_bounds_and_moves_only_when_it_says_so(
            rpm in 0.0_f64..1e9, p95 in prop::option::of(0.0_f64..1e6), current in 1_u32..10, since in 0_i64..600,
        ) {
            let policy = Policy::default();
            let load = Load { requests_per_minute: rpm, p95_ms: p95 };
            let decision = decide(&policy, &load, current, Some(at(0)), at(0) + TimeDelta::seconds(since));
            prop_assert!((policy.min..=policy.max).contains(&decision.target));
            prop_assert_eq!(decision.action == Action::Hold, decision.target == decision.current);
            prop_assert!(since >= 300 || decision.action == Action::Hold);
        }
    }
}
