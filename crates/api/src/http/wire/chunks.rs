//! Where a body ends that comes in chunks (RFC 9112 section 7.1).
//!
//! The HTTP library decodes such a body; this only finds its end, so that nothing behind it is read as part of it. Takes what
//! the library takes, byte for byte: were the two to disagree, one would read a request where the other reads a body.

/// How far a body in chunks has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    /// The size that is being read, or what is left of the chunk, in bytes.
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first digit of a chunk's size.
    Size,
    /// The other digits.
    SizeRest,
    /// Blanks behind a size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer, or of the empty line behind them all.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
}

/// What bytes of a body brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of them belong to the body, and more is to come.
    More,
    /// The body ends behind so many.
    End(usize),
    /// So many belong to a body, and the next one does not.
    Malformed(usize),
}

impl Found {
    /// How many of the bytes that were read belong to the body.
    pub(super) const fn length_of(self, read: &[u8]) -> usize {
        match self {
            Self::More => read.len(),
            Self::End(length) | Self::Malformed(length) => length,
        }
    }
}

impl Chunks {
    /// Nothing has been read.
    pub(crate) const START: Self = Self { at: At::Size, size: 0 };

    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Found {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            if self.at == At::Data {
                read += self.skip(rest.len());
                continue;
            }
            let Some(byte) = rest.first() else { break };
            match self.step(*byte) {
                Some(Step::On(at)) => self.at = at,
                Some(Step::End) => return Found::End(read + 1),
                None => return Found::Malformed(read),
            }
            read += 1;
        }
        Found::More
    }

    /// Passes over the data of a chunk. Returns how many of the next `bytes` bytes are data.
    fn skip(&mut self, bytes: usize) -> usize {
        let skipped = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes);
        self.size -= skipped as u64;
        if self.size == 0 {
            self.at = At::DataCr;
        }
        skipped
    }

    /// What a byte leads to; `None` where it may not stand.
    fn step(&mut self, byte: u8) -> Option<Step> {
        let at = match (self.at, byte) {
            (At::Size, _) => {
                self.size = u64::from(digit(byte)?);
                At::SizeRest
            }
            (At::SizeRest | At::Blank, b' ' | b'\t') => At::Blank,
            (At::SizeRest | At::Blank, b';') | (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => At::Extension,
            (At::SizeRest | At::Blank | At::Extension, b'\r') => At::SizeLf,
            (At::SizeRest, _) => {
                self.size = self.size.checked_mul(16)? + u64::from(digit(byte)?);
                At::SizeRest
            }
            (At::SizeLf, b'\n') if self.size > 0 => At::Data,
            (At::SizeLf | At::TrailerLf, b'\n') => At::Line,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Line, b'\r') => At::LastLf,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Line | At::Trailer, _) => At::Trailer,
            (At::LastLf, b'\n') => return Some(Step::End),
            _ => return None,
        };
        Some(Step::On(at))
    }
}

enum Step {
    On(At),
    End,
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: impl AsRef<[u8]>) -> Found {
        let mut chunks = Chunks::START;
        chunks.read(body.as_ref())
    }

    #[test]
    fn a_body_ends_behind_its_last_line() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n",
            "5 \t;name=value;other\r\nhello\r\n000;last\r\n\r\n",
            "2\r\n\r\n\r\n0\r\nTrailer: one\r\nOther: two\r\n\r\n",
        ] {
            let behind = format!("{body}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(read(behind), Found::End(body.len()), "{body:?}");
            assert_eq!(read(&body[..body.len() - 1]), Found::More, "{body:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_told_with_its_place() {
        for (body, at) in [
            ("\r\n", 0),
            ("zz\r\n", 0),
            ("5\nhello", 1),
            ("5 5\r\n", 2),
            ("5;\n", 2),
            ("5;\u{7f}\r\n", 2),
            ("5\r\nhello!", 8),
            ("5\r\nhello\n", 8),
            ("5\r\nhello\r\r", 9),
            ("fffffffffffffffff\r\n", 16),
            ("0\r\n\rx", 4),
            ("0\r\nTrailer\rx", 11),
        ] {
            assert_eq!(read(body), Found::Malformed(at), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_a_body_comes(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
            piece in 1..50_usize
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (mut reader, mut read) = (Chunks::START, 0);
            for part in body.chunks(piece) {
                match reader.read(part) {
                    Found::More => read += part.len(),
                    Found::End(length) => read += length,
                    Found::Malformed(at) => prop_assert!(false, "at {}", read + at),
                }
            }
            prop_assert_eq!(read, body.len());
        }

        #[test]
        fn nothing_makes_it_read_past_what_it_was_given(body in prop::collection::vec(any::<u8>(), 0..200)) {
            match read(&body) {
                Found::More => {}
                Found::End(length) | Found::Malformed(length) => prop_assert!(length <= body.len()),
            }
        }
    }
}
