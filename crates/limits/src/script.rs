//! `bucket.lua`, called.

use bulkhead_domain::TenantId;
use bulkhead_link::Purpose;
use bulkhead_telemetry::metrics::RedisUse;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection};

use crate::{
    bucket::Assessment,
    decision::{Demand, Prefetch, TENANT},
    lease::LENGTH,
};

/// The numbers that the script returns for a bucket.
const NUMBERS: usize = 7;

/// The script and the digest by which Redis knows it.
pub(crate) struct Script(redis::Script);

impl Script {
    pub(crate) fn new() -> Self {
        Self(redis::Script::new(include_str!("bucket.lua")))
    }

    /// Takes tokens, in one round trip, or in three when Redis has lost the script.
    pub(crate) async fn take<const N: usize>(
        &self,
        connection: &mut MultiplexedConnection,
        tenant: TenantId,
        demands: &[Demand; N],
    ) -> RedisResult<[Assessment; N]> {
        let call = self.call(tenant, demands);
        let answer: Vec<u64> = match call.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.prepare(connection).await?;
                call.query_async(connection).await?
            }
            other => other?,
        };
        read(&answer)
    }

    fn call<const N: usize>(&self, tenant: TenantId, demands: &[Demand; N]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.0.get_hash()).arg(N);
        for demand in demands {
            call.arg(key(tenant, demand.bucket));
        }
        for demand in demands {
            call.arg(demand.limit.per_minute.max(1)).arg(demand.limit.burst.max(1));
            let Prefetch { wanted, most, over, counted_until, unspent, account } = demand.prefetch;
            call.arg(demand.cost).arg(wanted).arg(most);
            call.arg(over).arg(counted_until).arg(unspent).arg(account);
        }
        call.arg(LENGTH.as_millis().to_string());
        call
    }
}

impl Purpose for Script {
    const USE: RedisUse = RedisUse::Limiter;
    const AWAY: &'static str = "Redis is away: this process enforces its share of limits";
    const BACK: &'static str = "limits are shared through Redis";

    /// Gives Redis the script.
    async fn prepare(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.0.load_async(connection).await.map(|_digest| ())
    }
}

/// The key of a bucket. The tenant in braces is the hash tag: all its keys are on one node of a cluster. The digit is the
/// version of what is stored: while two versions of the product run side by side, each keeps buckets of its own, so a
/// tenant can have at most twice its limit, and neither takes the other's for broken ones and fills them.
pub(crate) fn key(tenant: TenantId, bucket: &'static str) -> String {
    let text = tenant.to_string();
    let tenant = text.strip_prefix(TenantId::PREFIX).unwrap_or(&text);
    if bucket == TENANT { format!("bh:{{{tenant}}}:tb2") } else { format!("bh:{{{tenant}}}:tb2:{bucket}") }
}

fn read<const N: usize>(answer: &[u64]) -> RedisResult<[Assessment; N]> {
    let malformed =
        || RedisError::from((ErrorKind::UnexpectedReturnType, "not the answer of the bucket script"));
    let (buckets, rest) = answer.as_chunks::<NUMBERS>();
    let buckets =
        <&[[u64; NUMBERS]; N]>::try_from(buckets).ok().filter(|_| rest.is_empty()).ok_or_else(malformed)?;
    let whole = |tokens| u32::try_from(tokens).unwrap_or(u32::MAX);
    Ok(buckets.map(|[enough, remaining, wait, full_in, extra, counted_until, account]| Assessment {
        enough: enough == 1,
        remaining: whole(remaining),
        wait,
        full_in,
        extra: whole(extra),
        counted_until,
        account,
    }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_keys_of_a_tenant_share_its_hash_tag() {
        let tenant = TenantId::from_uuid(Uuid::nil());
        assert_eq!(key(tenant, TENANT), "bh:{00000000000000000000000000}:tb2");
        assert_eq!(key(tenant, "writes"), "bh:{00000000000000000000000000}:tb2:writes");
    }

    #[test]
    fn an_answer_of_another_shape_is_refused() {
        assert!(read::<1>(&[1, 9, 0, 6000, 0, 0, 0]).is_ok_and(|[said]| said.enough && said.remaining == 9));
        for wrong in [&[][..], &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 6, 7, 8], &[0; 14]] {
            assert!(read::<1>(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
