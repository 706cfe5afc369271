//! The Redis stream that batches wait in.
//!
//! An entry is a batch and its tag: who can write to Redis cannot write a batch that is believed. Refuses to say what
//! becomes of an entry without the right tag; that is for whoever reads (`drain.rs`).

use bulkhead_domain::{Mac, usage::UsageBatch};
use redis::{RedisResult, aio::MultiplexedConnection, streams::StreamRangeReply};

use crate::codec;

/// The stream's key.
pub const STREAM: &str = "bh:usage";

/// The field of an entry that holds the batch.
const BATCH: &str = "b";

/// The field that holds the tag of the batch's bytes.
const TAG: &str = "m";

/// Entries read or deleted at a time; the server does nothing else meanwhile, for about half a millisecond.
pub(crate) const PAGE: usize = 500;

/// Appends batches, in one round trip; the ids of their entries, in the same order. When the answer does not come in time
/// they may or may not be in the stream.
pub(crate) async fn append(
    connection: &mut MultiplexedConnection,
    mac: &dyn Mac,
    batches: &[impl AsRef<UsageBatch>],
) -> RedisResult<Vec<String>> {
    let mut pipe = redis::pipe();
    for batch in batches {
        let bytes = codec::encode(batch.as_ref()).map_err(|error| unwritable(&error))?;
        let tag = mac.sign(&bytes);
        pipe.cmd("XADD").arg(STREAM).arg("*").arg(BATCH).arg(bytes).arg(TAG).arg(&tag);
    }
    pipe.query_async(connection).await
}

/// How many entries the stream holds.
pub async fn length(connection: &mut MultiplexedConnection) -> RedisResult<u64> {
    redis::cmd("XLEN").arg(STREAM).query_async(connection).await
}

/// Which of these entries the stream does not hold, by their place in the list.
pub(crate) async fn missing(
    connection: &mut MultiplexedConnection,
    ids: &[String],
) -> RedisResult<Vec<usize>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for id in ids {
        pipe.cmd("XRANGE").arg(STREAM).arg(id).arg(id);
    }
    let found: Vec<StreamRangeReply> = pipe.query_async(connection).await?;
    Ok(found.iter().enumerate().filter(|(_, reply)| reply.ids.is_empty()).map(|(place, _)| place).collect())
}

/// An entry as it was read.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its id: the milliseconds of its writing, a hyphen, a number.
    pub(crate) id: String,
    /// The batch, as it was written; empty when the entry has no such field.
    pub(crate) bytes: Vec<u8>,
    /// The tag, as it was written; empty when the entry has none.
    pub(crate) tag: Vec<u8>,
}

/// The oldest entries, or the oldest behind one, at most `count`.
pub(crate) async fn oldest(
    connection: &mut MultiplexedConnection,
    behind: Option<&str>,
    count: usize,
) -> RedisResult<Vec<Entry>> {
    let reply: StreamRangeReply = redis::cmd("XRANGE")
        .arg(STREAM)
        .arg(behind.map_or_else(|| "-".to_owned(), |id| format!("({id}")))
        .arg("+")
        .arg("COUNT")
        .arg(count)
        .query_async(connection)
        .await?;
    let entry = |mut found: redis::streams::StreamId| {
        let mut field = |name| {
            let value = found.map.remove(name).and_then(|value| redis::from_redis_value(value).ok());
            value.unwrap_or_default()
        };
        Entry { bytes: field(BATCH), tag: field(TAG), id: found.id }
    };
    Ok(reply.ids.into_iter().map(entry).collect())
}

/// Deletes entries, so many at a time that nobody else waits long for the server.
pub(crate) async fn delete(connection: &mut MultiplexedConnection, ids: &[String]) -> RedisResult<()> {
    for some in ids.chunks(PAGE) {
        redis::cmd("XDEL").arg(STREAM).arg(some).exec_async(connection).await?;
    }
    Ok(())
}

fn unwritable(error: &codec::CodecError) -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Client, "a batch cannot be written", error.to_string()))
}
