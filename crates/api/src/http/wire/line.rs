//! What a connection and the pipeline tell each other about the request that is under way.
//!
//! Owns the order in which a connection is read: a head, nothing, a body, the rest of it, nothing for ever. Refuses to touch the
//! socket.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bulkhead_limits::Entered;

use super::chunks::{Chunks, Found};

/// How much of a body is read and dropped after its request was answered, in bytes. A client that writes all before it reads gets
/// its answer; one that never stops writing is cut.
const REST_LIMIT: usize = 16 << 20;

/// What may be read of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The next head, once it is whole.
    Head,
    /// Nothing: a request is under way.
    UnderWay,
    /// The request's body.
    Body,
    /// The rest of a body whose request is answered.
    Rest,
    /// Nothing, for ever: to the library the client has ended its side.
    End,
}

/// What is still to be read of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Left(u64),
    /// Chunks, of which one is the last.
    Chunks(Chunks),
}

impl Body {
    /// No body, or none any more.
    pub(crate) const NONE: Self = Self::Left(0);

    /// A body in chunks of which nothing has been read.
    pub(crate) const CHUNKED: Self = Self::Chunks(Chunks::START);

    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Found {
        let left = match self {
            Self::Left(left) => left,
            Self::Chunks(chunks) => return chunks.read(bytes),
        };
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= length as u64;
        if *left == 0 { Found::End(length) } else { Found::More }
    }
}

/// What the pipeline tells a connection about its request. Shared by the connection and its requests, of which one at a
/// time is under way.
pub(crate) struct Line {
    pub(super) stage: Cell<Stage>,
    pub(super) body: Cell<Body>,
    /// Whether no request may follow on this connection.
    is_last: Cell<bool>,
    /// How much more of the body is read after the answer.
    pub(super) rest: Cell<usize>,
    /// Wakes the library.
    waker: RefCell<Option<Waker>>,
    /// Whether the library is to be woken when there may be something to read again.
    is_paused: Cell<bool>,
    /// What the answer holds that is being written.
    pub(super) unwritten: RefCell<Option<Entered>>,
    /// Whether an answer was made of which nothing has been written.
    pub(super) is_new_answer: Cell<bool>,
}

impl Line {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            stage: Cell::new(Stage::Head),
            body: Cell::new(Body::NONE),
            is_last: Cell::new(false),
            rest: Cell::new(0),
            waker: RefCell::default(),
            is_paused: Cell::new(false),
            unwritten: RefCell::default(),
            is_new_answer: Cell::new(false),
        })
    }

    /// A request has begun that has this body. `is_last` says that none may follow.
    pub(crate) fn begin(&self, body: Body, is_last: bool) {
        self.stage.set(Stage::UnderWay);
        self.body.set(body);
        self.is_last.set(is_last);
    }

    /// Whether no request may follow the one that is under way.
    pub(crate) const fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// The request's body is wanted.
    pub(crate) fn read_body(&self) {
        if self.body.get() != Body::NONE {
            self.resume(Stage::Body);
        }
    }

    /// The request's body has been read to its end.
    pub(crate) fn body_is_read(&self) {
        self.stage.set(Stage::UnderWay);
        self.body.set(Body::NONE);
    }

    /// The request has its answer.
    pub(crate) fn answered(&self) {
        self.is_new_answer.set(true);
        if self.stage.get() == Stage::End {
            return;
        }
        self.rest.set(REST_LIMIT);
        self.resume(match self.body.get() {
            Body::NONE if self.is_last.get() => Stage::End,
            Body::NONE => Stage::Head,
            _ => Stage::Rest,
        });
    }

    /// Notes what a body has come to: what is read next, if it is at its end.
    pub(super) fn body_has_come_to(&self, found: Found) {
        let is_answered = self.stage.get() == Stage::Rest;
        match found {
            Found::More => {}
            Found::Malformed(_) => self.stage.set(Stage::End),
            // The library does not look for a request behind a body of known length that it has dropped.
            Found::End(_) if is_answered && (self.is_last.get() || self.body.get() == Body::NONE) => {
                self.stage.set(Stage::End);
            }
            Found::End(_) => {
                self.body.set(Body::NONE);
                self.stage.set(if is_answered { Stage::Head } else { Stage::UnderWay });
            }
        }
    }

    /// Counts what an answer holds until all of it is written.
    pub(crate) fn hold(&self, entered: Entered) {
        self.unwritten.replace(Some(entered));
    }

    fn resume(&self, stage: Stage) {
        self.stage.set(stage);
        // When the answer was made at once, the library has not looked for what is left of the body.
        if stage == Stage::Rest {
            self.is_paused.set(true);
        }
        self.wake_reader();
    }

    pub(super) fn wake_reader(&self) {
        if self.is_paused.take()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Nothing is read until [`Self::wake_reader`], or until the socket has something if it is watched.
    pub(super) fn pause(&self, cx: &Context<'_>, is_watched: bool) -> Poll<io::Result<()>> {
        match &mut *self.waker.borrow_mut() {
            // A waker that wakes the same task is kept.
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.is_paused.set(!is_watched);
        Poll::Pending
    }
}
