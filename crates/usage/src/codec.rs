//! A batch as an entry of the stream.
//!
//! JSON, so that people can read a stuck stream, in arrays without names, so that an entry of one key is about 150 bytes.
//! What is read is checked as if a stranger had written it: sizes, ranges, characters. An entry that passes can be
//! applied; nothing in it can make PostgreSQL refuse it for ever and so hold up all that follows.

use bulkhead_domain::{
    TenantId,
    usage::{BatchId, LatencyHistogram, StatusClass, UsageBatch, UsageDelta, UsageKey},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most keys that one batch has.
pub const MAX_KEYS: usize = 1_000;

/// The longest entry, in bytes: about twice what the most keys come to.
pub(crate) const MAX_BYTES: usize = 512 * 1024;

/// How much is kept of an entry that is not ours, in bytes: enough to see what it is.
pub(crate) const HEAD_BYTES: usize = 1024;

/// The longest name of a route or a node.
const MAX_NAME: usize = 128;

/// No count of one key in one batch is larger. A thousand of the largest still fit a `bigint`.
const MAX_COUNT: u64 = 1 << 53;

/// The shape below. A reader that does not know the version sets the entry aside.
const VERSION: u8 = 1;

/// Why an entry is not a batch.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// It is too long.
    #[error("the entry has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),

    /// It is not JSON of the shape expected.
    #[error("the entry cannot be read: {0}")]
    Shape(#[from] serde_json::Error),

    /// Another version wrote it.
    #[error("the entry is of version {0}, not {VERSION}")]
    Version(u8),

    /// It holds something that no recorder writes.
    #[error("the entry holds an impossible {0}")]
    Impossible(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    v: u8,
    boot: Uuid,
    seq: u64,
    #[serde(borrow)]
    node: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    keys: Vec<WireKey<'a>>,
}

/// Tenant, route, status class, minute, requests, microseconds, bytes in, bytes out, and the buckets that are not empty.
#[derive(Serialize, Deserialize)]
struct WireKey<'a>(
    TenantId,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    StatusClass,
    u32,
    u64,
    u64,
    u64,
    u64,
    Vec<(u8, u64)>,
);

impl<'a> From<&'a (UsageKey, UsageDelta)> for WireKey<'a> {
    fn from((key, delta): &'a (UsageKey, UsageDelta)) -> Self {
        let buckets = (0_u8..).zip(*delta.latency.counts()).filter(|(_, count)| *count > 0).collect();
        let UsageDelta { requests, compute_micros, ingress_bytes, egress_bytes, .. } = *delta;
        let route = key.route.as_str().into();
        Self(
            key.tenant,
            route,
            key.status,
            key.minute,
            requests,
            compute_micros,
            ingress_bytes,
            egress_bytes,
            buckets,
        )
    }
}

/// Writes a batch.
pub(crate) fn encode(batch: &UsageBatch) -> Result<Vec<u8>, CodecError> {
    let BatchId { boot, seq } = batch.id;
    let keys = batch.entries.iter().map(WireKey::from).collect();
    Ok(serde_json::to_vec(&Wire { v: VERSION, boot, seq, node: batch.node.as_str().into(), keys })?)
}

/// Reads a batch.
pub(crate) fn decode(bytes: &[u8]) -> Result<UsageBatch, CodecError> {
    if bytes.len() > MAX_BYTES {
        return Err(CodecError::TooLong(bytes.len()));
    }
    let wire: Wire<'_> = serde_json::from_slice(bytes)?;
    if wire.v != VERSION {
        return Err(CodecError::Version(wire.v));
    }
    let possible = |fine: bool, what| if fine { Ok(()) } else { Err(CodecError::Impossible(what)) };
    possible(i64::try_from(wire.seq).is_ok(), "number")?;
    possible(is_name(&wire.node), "node")?;
    possible(wire.keys.len() <= MAX_KEYS, "number of keys")?;
    let entries = wire.keys.into_iter().map(read_key).collect::<Result<_, _>>()?;
    Ok(UsageBatch { id: BatchId { boot: wire.boot, seq: wire.seq }, node: wire.node.into_owned(), entries })
}

