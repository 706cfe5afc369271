//! A connection as the HTTP library reads and writes it.
//!
//! By itself the library decodes all that a client has sent, whether or not anything can be answered yet; it drops a handler
//! whose client resets the connection; only the first head of a connection has a time limit; and a reader may take an answer
//! as slowly as it likes. [`Wire`] stands between the library and the socket and lets pass what is due: a head once it is
//! whole, a body once it is asked for, and nothing while a request is under way. So a connection has one request in memory,
//! a handler that has begun comes to its end, and a head that never ends is idle time to the library's keep-alive timer.
//! What an answer holds stays counted until the kernel has taken all of it.
//!
//! Nothing behind a request is read with it: the body's length is known, or its last chunk is looked for (`chunks.rs`). What
//! is left of a body when its request is answered is read and dropped, for a while. Where the library could not find the next
//! request, the connection ends with the answer: behind a body that is malformed or does not end, and where the client wants
//! to change the protocol, for the library takes all that follows for a body then.
//!
//! Refuses to parse heads: an empty line ends one, what is in it is the library's business.

mod chunks;
mod line;
mod pace;

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use bulkhead_limits::OpenConnection;
use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

pub(crate) use self::line::{Body, Line};
use self::{line::Stage, pace::Pace};
/// How long a request's head may take to arrive.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest head that is taken, in bytes. The library takes up to 128 KiB from each connection; this much is what common
/// proxies pass on.
const HEAD_LIMIT: usize = 16 << 10;
/// How long the rest of a body is read and dropped after its request was answered.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection's socket.
pub(crate) struct Wire {
    socket: TcpStream,
    line: Rc<Line>,
    /// What was read from the socket and is not due.
    held: BytesMut,
    /// How much of `held` is a whole head that is being passed on.
    due: usize,
    /// How far `held` has been looked through for the end of a head.
    looked: usize,
    /// When the head that has begun to come is to be whole, or the rest of a body to have come.
    due_at: Option<Pin<Box<Sleep>>>,
    /// Whether the kernel does not take the answer as fast as the library writes it.
    is_blocked: bool,
    pace: Pace,
    /// The connection counts among its address's for as long as this is here.
    _open: Option<OpenConnection>,
}

impl Wire {
    /// `patience` is how long the reader of an answer may make no progress.
    pub(crate) fn new(socket: TcpStream, patience: Duration, open: Option<OpenConnection>) -> Self {
        Self {
            socket,
            line: Line::new(),
            held: BytesMut::new(),
            due: 0,
            looked: 0,
            due_at: None,
            is_blocked: false,
            pace: Pace::new(patience),
            _open: open,
        }
    }

    /// What the pipeline needs of the connection.
    pub(crate) const fn line(&self) -> &Rc<Line> {
        &self.line
    }

    /// Reads nothing. Most clients send nothing either until they have the answer, and their next request wakes the
    /// library. What a client has sent before that is read when the request is over.
    fn poll_nothing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_more = !self.held.is_empty() || self.socket.poll_read_ready(cx).is_ready();
        self.line.pause(cx, !has_more)
    }

    /// Passes a head on, once it is whole.
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_blocked {
            // The answer to the next request would only wait behind this one.
            return self.line.pause(cx, false);
        }
        loop {
            let is_whole = self.due > 0 || self.find_head();
            if is_whole && self.due <= HEAD_LIMIT {
                self.pass_on_head(buf);
                return Poll::Ready(Ok(()));
            }
            if is_whole || self.held.len() > HEAD_LIMIT {
                // The library refuses a head for its size (431) once it has seen 128 KiB of it. Which bytes those are
                // no longer matters.
                buf.initialize_unfilled().fill(b'a');
                buf.advance(buf.remaining());
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            match Pin::new(&mut self.socket).poll_read(cx, buf)? {
                Poll::Ready(()) => {}
                Poll::Pending => return self.poll_due(cx),
            }
            let read = buf.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // A read usually brings a whole head and nothing else. Then the head is in the library's buffer already.
            let is_usual = self.held.is_empty() && !is_blank(read.first()) && read.len() <= HEAD_LIMIT;
            if is_usual && end_of_head(read, 0) == Some(read.len()) {
                self.due_at = None;
                self.line.stage.set(Stage::UnderWay);
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(read);
            buf.set_filled(before);
            self.drop_blank_lines();
            if !self.held.is_empty() {
                self.due_at.get_or_insert_with(|| Box::pin(sleep(HEAD_TIMEOUT)));
            }
        }
    }

    /// Ends the connection when what is awaited does not come. The library's own timer starts anew with every byte.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(due_at) = &mut self.due_at else { return Poll::Pending };
        ready!(due_at.as_mut().poll(cx));
        self.end()
    }

    /// Empty lines before a head are no part of it (RFC 9112 section 2.2).
    fn drop_blank_lines(&mut self) {
        if self.looked == 0 {
            let blank = self.held.iter().take_while(|byte| is_blank(Some(byte))).count();
            self.held.advance(blank);
        }
    }

    /// Looks for a whole head in what is held.
    fn find_head(&mut self) -> bool {
        self.drop_blank_lines();
        if let Some(end) = end_of_head(&self.held, self.looked) {
            (self.due, self.looked, self.due_at) = (end, 0, None);
            return true;
        }
        // The last three bytes may be the beginning of the end.
        self.looked = self.held.len().saturating_sub(3);
        false
    }

    /// Passes on what is due of a head.
    fn pass_on_head(&mut self, buf: &mut ReadBuf<'_>) {
        self.due -= self.pass_on(self.due, buf);
        if self.due == 0 {
            self.line.stage.set(Stage::UnderWay);
        }
    }

    /// Passes on what is held, up to `most` bytes. Returns how many bytes that was.
    fn pass_on(&mut self, most: usize, buf: &mut ReadBuf<'_>) -> usize {
        let length = most.min(self.held.len()).min(buf.remaining());
        buf.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.advance(length);
        if self.held.is_empty() {
            // An idle connection keeps no memory for what it may be sent.
            self.held = BytesMut::new();
        }
        length
    }

    /// Passes a body on as it comes, and nothing behind it. Passing on nothing tells the library that the client has ended its
    /// side, as it may have.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut body = self.line.body.get();
        let before = buf.filled().len();
        let found = if self.held.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            let found = body.read(read);
            let length = found.length_of(read);
            if length < read.len() {
                self.held.extend_from_slice(read.get(length..).unwrap_or_default());
                buf.set_filled(before + length);
            }
            found
        } else {
            let offered = self.held.get(..buf.remaining()).unwrap_or(&self.held);
            let found = body.read(offered);
            self.pass_on(found.length_of(offered), buf);
            found
        };
        self.line.body.set(body);
        self.line.body_has_come_to(found);
        Poll::Ready(Ok(()))
    }

    /// Passes on what is left of a body whose request is answered, so that the library drops it.
    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.due_at.get_or_insert_with(|| Box::pin(sleep(REST_TIMEOUT)));
        let (before, left) = (buf.filled().len(), self.line.rest.get());
        if left == 0 || self.poll_body(cx, buf)?.is_pending() {
            return if left == 0 { self.end() } else { self.poll_due(cx) };
        }
        self.line.rest.set(left.saturating_sub(buf.filled().len() - before));
        if self.line.stage.get() == Stage::Head {
            self.due_at = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more is read of the connection.
    fn end(&self) -> Poll<io::Result<()>> {
        self.line.stage.set(Stage::End);
        Poll::Ready(Ok(()))
    }
}

