//! The script alone: it says what its model says, and what it leaves in Redis.

use std::cell::RefCell;

use bulkhead_domain::Limit;
use bulkhead_limits::Prefetch;
use proptest::{prelude::*, test_runner::TestRunner};
use redis::Commands;

use crate::{
    model::{self, Stored},
    support::Server,
};

const SCRIPT: &str = include_str!("../../src/bucket.lua");

/// How long a lease is here, in milliseconds.
const LEASE: i64 = 10_000;

/// Stands for the account that was answered last.
const OWN: u64 = u64::MAX;

/// The script with its time taken from the last two arguments, and without expiry, which would follow the real time.
fn timeless() -> redis::Script {
    let timed = SCRIPT.replacen("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }", 1);
    let timeless = timed.replacen(", 'PX', string.format('%.0f', math.max(1, full_in))", "", 1);
    assert!(timed != SCRIPT && timeless != timed);
    redis::Script::new(&timeless)
}

fn limits() -> impl Strategy<Value = Limit> {
    prop_oneof![(1..50_u32, 1..50_u32), (1..=u32::MAX, 1..=u32::MAX)]
        .prop_map(|(per_minute, burst)| Limit { per_minute, burst })
}

/// Milliseconds to move the clock (sometimes back), the limit from now on, tokens wanted, and what is wanted ahead and
/// given back, in any combination.
fn steps() -> impl Strategy<Value = Vec<(i64, Option<Limit>, u32, Prefetch)>> {
    let wait =
        prop_oneof![8 => 0..50_i64, 4 => 0..100_000_i64, 1 => -1000..0_i64, 1 => 0..10_000_000_000_i64];
    let cost = prop_oneof![0..5_u32, 0..1000_u32, any::<u32>()];
    let some = || prop_oneof![2 => Just(0), 2 => 0..300_u32, 1 => any::<u32>()];
    let counted = prop_oneof![Just(0), Just(u64::from(u32::MAX) * 1_000)];
    // The account is the last one that was answered, or another.
    let account = prop_oneof![3 => Just(OWN), 1 => Just(0)];
    let prefetch = (some(), some(), some(), counted, some(), account);
    let prefetch = prefetch.prop_map(|(wanted, most, over, counted_until, unspent, account)| Prefetch {
        wanted,
        most,
        over,
        counted_until,
        unspent,
        account,
    });
    prop::collection::vec((wait, prop::option::weighted(0.1, limits()), cost, prefetch), 1..60)
}

