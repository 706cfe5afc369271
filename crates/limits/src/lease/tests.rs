use proptest::prelude::*;
use uuid::Uuid;

use super::{
    model::{self, Stored},
    *,
};

const LIMIT: Limit = Limit { per_minute: 6_000, burst: 1_000 };

fn demand(cost: u32) -> Demand {
    Demand { bucket: TENANT, limit: LIMIT, cost, prefetch: Prefetch::default() }
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::nil())
}

fn said(extra: u32) -> Assessment {
    Assessment { enough: true, remaining: 500, extra, counted_until: 77, account: 5, ..Assessment::default() }
}

#[test]
fn tokens_ahead_are_a_hundredth_of_the_burst_over_all_nodes() {
    let of = |burst, nodes| wanted(Limit { per_minute: 1, burst }, nodes);
    assert_eq!([of(100, 1), of(399, 1), of(400, 1), of(10_000, 1)], [0, 0, 4, 100]);
    assert_eq!([of(10_000, 4), of(10_000, 26), of(u32::MAX, 1), of(1_000, 0)], [25, 0, 200, 10]);
}

#[test]
fn tokens_are_spent_here_and_given_back_when_their_time_is_over() {
    let (leases, asked) = (Leases::new(), Instant::now());
    let decide = |cost, at| leases.decide(tenant(), LIMIT, cost, 1, at);
    assert_eq!(
        decide(1, asked).unwrap_err().prefetch,
        Prefetch { wanted: 10, most: 10, ..Prefetch::default() }
    );
    leases.note(tenant(), demand(1), said(3), asked, asked);
    let left = |at| decide(1, at).map(|decision| decision.remaining);
    assert_eq!((left(asked).unwrap(), left(asked).unwrap()), (502, 501));
    let over = left(asked + LENGTH).unwrap_err().prefetch;
    assert_eq!((over.over, over.counted_until, over.unspent, over.account), (3, 77, 1, 5));
    let again = left(asked + LENGTH).unwrap_err().prefetch;
    assert_eq!((again.over, again.unspent), (0, 0), "once");
}

#[test]
fn a_slow_answer_does_not_make_tokens_last() {
    let (leases, asked) = (Leases::new(), Instant::now());
    let later = asked + LENGTH;
    leases.note(tenant(), demand(1), said(3), asked, later);
    let back = leases.decide(tenant(), LIMIT, 1, 1, asked).unwrap_err().prefetch;
    assert_eq!((back.over, back.unspent), (3, 0));
    leases.note(tenant(), demand(1), said(3), asked, asked);
    leases.note(tenant(), demand(1), said(2), asked + LENGTH / 2, later);
    assert!(leases.decide(tenant(), LIMIT, 1, 1, later).is_err(), "the earlier end counts for both");
}

#[test]
fn another_limit_voids_everything() {
    let (leases, asked) = (Leases::new(), Instant::now());
    leases.note(tenant(), demand(1), said(3), asked, asked);
    let other = Limit { burst: 2_000, ..LIMIT };
    let demand = leases.decide(tenant(), other, 1, 1, asked).unwrap_err();
    // Redis has closed that account: there is nothing to give back.
    assert_eq!((demand.prefetch.over, demand.prefetch.unspent), (0, 0));
    leases.note(tenant(), demand, said(0), asked, asked);
    assert!(leases.decide(tenant(), LIMIT, 1, 1, asked).is_err());
}

#[test]
fn what_a_closed_account_has_lent_is_neither_spent_nor_given_back_with_a_later_lease() {
    let (leases, asked) = (Leases::new(), Instant::now());
    leases.note(tenant(), demand(1), said(3), asked, asked);
    leases.note(tenant(), demand(1), Assessment { account: 6, ..said(2) }, asked, asked);
    let prefetch = leases.decide(tenant(), LIMIT, 4, 1, asked).unwrap_err().prefetch;
    assert_eq!((prefetch.over, prefetch.unspent, prefetch.account), (2, 2, 6));
}

#[test]
fn what_redis_was_not_asked_to_take_back_is_given_back_later_and_once() {
    let (leases, asked) = (Leases::new(), Instant::now());
    let over = asked + LENGTH;
    let back = |demand: Demand| {
        let Prefetch { over, counted_until, unspent, account, .. } = demand.prefetch;
        (over, counted_until, unspent, account)
    };
    let decide = |at| leases.decide(tenant(), LIMIT, 1, 1, at);
    leases.note(tenant(), demand(1), said(3), asked, asked);
    decide(asked).unwrap();
    let unasked = decide(over).unwrap_err();
    assert_eq!(back(unasked), (3, 77, 2, 5));
    leases.keep(tenant(), unasked);
    // Its time is over all the same.
    let unasked = decide(asked).unwrap_err();
    assert_eq!(back(unasked), (3, 77, 2, 5));
    leases.keep(tenant(), unasked);
    // Another request has brought another lease meanwhile: both go back together.
    leases.note(tenant(), demand(1), Assessment { counted_until: 99, ..said(4) }, over, over);
    decide(over).unwrap_err();
    assert_eq!(back(decide(over).unwrap_err()), (0, 77, 0, 5));
    leases.keep(tenant(), unasked);
    leases.note(tenant(), demand(1), Assessment { account: 6, ..said(4) }, over, over);
    // Of a closed account, or under another limit, nothing is kept.
    leases.keep(tenant(), unasked);
    assert_eq!(back(leases.decide(tenant(), LIMIT, 5, 1, over).unwrap_err()), (4, 77, 4, 6));
    leases.keep(tenant(), Demand { limit: Limit { burst: 2_000, ..LIMIT }, ..unasked });
    assert_eq!(back(decide(over).unwrap_err()), (0, 77, 0, 6));
}

