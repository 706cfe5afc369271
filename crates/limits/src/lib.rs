//! Token buckets: one round trip to Redis, local buckets when it is away.
