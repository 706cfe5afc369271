//! A batch as an entry of the stream.
//!
//! JSON, so that people can read a stuck stream, in arrays without names, so that an entry of one key is about 150 bytes.
//! Version 1 has no quantities of meters, version 2 has at least one. A batch without any is written as version 1, byte for
//! byte: a worker of before version 2 reads it. Whether a meter is declared is not asked: what a newer node counts, an
//! older worker applies.
//!
//! What is read is checked as if a stranger had written it: sizes, ranges, characters. An entry that passes can be
//! applied; nothing in it can make PostgreSQL refuse it for ever and so hold up all that follows.

use bulkhead_domain::{
    TenantId,
    metering::{BatchId, LatencyHistogram, MeterKey, RequestStats, StatusClass, UsageBatch, UsageKey},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most keys that one batch has, of requests and of meters together.
pub const MAX_KEYS: usize = 1_000;

/// The longest entry, in bytes: about twice what the most keys come to.
pub(crate) const MAX_BYTES: usize = 512 * 1024;

/// How much is kept of an entry that is not ours, in bytes: enough to see what it is.
pub(crate) const HEAD_BYTES: usize = 1024;

/// The longest name of a route or a node.
const MAX_NAME: usize = 128;

/// No count of one key in one batch is larger. A thousand of the largest still fit a `bigint`.
const MAX_COUNT: u64 = 1 << 53;

/// No quantity of one meter in one batch is larger, in thousandths: a million times the most that is counted at once.
const MAX_QUANTITY: u128 = 1_000_000_000_000_000 << 20;

/// The shape below without quantities.
const WITHOUT_QUANTITIES: u8 = 1;

/// The shape below with quantities.
const WITH_QUANTITIES: u8 = 2;

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
    #[error("the entry is of version {0}, not {WITHOUT_QUANTITIES} or {WITH_QUANTITIES}")]
    Version(u64),

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
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    meters: Option<Vec<WireQuantity<'a>>>,
}

/// What is looked at of an entry whose shape is unknown, to say why it is.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

/// Tenant, meter, minute, thousandths.
#[derive(Serialize, Deserialize)]
struct WireQuantity<'a>(TenantId, #[serde(borrow)] std::borrow::Cow<'a, str>, u32, u128);

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

impl<'a> From<&'a (UsageKey, RequestStats)> for WireKey<'a> {
    fn from((key, stats): &'a (UsageKey, RequestStats)) -> Self {
        let buckets = (0_u8..).zip(*stats.latency.counts()).filter(|(_, count)| *count > 0).collect();
        let RequestStats { requests, compute_micros, ingress_bytes, egress_bytes, .. } = *stats;
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

impl<'a> From<&'a (MeterKey, u128)> for WireQuantity<'a> {
    fn from((key, milli): &'a (MeterKey, u128)) -> Self {
        Self(key.tenant, key.meter.as_str().into(), key.minute, *milli)
    }
}

/// Writes a batch.
pub(crate) fn encode(batch: &UsageBatch) -> Result<Vec<u8>, CodecError> {
    let BatchId { recorder_id: boot, seq } = batch.id;
    let keys = batch.entries.iter().map(WireKey::from).collect();
    let meters =
        (!batch.quantities.is_empty()).then(|| batch.quantities.iter().map(WireQuantity::from).collect());
    let v = if meters.is_some() { WITH_QUANTITIES } else { WITHOUT_QUANTITIES };
    Ok(serde_json::to_vec(&Wire { v, boot, seq, node: batch.node.as_str().into(), keys, meters })?)
}

/// Reads a batch.
pub(crate) fn decode(bytes: &[u8]) -> Result<UsageBatch, CodecError> {
    if bytes.len() > MAX_BYTES {
        return Err(CodecError::TooLong(bytes.len()));
    }
    let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|error| unknown(bytes, error))?;
    let possible = |fine: bool, what| if fine { Ok(()) } else { Err(CodecError::Impossible(what)) };
    let meters = wire.meters.unwrap_or_default();
    match wire.v {
        WITHOUT_QUANTITIES => possible(meters.is_empty(), "meter in version 1")?,
        WITH_QUANTITIES => possible(!meters.is_empty(), "version 2 without a meter")?,
        other => return Err(CodecError::Version(other.into())),
    }
    possible(i64::try_from(wire.seq).is_ok(), "number")?;
    possible(is_name(&wire.node), "node")?;
    possible(wire.keys.len() + meters.len() <= MAX_KEYS, "number of keys")?;
    let entries = wire.keys.into_iter().map(read_key).collect::<Result<_, _>>()?;
    let quantities = meters.into_iter().map(read_quantity).collect::<Result<_, _>>()?;
    let id = BatchId { recorder_id: wire.boot, seq: wire.seq };
    Ok(UsageBatch { id, node: wire.node.into_owned(), entries, quantities })
}