#[test]
fn a_smaller_limit_owes_nothing_for_what_was_lent_under_a_larger_one() {
    let (large, small) = (Limit { per_minute: 10_000, burst: 10_000 }, Limit { per_minute: 100, burst: 100 });
    let length = i64::try_from(whole(LENGTH)).unwrap();
    // The node that has taken tokens ahead, and another one.
    for other in [0, 1] {
        let nodes = [Leases::new(), Leases::new()];
        let (asked, mut stored) = (Instant::now(), None);
        let mut check = |node: usize, limit| match nodes[node].decide(tenant(), limit, 1, 2, asked) {
            Ok(decision) => decision.allowed,
            Err(demand) => {
                let said = model::ask(&mut stored, limit, 1, demand.prefetch, length, 1_800_000_000_000);
                nodes[node].note(tenant(), demand, said, asked, asked);
                said.enough
            }
        };
        assert!(check(0, large));
        assert_eq!((0..200).filter(|_| check(other, small)).count(), 100);
        // What the first node holds is void once it has heard.
        assert!(!check(0, small));
    }
}

#[test]
fn a_refusal_holds_until_there_is_a_token_and_no_longer() {
    let (leases, asked) = (Leases::new(), Instant::now());
    let refused = Assessment { wait: 10, full_in: 60_000, ..Assessment::default() };
    let decide = |at| leases.decide(tenant(), LIMIT, 1, 1, at);
    leases.note(tenant(), demand(1), refused, asked, asked);
    let decision = decide(asked + Duration::from_millis(4)).unwrap();
    assert!(!decision.allowed && decision.retry_after == Duration::from_millis(6), "{decision:?}");
    assert!(decide(asked + Duration::from_millis(10)).is_err());
    leases.note(tenant(), demand(2_000), refused, asked, asked);
    assert!(decide(asked).is_err(), "what is beyond the burst says nothing");
}

/// A cost that stands for all that is in the bucket.
const ALL: u32 = u32::MAX;

/// What happens next: how long nothing does, which node is asked, for how many tokens, and what becomes of the answer.
#[derive(Clone, Copy, Debug)]
struct Step {
    wait: u64,
    node: usize,
    cost: u32,
    /// The limit from now on, and whether the node has heard of the last one.
    change: Option<Limit>,
    hears: bool,
    /// Milliseconds until Redis has the demand, and from then until the node has the answer; `None`: it is lost.
    there: u64,
    back: Option<u64>,
}

/// Steps with changes of the limit, or without.
fn steps(changes: impl Strategy<Value = Option<Limit>>) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![6 => 0..20_u64, 2 => 0..2_000_u64, 1 => 8_000..30_000_u64];
    let delay = prop_oneof![8 => 0..5_u64, 1 => 0..15_000_u64];
    // Now and then a request wants all tokens there are, so that tokens lent besides would show.
    let cost = prop_oneof![16 => Just(1), 1 => 1..50_u32, 1 => Just(ALL)];
    let step = (wait, 0..3_usize, cost, delay.clone(), delay, 0..20_u8, changes, any::<bool>());
    let step = step.prop_map(|(wait, node, cost, there, back, fate, change, hears)| Step {
        wait,
        node,
        cost,
        change,
        hears,
        there,
        back: (fate > 0).then_some(back),
    });
    prop::collection::vec(step, 1..400)
}

fn limits() -> impl Strategy<Value = Limit> {
    let rate = prop_oneof![1..100_u32, 1_000..100_000_u32];
    (rate, 1_200..20_000_u32).prop_map(|(per_minute, burst)| Limit { per_minute, burst })
}

/// The one bucket that everything must fit into: what has flowed in, less what was admitted.
struct Fluid {
    limit: Limit,
    level: i128,
    at: Instant,
    /// What was lent when limits were changed: so much may be admitted on top.
    debt: i128,
}

impl Fluid {
    fn full(limit: Limit, at: Instant) -> Self {
        Self { limit, level: i128::from(limit.burst) * 60_000, at, debt: 0 }
    }

    fn flow(&mut self, at: Instant) {
        let gained =
            i128::from(whole(at.saturating_duration_since(self.at))) * i128::from(self.limit.per_minute);
        self.level = (self.level + gained).min(i128::from(self.limit.burst) * 60_000);
        self.at = self.at.max(at);
    }

