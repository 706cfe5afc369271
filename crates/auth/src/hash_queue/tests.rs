//! The queue, without any hashing.

use std::{pin::Pin, task::Poll};

use futures::{FutureExt as _, poll};

use super::*;

const ALL: [Lane; LANES] = [Lane::Operators, Lane::Returning, Lane::Logins, Lane::Creations];

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Slot, Full>> + 'a>>;

fn turn(lane: Lane, group: u128) -> Turn {
    Turn { lane, group, network: None }
}

fn from(lane: Lane, group: u128, address: u32) -> Turn {
    Turn { network: Some(Network::V4(address.into())), ..turn(lane, group) }
}

/// Queues up; nothing is decided before it is asked for.
async fn queue(queue: &HashQueue, turn: Turn) -> Waiting<'_> {
    let mut waiting: Waiting<'_> = Box::pin(queue.wait(turn));
    assert!(poll!(waiting.as_mut()).is_pending(), "{turn:?} did not wait");
    waiting
}

/// Whether a caller that asks for this turn is refused at once.
async fn is_refused(queue: &HashQueue, turn: Turn) -> bool {
    matches!(poll!(Box::pin(queue.wait(turn)).as_mut()), Poll::Ready(Err(Full)))
}

/// The indices of those who have been served by now, in the order of their waiting.
async fn served(waiting: &mut [Option<Waiting<'_>>]) -> Vec<(usize, Result<Slot, Full>)> {
    let mut ready = Vec::new();
    for (at, one) in waiting.iter_mut().enumerate() {
        if let Some(future) = one
            && let Poll::Ready(result) = poll!(future.as_mut())
        {
            ready.push((at, result));
            *one = None;
        }
    }
    ready
}

/// Lets one after the other run; in which order they did.
async fn run(first: Slot, waiting: Vec<Waiting<'_>>) -> Vec<usize> {
    let mut waiting: Vec<_> = waiting.into_iter().map(Some).collect();
    let (mut running, mut order) = (vec![first], Vec::new());
    while running.pop().is_some() {
        for (at, result) in served(&mut waiting).await {
            order.push(at);
            running.push(result.unwrap());
        }
    }
    order
}

#[tokio::test]
async fn tenants_take_turns_however_many_each_has_waiting() {
    let all = HashQueue::new(1);
    let first = all.wait(turn(Lane::Logins, 9)).await.unwrap();
    let mut waiting = Vec::new();
    for group in [1, 1, 1, 1, 2, 3, 3] {
        waiting.push(queue(&all, turn(Lane::Logins, group)).await);
    }
    assert_eq!(run(first, waiting).await, [0, 4, 5, 1, 6, 2, 3]);
    assert_eq!(all.counts(), (0, 0));
}

#[tokio::test]
async fn lanes_take_turns_however_many_wait_in_each() {
    let all = HashQueue::new(1);
    let first = all.wait(turn(Lane::Creations, 9)).await.unwrap();
    let mut waiting = Vec::new();
    for lane in
        [Lane::Creations, Lane::Creations, Lane::Logins, Lane::Logins, Lane::Operators, Lane::Returning]
    {
        waiting.push(queue(&all, turn(lane, 1)).await);
    }
    assert_eq!(run(first, waiting).await, [4, 5, 2, 0, 3, 1]);
}

#[tokio::test]
async fn those_who_create_people_leave_a_slot_to_those_who_log_in() {
    let all = HashQueue::new(3);
    let creating: Vec<_> =
        [all.wait(turn(Lane::Creations, 1)).await, all.wait(turn(Lane::Creations, 2)).await].into();
    let third = queue(&all, turn(Lane::Creations, 3)).await;
    let login = all.wait(turn(Lane::Logins, 1)).now_or_never().expect("a slot was kept").unwrap();
    drop(creating);
    assert_eq!(third.await.unwrap().lane, Lane::Creations);
    drop(login);
    assert_eq!(all.counts(), (0, 0));
}

#[tokio::test]
async fn a_full_lane_keeps_nobody_out_of_another_one() {
    for full in ALL {
        let all = HashQueue::new(1);
        let _running = all.wait(turn(full, 0)).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..full.places() {
            waiting.push(queue(&all, turn(full, 1)).await);
        }
        assert!(all.is_full(turn(full, 1)));
        assert!(is_refused(&all, turn(full, 1)).await);
        for other in ALL.into_iter().filter(|lane| *lane != full) {
            assert!(!all.is_full(turn(other, 1)));
            waiting.push(queue(&all, turn(other, 1)).await);
        }
    }
}

#[tokio::test]
async fn a_tenant_that_fills_a_lane_gives_places_up_to_others_until_all_have_as_many() {
    let all = HashQueue::new(1);
    let running = all.wait(turn(Lane::Logins, 9)).await.unwrap();
    let places = Lane::Logins.places();
    let mut greedy = Vec::new();
    for _ in 0..places {
        greedy.push(Some(queue(&all, turn(Lane::Logins, 1)).await));
    }
    let mut modest = Vec::new();
    for _ in 0..places / 2 {
        modest.push(Some(queue(&all, turn(Lane::Logins, 2)).await));
    }
    let turned_away = served(&mut greedy).await;
    assert!(turned_away.iter().all(|(at, result)| *at >= places / 2 && result.is_err()));
    assert_eq!(turned_away.len(), places / 2);
    // Now they have as many, and neither takes more from the other.
    for group in [1, 2] {
        assert!(is_refused(&all, turn(Lane::Logins, group)).await);
    }
    drop(queue(&all, turn(Lane::Logins, 3)).await);
    drop((greedy, modest, running));
    assert_eq!(all.counts(), (0, 0));
}

#[tokio::test]
async fn one_address_takes_a_quarter_of_the_places_however_many_tenants_it_names() {
    let all = HashQueue::new(1);
    let _running = all.wait(turn(Lane::Logins, 0)).await.unwrap();
    let mut waiting = Vec::new();
    for (lane, places) in [(Lane::Logins, 16), (Lane::Operators, 4)] {
        for group in 0..places {
            waiting.push(queue(&all, from(lane, group, 1)).await);
        }
        assert!(is_refused(&all, from(lane, 99, 1)).await);
        waiting.push(queue(&all, from(lane, 99, 2)).await);
    }
    // Of a company with one address all may come back at once.
    for _ in 0..60 {
        waiting.push(queue(&all, from(Lane::Returning, 1, 1)).await);
    }
}

/// The holder of a /48 sends from another /64 each time.
#[tokio::test]
async fn one_ipv6_site_takes_half_of_the_places() {
    let from = |lane, group: u16, site| Turn {
        network: Some(Network::V6([0x2001, 0xdb8, site, group])),
        ..turn(lane, u128::from(group))
    };
    for lane in [Lane::Logins, Lane::Operators] {
        let all = HashQueue::new(1);
        let _running = all.wait(turn(lane, 999)).await.unwrap();
        let mut waiting = Vec::new();
        for group in 0..u16::try_from(lane.places() / 2).unwrap() {
            waiting.push(queue(&all, from(lane, group, 1)).await);
        }
        assert!(is_refused(&all, from(lane, 99, 1)).await);
        waiting.push(queue(&all, from(lane, 99, 2)).await);
    }
}

/// Operators who come back are a group of their own beside the strangers who call themselves operators.
#[tokio::test]
async fn an_operator_who_comes_back_finds_a_place_in_a_full_lane_and_is_next() {
    let all = HashQueue::new(1);
    let first = all.wait(turn(Lane::Operators, 9)).await.unwrap();
    let mut waiting = Vec::new();
    for address in 0..16 {
        waiting.push(Some(queue(&all, from(Lane::Operators, 1, address)).await));
    }
    assert!(is_refused(&all, from(Lane::Operators, 1, 99)).await);
    let back = queue(&all, turn(Lane::Operators, 2)).await;
    let turned_away = served(&mut waiting).await;
    assert!(matches!(turned_away.as_slice(), [(15, Err(Full))]), "{turned_away:?}");
    drop(first);
    let stranger = served(&mut waiting).await;
    assert!(matches!(stranger.as_slice(), [(0, Ok(_))]), "{stranger:?}");
    drop(stranger);
    assert!(back.now_or_never().expect("it is not the next").is_ok());
}

#[tokio::test]
async fn who_goes_away_gives_place_and_turn_back() {
    let all = HashQueue::new(1);
    let running = all.wait(turn(Lane::Logins, 1)).await.unwrap();
    let gone = queue(&all, turn(Lane::Logins, 1)).await;
    let stays = queue(&all, turn(Lane::Logins, 2)).await;
    assert_eq!(all.counts(), (1, 2));
    drop(gone);
    assert_eq!(all.counts(), (1, 1));
    drop(running);
    // Its turn has come and it has not looked: it goes away all the same.
    assert_eq!(all.counts(), (1, 0));
    drop(stays);
    assert_eq!(all.counts(), (0, 0));
}
