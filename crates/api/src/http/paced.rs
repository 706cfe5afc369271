//! Answers on their way to the client.
//!
//! Until the client has taken an answer it lies in memory, and counts among the bytes that its tenant has in flight. A large
//! one is handed to the server piece by piece, so that no second copy of it waits for a slow reader. What has been handed
//! over is the connection's to count (`wire.rs`), which also cuts readers that are too slow.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bulkhead_limits::Entered;
use bytes::Bytes;

use crate::http::wire::Line;

/// Answers up to this size are handed to the server whole: it copies them beside their head.
pub(crate) const SMALL: usize = 64 << 10;

/// How much is handed to the server at a time. It takes more when it holds less than its own buffer.
const PIECE: usize = 16 << 10;

/// What a request holds in memory, until its answer is written.
pub(crate) struct Held {
    entered: Option<Entered>,
    line: Option<Rc<Line>>,
}

impl Held {
    /// `line` is the connection that the answer is written to.
    pub(crate) const fn new(entered: Option<Entered>, line: Option<Rc<Line>>) -> Self {
        Self { entered, line }
    }

    /// The answer is made, and this is all that is held from here on.
    pub(crate) fn answered(&mut self, body: BodySize) {
        let bytes = match body {
            BodySize::Sized(size) => usize::try_from(size).unwrap_or(usize::MAX),
            BodySize::None => 0,
            BodySize::Stream => SMALL,
        };
        if let Some(entered) = &mut self.entered {
            entered.answered(bytes);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(entered), Some(line)) = (self.entered.take(), &self.line) {
            line.hold(entered);
        }
    }
}

/// Hands an answer over, and what it holds with its last piece.
pub(crate) fn pace(body: BoxBody, held: Held) -> BoxBody {
    match body.size() {
        BodySize::None => body,
        BodySize::Sized(size) if size <= SMALL as u64 => body,
        BodySize::Sized(_) | BodySize::Stream => match body.try_into_bytes() {
            Ok(bytes) => BoxBody::new(Paced { rest: InPieces::new(bytes), _held: held }),
            Err(body) => BoxBody::new(Streamed { body, _held: held }),
        },
    }
}

/// An answer that lies in memory.
struct Paced {
    rest: InPieces,
    _held: Held,
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

/// Bytes that are handed to the server piece by piece. The documentation pages use it without [`Held`]: their bytes
/// lie in memory anyway, however many clients read them.
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
    _held: Held,
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