    fn change(&mut self, limit: Limit, lent: u32, at: Instant) {
        self.flow(at);
        self.debt += i128::from(lent) * 60_000;
        self.limit = limit;
        self.flow(at);
    }

    fn admit(&mut self, at: Instant, cost: u32) -> bool {
        self.flow(at);
        self.level -= i128::from(cost) * 60_000;
        self.level + self.debt >= 0
    }
}

enum Event {
    /// A demand has reached Redis.
    Asked { node: usize, demand: Demand, at: Instant, back: Option<u64> },
    /// An answer has reached its node.
    Answered { node: usize, demand: Demand, at: Instant, said: Assessment },
}

/// Three nodes, demands that are slow on the way, answers that are slow or lost: what has been admitted at any time would
/// have been in one bucket.
fn simulate(limit: Limit, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let nodes = [Leases::new(), Leases::new(), Leases::new()];
    let start = Instant::now();
    let length = i64::try_from(whole(LENGTH)).unwrap();
    let server = |at: Instant| 1_800_000_000_000_i64 + i64::try_from(whole(at - start)).unwrap();
    let mut stored: Option<Stored> = None;
    let mut events: Vec<(Instant, Event)> = Vec::new();
    let (mut latest, mut heard) = (limit, [limit; 3]);
    let mut fluid = Fluid::full(limit, start);
    let mut now = start;
    for step in steps.into_iter().map(Some).chain([None]) {
        let until = step.map_or(now + Duration::from_secs(60), |step| now + Duration::from_millis(step.wait));
        while let Some(next) =
            (0..events.len()).filter(|i| events[*i].0 <= until).min_by_key(|i| events[*i].0)
        {
            match events.remove(next) {
                (at, Event::Asked { node, demand, at: asked, back }) => {
                    match stored {
                        // A bucket that is not stored is full, under whatever limit.
                        None => fluid = Fluid::full(demand.limit, at),
                        Some(mut stored) if demand.limit != fluid.limit => {
                            stored.advance(server(at));
                            fluid.change(demand.limit, stored.lent, at);
                        }
                        Some(_) => {}
                    }
                    let Demand { limit, cost, prefetch, .. } = demand;
                    let said = model::ask(&mut stored, limit, cost, prefetch, length, server(at));
                    // The tokens are gone whether or not the answer arrives.
                    prop_assert!(!said.enough || fluid.admit(at, demand.cost));
                    if let Some(back) = back {
                        let answered = at + Duration::from_millis(back);
                        events.push((answered, Event::Answered { node, demand, at: asked, said }));
                    }
                }
                (at, Event::Answered { node, demand, at: asked, said }) => {
                    nodes[node].note(tenant(), demand, said, asked, at);
                }
            }
        }
        now = until;
        let Some(step) = step else { break };
        latest = step.change.unwrap_or(latest);
        if step.hears {
            heard[step.node] = latest;
        }
        let limit = heard[step.node];
        let all = || {
            let none = &mut stored.clone();
            model::ask(none, limit, 0, Prefetch::default(), 0, server(now)).remaining
        };
        let cost = if step.cost == ALL { all().max(1) } else { step.cost };
        match nodes[step.node].decide(tenant(), limit, cost, 3, now) {
            Ok(decision) => prop_assert!(!decision.allowed || fluid.admit(now, cost), "at {:?}", now - start),
            // Now and then there is no connection.
            Err(demand) if step.back == Some(0) && step.there == 0 => nodes[step.node].keep(tenant(), demand),
            Err(demand) => {
                let there = if step.cost == ALL { 0 } else { step.there };
                let arrives = now + Duration::from_millis(there);
                events.push((arrives, Event::Asked { node: step.node, demand, at: now, back: step.back }));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nodes_together_admit_no_more_than_one_bucket(limit in limits(), steps in steps(Just(None))) {
        simulate(limit, steps)?;
    }

    #[test]
    fn a_change_of_the_limit_lets_no_more_in_than_what_was_lent_then(limit in limits(), steps in steps(prop::option::weighted(0.05, limits()))) {
        simulate(limit, steps)?;
    }

    /// What a refusal says of the time holds: then there is enough, and not a millisecond earlier.
    #[test]
    fn a_wait_is_as_long_as_it_says_whatever_is_lent(
        limit in limits(), cost in 1..20_000_u32, wanted in 0..200_u32, again in 0..40_000_i64,
    ) {
        let cost = cost.min(limit.burst);
        let (mut stored, start) = (None, 1_800_000_000_000);
        let prefetch = Prefetch { wanted, most: limit.burst / PART, ..Prefetch::default() };
        let mut ask = |cost, prefetch, at| model::ask(&mut stored, limit, cost, prefetch, 30_000, start + at);
        ask(limit.burst / 2, prefetch, 0);
        let refused = ask(cost, Prefetch::default(), again);
        prop_assume!(!refused.enough);
        let wait = i64::try_from(refused.wait).unwrap();
        prop_assert!(!ask(cost, Prefetch::default(), again + wait - 1).enough);
        prop_assert!(ask(cost, Prefetch::default(), again + wait).enough);
    }
}
