use proptest::prelude::*;
use uuid::Uuid;

use super::{
    model::{self, Stored},
    *,
};

const LIMIT: Limit = Limit { per_minute: 6_000, burst: 1_000 };

fn demand(cost: u32) -> Demand {
    Demand { bucket: TENANT, limit: LIMIT, cost, ahead: Ahead::default() }
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::nil())
}

fn said(extra: u32) -> Assessment {
    Assessment { enough: true, remaining: 500, extra, counted_until: 77, ..Assessment::default() }
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
    assert_eq!(decide(1, asked).unwrap_err().ahead, Ahead { wanted: 10, most: 10, ..Ahead::default() });
    leases.note(tenant(), demand(1), said(3), asked, asked);
    let left = |at| decide(1, at).map(|decision| decision.remaining);
    assert_eq!((left(asked).unwrap(), left(asked).unwrap()), (502, 501));
    let over = left(asked + LENGTH).unwrap_err().ahead;
    assert_eq!((over.over, over.counted_until, over.unspent), (3, 77, 1));
    let again = left(asked + LENGTH).unwrap_err().ahead;
    assert_eq!((again.over, again.unspent), (0, 0), "once");
}

#[test]
fn a_slow_answer_does_not_make_tokens_last() {
    let (leases, asked) = (Leases::new(), Instant::now());
    let later = asked + LENGTH;
    leases.note(tenant(), demand(1), said(3), asked, later);
    let back = leases.decide(tenant(), LIMIT, 1, 1, asked).unwrap_err().ahead;
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
    assert_eq!((demand.ahead.over, demand.ahead.unspent), (3, 3));
    leases.note(tenant(), demand, said(0), asked, asked);
    assert!(leases.decide(tenant(), LIMIT, 1, 1, asked).is_err());
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
    /// Milliseconds until Redis has the demand, and from then until the node has the answer; `None`: it is lost.
    there: u64,
    back: Option<u64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![6 => 0..20_u64, 2 => 0..2_000_u64, 1 => 8_000..30_000_u64];
    let delay = prop_oneof![8 => 0..5_u64, 1 => 0..15_000_u64];
    // Now and then somebody wants all there is, so that what was lent besides would show.
    let cost = prop_oneof![16 => Just(1), 1 => 1..50_u32, 1 => Just(ALL)];
    let step = (wait, 0..3_usize, cost, delay.clone(), delay, 0..20_u8);
    let step = step.prop_map(|(wait, node, cost, there, back, fate)| Step {
        wait,
        node,
        cost,
        there,
        back: (fate > 0).then_some(back),
    });
    prop::collection::vec(step, 1..400)
}

enum Event {
    /// A demand has reached Redis.
    Asked { node: usize, demand: Demand, at: Instant, back: Option<u64> },
    /// An answer has reached its node.
    Answered { node: usize, demand: Demand, at: Instant, said: Assessment },
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Three nodes, demands that are slow on the way, answers that are slow or lost: what has been admitted at any time
    /// would have been in one bucket.
    #[test]
    fn nodes_together_admit_no_more_than_one_bucket(
        rate in prop_oneof![1..100_u32, 1_000..100_000_u32],
        burst in 1_200..20_000_u32,
        steps in steps(),
    ) {
        let limit = Limit { per_minute: rate, burst };
        let nodes = [Leases::new(), Leases::new(), Leases::new()];
        let start = Instant::now();
        let server = |at: Instant| 1_800_000_000_000_i64 + i64::try_from(whole(at - start)).unwrap();
        let mut stored: Option<Stored> = None;
        let mut events: Vec<(Instant, Event)> = Vec::new();
        // The one bucket that all of it must fit into: what has flowed in, less what was admitted.
        let full = i128::from(burst) * 60_000;
        let (mut fluid, mut fluid_at) = (full, start);
        let mut admit = |at: Instant, cost: u32| {
            let gained = i128::from(whole(at.saturating_duration_since(fluid_at))) * i128::from(rate);
            fluid = (fluid + gained).min(full) - i128::from(cost) * 60_000;
            fluid_at = fluid_at.max(at);
            fluid >= 0
        };
        let mut now = start;
        for step in steps.into_iter().map(Some).chain([None]) {
            let until = step.map_or(now + Duration::from_secs(60), |step| now + Duration::from_millis(step.wait));
            while let Some(next) = (0..events.len()).filter(|i| events[*i].0 <= until).min_by_key(|i| events[*i].0) {
                match events.remove(next) {
                    (at, Event::Asked { node, demand, at: asked, back }) => {
                        let length = i64::try_from(whole(LENGTH)).unwrap();
                        let said = model::ask(&mut stored, limit, demand.cost, demand.ahead, length, server(at));
                        // The tokens are gone whether or not the answer arrives.
                        prop_assert!(!said.enough || admit(at, demand.cost));
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
            let all = || {
                let none = &mut stored.clone();
                model::ask(none, limit, 0, Ahead::default(), 0, server(now)).remaining
            };
            let cost = if step.cost == ALL { all().max(1) } else { step.cost };
            match nodes[step.node].decide(tenant(), limit, cost, 3, now) {
                Ok(decision) => prop_assert!(!decision.allowed || admit(now, cost), "at {:?}", now - start),
                Err(demand) => {
                    let there = if step.cost == ALL { 0 } else { step.there };
                    let arrives = now + Duration::from_millis(there);
                    events.push((arrives, Event::Asked { node: step.node, demand, at: now, back: step.back }));
                }
            }
        }
    }
}