/// Whether a byte belongs to an empty line before a head.
const fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'\r' | b'\n'))
}

/// Where the head ends that `bytes` begin with: behind the first empty line, looked for from `from` on.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(b'\n', bytes.get(at..)?)? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.line.stage.get() {
            Stage::Head => this.poll_head(cx, buf),
            Stage::UnderWay => this.poll_nothing(cx),
            Stage::Body => this.poll_body(cx, buf),
            Stage::Rest => this.poll_rest(cx, buf),
            Stage::End => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.line.is_new_answer.take() {
            this.pace.restart();
        }
        let attempt = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.is_blocked |= attempt.is_pending();
        if this.pace.note(&attempt) { attempt } else { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when it has nothing left to write.
        let this = self.get_mut();
        let _written = this.line.unwritten.take();
        if std::mem::take(&mut this.is_blocked) {
            this.line.wake_reader();
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_behind_the_first_empty_line() {
        for (text, end) in [
            ("GET / HTTP/1.1\r\n\r\n", Some(18)),
            ("GET / HTTP/1.1\n\n", Some(16)),
            ("GET / HTTP/1.1\r\n\n", Some(17)),
            ("GET / HTTP/1.1\nHost: x\r\n\r\nbody\r\n\r\n", Some(26)),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r", None),
            ("\r\r", None),
            ("", None),
        ] {
            assert_eq!(end_of_head(text.as_bytes(), 0), end, "{text:?}");
            let from = end.unwrap_or_default().saturating_sub(3);
            assert_eq!(end_of_head(text.as_bytes(), from), end, "{text:?}, looked at before");
        }
    }

    /// A connection, its client, and how many bytes of an answer the kernel has taken, which takes no more.
    async fn blocked() -> (Wire, TcpStream, usize) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let mut wire = Wire::new(socket, Duration::from_secs(30), None);
        let (some, mut taken) = (vec![0; 65_536], 0);
        std::future::poll_fn(|cx| {
            while let Poll::Ready(written) = Pin::new(&mut wire).poll_write(cx, &some) {
                taken += written.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        (wire, client, taken)
    }

    #[tokio::test]
    async fn no_request_is_read_while_the_answer_before_it_is_not_taken() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        const HEAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        let (mut wire, mut client, taken) = blocked().await;
        client.write_all(HEAD).await.unwrap();
        wire.socket.readable().await.unwrap();
        let mut buffer = [0; 100];
        let read = |wire: &mut Wire, buffer: &mut [u8], cx: &mut Context<'_>| {
            let mut buf = ReadBuf::new(buffer);
            Pin::new(wire).poll_read(cx, &mut buf).map(|read| read.map(|()| buf.filled().len()))
        };
        let early = std::future::poll_fn(|cx| Poll::Ready(read(&mut wire, &mut buffer, cx).is_ready())).await;
        assert!(!early, "it is read");
        // The client takes all of it, and the library has nothing left to write.
        client.read_exact(&mut vec![0; taken]).await.unwrap();
        std::future::poll_fn(|cx| Pin::new(&mut wire).poll_flush(cx)).await.unwrap();
        let length = std::future::poll_fn(|cx| read(&mut wire, &mut buffer, cx)).await.unwrap();
        assert_eq!(&buffer[..length], HEAD);
    }
}
