//! The Redis stream that batches wait in.
//!
//! An entry is a batch and its tag: an attacker who can write to Redis cannot write a batch that is believed. Refuses
//! to say what becomes of an entry without the right tag; the reader decides that (`drain.rs`).

use std::sync::LazyLock;

use bulkhead_domain::{Mac, metering::UsageBatch};
use redis::{RedisResult, Script, aio::MultiplexedConnection, streams::StreamRangeReply};

use crate::codec;

/// The stream's key.
pub const STREAM: &str = "bh:usage";

/// The field of an entry that holds the batch.
const BATCH: &str = "b";

/// The field that holds the tag of the batch's bytes.
const TAG: &str = "m";

/// Entries read or deleted at a time; the server does nothing else meanwhile, for two or three milliseconds.
pub(crate) const PAGE: usize = 500;

/// Bytes of entries read at a time, about; the server and the network are done with them well before a reader gives up.
const PAGE_BYTES: usize = 2 << 20;

/// The longest tag that is looked at. Ours are shorter.
const LONGEST_TAG: usize = 64;

/// Appends batches, in one round trip. Returns the ids of their entries, in the same order. When the answer does not
/// come in time, the batches may or may not be in the stream.
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
    /// How long the batch is.
    pub(crate) length: usize,
    /// The batch, as it was written; its beginning when it is longer than any batch; empty when the entry has no such
    /// field.
    pub(crate) bytes: Vec<u8>,
    /// The tag, as it was written; empty when the entry has none.
    pub(crate) tag: Vec<u8>,
}

impl Entry {
    /// Whether the batch was read to its end.
    pub(crate) const fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}

/// Some of the stream's entries.
#[derive(Debug)]
pub(crate) struct Page {
    /// In their order.
    pub(crate) entries: Vec<Entry>,
    /// Whether there are none behind them.
    pub(crate) is_last: bool,
}

/// An entry as the script returns it: its id, the length of its batch, the batch, the tag.
type Found = (String, usize, Vec<u8>, Vec<u8>);

/// The oldest entries, or the oldest behind one: a page of them, of at most about `bytes`. However large an entry is, no more
/// of it comes than a batch can have.
pub(crate) async fn oldest(
    connection: &mut MultiplexedConnection,
    behind: Option<&str>,
    bytes: usize,
) -> RedisResult<Page> {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("oldest.lua")));
    let mut call = SCRIPT.key(STREAM);
    call.arg(behind.map_or_else(|| "-".to_owned(), |id| format!("({id}")));
    call.arg(PAGE).arg(bytes.min(PAGE_BYTES)).arg(BATCH).arg(TAG);
    call.arg(codec::MAX_BYTES).arg(LONGEST_TAG).arg(codec::HEAD_BYTES);
    let (is_last, found): (bool, Vec<Found>) = call.invoke_async(connection).await?;
    let entries =
        found.into_iter().map(|(id, length, bytes, tag)| Entry { id, length, bytes, tag }).collect();
    Ok(Page { entries, is_last })
}

/// Deletes entries, [`PAGE`] at a time: so no other client waits long for the server.
pub(crate) async fn delete(connection: &mut MultiplexedConnection, ids: &[String]) -> RedisResult<()> {
    for some in ids.chunks(PAGE) {
        redis::cmd("XDEL").arg(STREAM).arg(some).exec_async(connection).await?;
    }
    Ok(())
}

fn unwritable(error: &codec::CodecError) -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Client, "a batch cannot be written", error.to_string()))
}
