//! Large answers on their way to the client.
//!
//! Owns the time between an answer's making and the moment when the client has taken it: until then it lies in memory, and
//! counts among the bytes that its tenant has in flight. Handed to the server piece by piece, so that no second copy of it
//! waits for a slow reader. Refuses to time anything: a reader that makes no progress is cut by `connections.rs`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bulkhead_limits::Entered;
use bytes::Bytes;

/// Answers up to this size are handed to the server whole and not counted any longer: it copies them beside their head.
pub(crate) const SMALL: usize = 64 << 10;

/// How much is handed to the server at a time. It takes more when it holds less than its own buffer.
const PIECE: usize = 16 << 10;

/// Keeps a large answer's bytes counted until it is written; lets go of a small one's.
pub(crate) fn pace(body: BoxBody, entered: Option<Entered>) -> BoxBody {
    let Some(mut entered) = entered else { return body };
    let BodySize::Sized(size) = body.size() else {
        return BoxBody::new(Streamed { body, _entered: entered });
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size <= SMALL {
        return body;
    }
    entered.answered(size);
    match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(Paced { rest: InPieces::new(bytes), _entered: entered }),
        Err(body) => BoxBody::new(Streamed { body, _entered: entered }),
    }
}

/// An answer that lies in memory.
struct Paced {
    rest: InPieces,
    /// All of it is in memory until the last piece is written.
    _entered: Entered,
}

impl MessageBody for Paced {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.rest.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Pin::new(&mut self.rest).poll_next(cx)
    }
}

/// Bytes that are handed to the server piece by piece. By itself for what lies in memory anyway, whoever reads it.
pub(crate) struct InPieces {
    rest: Bytes,
}

impl InPieces {
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }
}

impl MessageBody for InPieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

/// An answer that is made while it is sent.
struct Streamed {
    body: BoxBody,
    _entered: Entered,
}

impl MessageBody for Streamed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