/// Why an entry has no shape that is known: another version may have another one.
fn unknown(bytes: &[u8], error: serde_json::Error) -> CodecError {
    match serde_json::from_slice(bytes) {
        Ok(Versioned { v }) if v != u64::from(WITHOUT_QUANTITIES) && v != u64::from(WITH_QUANTITIES) => {
            CodecError::Version(v)
        }
        _ => CodecError::Shape(error),
    }
}

fn read_quantity(quantity: WireQuantity<'_>) -> Result<(MeterKey, u128), CodecError> {
    let WireQuantity(tenant, meter, minute, milli) = quantity;
    let meter = meter.parse().map_err(|_unlike| CodecError::Impossible("meter"))?;
    if !(1..=MAX_QUANTITY).contains(&milli) {
        return Err(CodecError::Impossible("quantity"));
    }
    Ok((MeterKey { tenant, meter, minute }, milli))
}

fn read_key(key: WireKey<'_>) -> Result<(UsageKey, RequestStats), CodecError> {
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
    let stats = RequestStats { requests, compute_micros, ingress_bytes, egress_bytes, latency };
    Ok((UsageKey { tenant, route: route.into_owned(), status, minute }, stats))
}

/// What every count of a request is cut to before it is recorded, so that what is written can be read.
pub(crate) fn clamp(stats: &RequestStats) -> RequestStats {
    let clamp = |count: u64| count.min(MAX_COUNT >> 20);
    RequestStats {
        requests: clamp(stats.requests),
        compute_micros: clamp(stats.compute_micros),
        ingress_bytes: clamp(stats.ingress_bytes),
        egress_bytes: clamp(stats.egress_bytes),
        latency: LatencyHistogram::from_counts(stats.latency.counts().iter().map(|count| clamp(*count))),
    }
}