fn read_key(key: WireKey<'_>) -> Result<(UsageKey, UsageDelta), CodecError> {
    let WireKey(
        tenant,
        route,
        status,
        minute,
        requests,
        compute_micros,
        ingress_bytes,
        egress_bytes,
        buckets,
    ) = key;
    if !is_name(&route) {
        return Err(CodecError::Impossible("route"));
    }
    let mut counts = [0; LatencyHistogram::BUCKETS];
    for (bucket, count) in buckets {
        let slot = counts.get_mut(usize::from(bucket)).ok_or(CodecError::Impossible("bucket"))?;
        *slot = count;
    }
    let numbers = [requests, compute_micros, ingress_bytes, egress_bytes];
    if numbers.iter().chain(&counts).any(|count| *count > MAX_COUNT) {
        return Err(CodecError::Impossible("count"));
    }
    let latency = LatencyHistogram::from_counts(counts);
    let delta = UsageDelta { requests, compute_micros, ingress_bytes, egress_bytes, latency };
    Ok((UsageKey { tenant, route: route.into_owned(), status, minute }, delta))
}

/// What every count of a delta is cut to before it is recorded, so that what is written can be read.
pub(crate) fn clamp(delta: &UsageDelta) -> UsageDelta {
    let clamp = |count: u64| count.min(MAX_COUNT >> 20);
    UsageDelta {
        requests: clamp(delta.requests),
        compute_micros: clamp(delta.compute_micros),
        ingress_bytes: clamp(delta.ingress_bytes),
        egress_bytes: clamp(delta.egress_bytes),
        latency: LatencyHistogram::from_counts(delta.latency.counts().iter().map(|count| clamp(*count))),
    }
}

/// A name that PostgreSQL, logs and people can take.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tenant, route, status, minute, counts, latencies.
    type Key = (u128, String, u16, u32, [u64; 4], Vec<u64>);

    fn batch(keys: Vec<Key>) -> UsageBatch {
        let entry = |(tenant, route, status, minute, counts, micros): Key| {
            let mut latency = LatencyHistogram::default();
            for duration in micros {
                latency.record(duration);
            }
            let [requests, compute_micros, ingress_bytes, egress_bytes] = counts;
            let tenant = TenantId::from_uuid(Uuid::from_u128(tenant));
            let key = UsageKey { tenant, route, status: StatusClass::of(status), minute };
            (key, UsageDelta { requests, compute_micros, ingress_bytes, egress_bytes, latency })
        };
        let id = BatchId { boot: Uuid::from_u128(7), seq: 9 };
        UsageBatch { id, node: "node-1".to_owned(), entries: keys.into_iter().map(entry).collect() }
    }

    proptest! {
        #[test]
        fn a_batch_survives_the_stream(keys in prop::collection::vec((
            any::<u128>(), "[a-z_]{1,40}", 100_u16..600, any::<u32>(), [0..=MAX_COUNT, 0..=MAX_COUNT, 0..=MAX_COUNT, 0..=MAX_COUNT],
            prop::collection::vec(any::<u64>(), 0..20),
        ), 0..30)) {
            let batch = batch(keys);
            prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _read = decode(&bytes);
        }
    }

    #[test]
    fn what_no_recorder_writes_is_refused() {
        let good = r#"{"v":1,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[
            ["ten_00000000000000000000000004","list_users",2,29500000,1,900,0,10,[[4,1]]]]}"#;
        assert!(decode(good.as_bytes()).is_ok());
        let refused = [
            (r#""v":1"#, r#""v":2"#, "version 2"),
            (r#""seq":1"#, r#""seq":18446744073709551615"#, "impossible number"),
            ("list_users", "list\\u0000users", "impossible route"),
            ("list_users", "", "impossible route"),
            ("[[4,1]]", "[[24,1]]", "impossible bucket"),
            ("1,900", "1,9007199254740993", "impossible count"),
            ("1,900", "-1,900", "cannot be read"),
            (r#""node":"n""#, r#""node":"n","extra":1"#, "cannot be read"),
            ("ten_", "usr_", "cannot be read"),
        ];
        for (from, to, why) in refused {
            let error = decode(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{to}: {error}");
        }
        assert!(matches!(decode(&vec![b' '; MAX_BYTES + 1]), Err(CodecError::TooLong(_))));
    }

    #[test]
    fn an_entry_of_the_most_keys_is_not_too_long() {
        let widest =
            || (u128::MAX, "a".repeat(64), 500, u32::MAX, [MAX_COUNT; 4], vec![70, 900, 8_000, 65_000]);
        let bytes = encode(&batch(std::iter::repeat_with(widest).take(MAX_KEYS).collect())).unwrap();
        assert!(bytes.len() < MAX_BYTES, "{}", bytes.len());
    }
}