#[test]
fn it_does_what_the_model_does() {
    let server = Server::start();
    let connection = RefCell::new(server.connection());
    let script = timeless();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() });
    runner
        .run(&(limits(), steps()), |(mut limit, steps)| {
            redis::cmd("FLUSHALL").exec(&mut *connection.borrow_mut()).unwrap();
            let mut now = 1_800_000_000_000_i64;
            let mut stored: Option<Stored> = None;
            let mut own = 0;
            for (wait, change, cost, mut prefetch) in steps {
                now += wait;
                limit = change.unwrap_or(limit);
                if prefetch.account == OWN {
                    prefetch.account = own;
                }
                let said = model::ask(&mut stored, limit, cost, prefetch, LEASE, now);
                let (seconds, micros) = (now.div_euclid(1000), now.rem_euclid(1000) * 1000 + 999);
                let answer: (u64, u64, u64, u64, u64, u64, u64) = script
                    .key("k")
                    .arg(limit.per_minute)
                    .arg(limit.burst)
                    .arg(cost)
                    .arg(prefetch.wanted)
                    .arg(prefetch.most)
                    .arg(prefetch.over)
                    .arg(prefetch.counted_until)
                    .arg(prefetch.unspent)
                    .arg(prefetch.account)
                    .arg(LEASE)
                    .arg(seconds)
                    .arg(micros)
                    .invoke(&mut *connection.borrow_mut())
                    .unwrap();
                let expected = (
                    u64::from(said.enough),
                    u64::from(said.remaining),
                    said.wait,
                    said.full_in,
                    u64::from(said.extra),
                    said.counted_until,
                    said.account,
                );
                prop_assert_eq!(answer, expected);
                if said.extra > 0 {
                    own = said.account;
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_key_lives_until_its_bucket_is_full_and_no_longer() {
    let server = Server::start();
    let mut connection = server.connection();
    let script = redis::Script::new(SCRIPT);
    let mut take = |key: &str, per_minute: u32, burst: u32, cost: u32| {
        let mut call = script.prepare_invoke();
        call.key(key).arg(per_minute).arg(burst).arg(cost).arg(&[0; 6]).arg(LEASE);
        let answer: [u64; 7] = call.invoke(&mut connection).unwrap();
        let left: i64 = connection.pttl(key).unwrap();
        (answer, left)
    };
    let (answer, left) = take("slow", 60, 100, 30);
    assert_eq!(answer, [1, 70, 0, 30_000, 0, 0, 0]);
    assert!((29_000..=30_000).contains(&left), "{left}");
    // A refusal and a look leave it as it is.
    let (answer, unchanged) = take("slow", 60, 100, 100);
    assert_eq!((answer[0], answer[1]), (0, 70));
    assert!(unchanged <= left);
    assert!(take("slow", 60, 100, 0).1 <= unchanged);
    // The fastest limit is full again at once.
    let (answer, left) = take("fast", u32::MAX, u32::MAX, 1);
    assert_eq!((answer[0], answer[3]), (1, answer[3].min(2)));
    assert!(left <= 2);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(take("fast", u32::MAX, u32::MAX, 0), ([1, u64::from(u32::MAX), 0, 0, 0, 0, 0], -2));
}

#[test]
fn a_key_with_tokens_lent_outlives_the_lease_until_its_bucket_is_full() {
    let server = Server::start();
    let mut connection = server.connection();
    let script = redis::Script::new(SCRIPT);
    // 6,000 a minute, of 2,000 one and ten ahead: when the lease is over ten tokens, 100 ms, are missing.
    let mut call = script.prepare_invoke();
    call.key("lent").arg(&[6_000, 2_000, 1, 10, 20, 0, 0, 0, 0]).arg(LEASE);
    let answer: [u64; 7] = call.invoke(&mut connection).unwrap();
    let lives: i64 = connection.pttl("lent").unwrap();
    assert_eq!((answer[1], answer[3], answer[4]), (1_989, 10_100, 10));
    assert!((9_900..=10_100).contains(&lives), "{lives}");
    assert!(lives > LEASE - 200);
}

#[test]
fn several_buckets_give_all_or_nothing() {
    let server = Server::start();
    let mut connection = server.connection();
    let script = redis::Script::new(SCRIPT);
    let mut take = |cost: u32| -> Vec<u64> {
        let mut call = script.prepare_invoke();
        call.key("{t}a").key("{t}b").arg(&[1, 10, 1, 0, 0, 0, 0, 0, 0]);
        call.arg(&[1, 5, cost, 0, 0, 0, 0, 0, 0]).arg(LEASE);
        call.invoke(&mut connection).unwrap()
    };
    let flags = |answer: Vec<u64>| answer.chunks(7).map(|bucket| (bucket[0], bucket[1])).collect::<Vec<_>>();
    assert_eq!(flags(take(3)), [(1, 9), (1, 2)]);
    assert_eq!(flags(take(3)), [(1, 9), (0, 2)]);
    assert_eq!(flags(take(2)), [(1, 8), (1, 0)]);
    assert_eq!(flags(take(1)), [(1, 8), (0, 0)]);
}

#[test]
fn what_is_no_bucket_is_replaced_by_one() {
    let server = Server::start();
    let mut connection = server.connection();
    let script = redis::Script::new(SCRIPT);
    let _: () = connection.rpush("list", 1).unwrap();
    let _: () = connection.set("text", "-1 nan").unwrap();
    for key in ["list", "text"] {
        for remaining in [4_u64, 3] {
            let mut call = script.prepare_invoke();
            let answer: [u64; 7] =
                call.key(key).arg(&[1, 5, 1, 0, 0, 0, 0, 0, 0]).arg(LEASE).invoke(&mut connection).unwrap();
            assert_eq!((answer[0], answer[1]), (1, remaining), "{key}");
        }
    }
}