/// A name that PostgreSQL, logs and people can take.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::metering::Quantity;
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
            (key, RequestStats { requests, compute_micros, ingress_bytes, egress_bytes, latency })
        };
        let id = BatchId { recorder_id: Uuid::from_u128(7), seq: 9 };
        let entries = keys.into_iter().map(entry).collect();
        UsageBatch { id, node: "node-1".to_owned(), entries, quantities: vec![] }
    }

    /// Tenant, meter, minute, thousandths.
    type Counted = (u128, String, u32, u128);

    fn quantities(counted: Vec<Counted>) -> Vec<(MeterKey, u128)> {
        let quantity = |(tenant, meter, minute, milli): Counted| {
            let tenant = TenantId::from_uuid(Uuid::from_u128(tenant));
            (MeterKey { tenant, meter: meter.parse().unwrap(), minute }, milli)
        };
        counted.into_iter().map(quantity).collect()
    }

    fn keys() -> impl Strategy<Value = Vec<Key>> {
        let counts = [0..=MAX_COUNT, 0..=MAX_COUNT, 0..=MAX_COUNT, 0..=MAX_COUNT];
        let micros = prop::collection::vec(any::<u64>(), 0..20);
        let key = (any::<u128>(), "[a-z_]{1,40}", 100_u16..600, any::<u32>(), counts, micros);
        prop::collection::vec(key, 0..30)
    }

    fn counted() -> impl Strategy<Value = Vec<Counted>> {
        let one = (any::<u128>(), "[a-z][a-z0-9_]{0,62}", any::<u32>(), 1..=MAX_QUANTITY);
        prop::collection::vec(one, 1..30)
    }

    /// An entry as the reader of before version 2 knows it.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Before<'a> {
        v: u8,
        #[serde(rename = "boot")]
        _boot: Uuid,
        #[serde(rename = "seq")]
        _seq: u64,
        #[serde(rename = "node")]
        _node: String,
        #[serde(borrow)]
        keys: Vec<WireKey<'a>>,
    }

    proptest! {
        #[test]
        fn a_batch_survives_the_stream(keys in keys(), counted in prop::option::of(counted())) {
            let batch = UsageBatch { quantities: quantities(counted.unwrap_or_default()), ..batch(keys) };
            prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
        }

        #[test]
        fn without_quantities_a_reader_of_before_reads_it(keys in keys()) {
            let bytes = encode(&batch(keys.clone())).unwrap();
            let before: Before<'_> = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!((before.v, before.keys.len()), (WITHOUT_QUANTITIES, keys.len()));
        }

        #[test]
        fn with_quantities_a_reader_of_before_refuses_it_whole(keys in keys(), counted in counted()) {
            let batch = UsageBatch { quantities: quantities(counted), ..batch(keys) };
            prop_assert!(serde_json::from_slice::<Before<'_>>(&encode(&batch).unwrap()).is_err());
        }

        /// However an entry is changed, what is read of it can be applied.
        #[test]
        fn what_is_read_is_within_bounds(
            keys in keys(), counted in counted(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = encode(&UsageBatch { quantities: quantities(counted), ..batch(keys) }).unwrap();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if let Ok(read) = decode(&bytes) {
                prop_assert!(read.keys() <= MAX_KEYS && is_name(&read.node));
                prop_assert!(read.entries.iter().all(|(key, stats)| is_name(&key.route) && stats.requests <= MAX_COUNT));
                prop_assert!(read.quantities.iter().all(|(_, milli)| (1..=MAX_QUANTITY).contains(milli)));
            }
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
            (r#""v":1"#, r#""v":3"#, "version 3, not 1 or 2"),
            (r#""v":1"#, r#""v":2"#, "version 2 without a meter"),
            (
                r#""node":"n""#,
                r#""node":"n","meters":[["ten_00000000000000000000000004","a",1,1]]"#,
                "meter in version 1",
            ),
            (r#"{"v":1"#, r#"{"level":3,"v":300"#, "version 300, not 1 or 2"),
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
    fn a_quantity_that_no_recorder_writes_is_refused() {
        let good = r#"{"v":2,"boot":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1,"node":"n","keys":[],
            "meters":[["ten_00000000000000000000000004","nobody_has_declared_it",29500000,1500]]}"#;
        let read = decode(good.as_bytes()).unwrap();
        assert_eq!(
            (read.quantities[0].0.meter.as_str(), read.quantities[0].1),
            ("nobody_has_declared_it", 1_500)
        );
        let most = MAX_QUANTITY.to_string();
        assert!(decode(good.replacen("1500", &most, 1).as_bytes()).is_ok());
        let beyond = (MAX_QUANTITY + 1).to_string();
        let refused = [
            (",1500]", ",0]", "impossible quantity"),
            ("1500", beyond.as_str(), "impossible quantity"),
            ("1500", "-1500", "cannot be read"),
            ("1500", "15.5", "cannot be read"),
            ("1500", "1500,1", "cannot be read"),
            ("nobody_has", "Nobody_has", "impossible meter"),
            ("nobody_has_declared_it", "", "impossible meter"),
            ("nobody_has", "nobody\\u0000has", "impossible meter"),
            (r#""meters":[["#, r#""meters":[],"more":[["#, "cannot be read"),
            (r#""v":2"#, r#""v":1"#, "meter in version 1"),
        ];
        for (from, to, why) in refused {
            let error = decode(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{to}: {error}");
        }
        let one = r#"["ten_00000000000000000000000004","m",1,1]"#;
        let many = |count| format!("{}{}]}}", &good[..=good.find("[[").unwrap()], vec![one; count].join(","));
        assert_eq!(decode(many(MAX_KEYS).as_bytes()).unwrap().keys(), MAX_KEYS);
        assert!(decode(many(MAX_KEYS + 1).as_bytes()).unwrap_err().to_string().contains("number of keys"));
    }

    #[test]
    fn a_million_of_the_largest_quantities_fit() {
        assert_eq!(MAX_QUANTITY, u128::from(Quantity::MAX.in_thousandths()) * (1 << 20));
    }

    #[test]
    fn an_entry_of_the_most_keys_is_not_too_long() {
        let widest =
            || (u128::MAX, "a".repeat(64), 500, u32::MAX, [MAX_COUNT; 4], vec![70, 900, 8_000, 65_000]);
        let bytes = encode(&batch(std::iter::repeat_with(widest).take(MAX_KEYS).collect())).unwrap();
        assert!(bytes.len() < MAX_BYTES, "{}", bytes.len());
        let widest = || (u128::MAX, "a".repeat(63), u32::MAX, MAX_QUANTITY);
        let quantities = quantities(std::iter::repeat_with(widest).take(MAX_KEYS).collect());
        let bytes = encode(&UsageBatch { quantities, ..batch(vec![]) }).unwrap();
        assert!(bytes.len() < MAX_BYTES, "{}", bytes.len());
    }
}
