//! Where the body of a message ends. Its bytes are counted and skipped, never kept.

/// The most bytes of one line with a chunk's size, or of all trailers of a body.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A body, or what of it is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes more.
    Length(u64),
    /// The chunked transfer coding.
    Chunked(Chunked),
    /// All there is until the connection ends.
    UntilEnd,
}

/// Where in the chunked transfer coding a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    part: Part,
    /// Bytes of the line at hand, or of the trailers.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The digits of a size.
    Size { value: u64, digits: u8 },
    /// What stands behind a size on its line.
    Extension(u64),
    /// So many bytes more of a chunk.
    Data(u64),
    /// The end of the line behind a chunk.
    DataEnd,
    /// The trailers, with an empty line at their end.
    Trailers { empty_line: bool },
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many of them belong to the body.
    pub(super) used: usize,
    /// How many of these are content: all but the transfer coding.
    pub(super) content: u64,
    pub(super) then: Then,
}

/// How a body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    More,
    Done,
    /// This is not the coding it should be.
    Broken,
}

impl Body {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked { part: Part::Size { value: 0, digits: 0 }, line: 0 })
    }

    /// Takes what belongs to the body from the beginning of `data`.
    pub(super) fn take(&mut self, data: &[u8]) -> Taken {
        match self {
            Self::Length(left) => {
                let used = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left -= used as u64;
                Taken { used, content: used as u64, then: if *left == 0 { Then::Done } else { Then::More } }
            }
            Self::Chunked(chunked) => chunked.take(data),
            Self::UntilEnd => Taken { used: data.len(), content: data.len() as u64, then: Then::More },
        }
    }

    /// `missing` bytes of the stream were never seen. Returns how many of them belong to the body for certain, and whether
    /// it is done with them. If they are not all of them, nobody knows where the next message begins.
    pub(super) fn skip(&mut self, missing: u64) -> (u64, Then) {
        match self {
            Self::Length(left) => {
                let skipped = missing.min(*left);
                *left -= skipped;
                (skipped, if *left == 0 { Then::Done } else { Then::More })
            }
            Self::Chunked(Chunked { part: part @ Part::Data(_), line }) => {
                let Part::Data(left) = *part else { return (0, Then::Broken) };
                let skipped = missing.min(left);
                (*part, *line) = (after(left - skipped), 0);
                (skipped, Then::More)
            }
            Self::Chunked(_) => (0, Then::Broken),
            Self::UntilEnd => (missing, Then::More),
        }
    }
}

/// A chunk with so much left.
fn after(left: u64) -> Part {
    if left == 0 { Part::DataEnd } else { Part::Data(left) }
}

impl Chunked {
    fn take(&mut self, data: &[u8]) -> Taken {
        let (mut used, mut content) = (0, 0);
        while let Some(&byte) = data.get(used) {
            if let Part::Data(left) = self.part {
                let rest = data.len() - used;
                let skipped = usize::try_from(left).map_or(rest, |left| left.min(rest));
                used += skipped;
                content += skipped as u64;
                self.part = after(left - skipped as u64);
                continue;
            }
            used += 1;
            self.line += 1;
            match self.step(byte) {
                Then::More if self.line <= MAX_LINE_BYTES => {}
                Then::Done => return Taken { used, content, then: Then::Done },
                Then::More | Then::Broken => return Taken { used, content, then: Then::Broken },
            }
        }
        Taken { used, content, then: Then::More }
    }

    /// One byte of the coding itself.
    fn step(&mut self, byte: u8) -> Then {
        let part = match (self.part, byte) {
            (Part::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Part::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Part::Size { value, digits: 1.. }, b'\n') | (Part::Extension(value), b'\n') => {
                self.line = 0;
                if value == 0 { Part::Trailers { empty_line: true } } else { Part::Data(value) }
            }
            (Part::Size { value, digits: 1.. }, b';' | b'\r' | b' ' | b'\t') => Part::Extension(value),
            (Part::Extension(value), _) => Part::Extension(value),
            (Part::DataEnd, b'\r') if self.line == 1 => Part::DataEnd,
            (Part::DataEnd, b'\n') => {
                self.line = 0;
                Part::Size { value: 0, digits: 0 }
            }
            (Part::Trailers { empty_line: true }, b'\n') => return Then::Done,
            (Part::Trailers { .. }, b'\n') => Part::Trailers { empty_line: true },
            (Part::Trailers { empty_line }, b'\r') => Part::Trailers { empty_line },
            (Part::Trailers { .. }, _) => Part::Trailers { empty_line: false },
            (Part::Size { .. } | Part::DataEnd | Part::Data(_), _) => return Then::Broken,
        };
        self.part = part;
        Then::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_counted_without_their_coding() {
        let coded = b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nX: y\r\n\r\nnext";
        let taken = Body::chunked().take(coded);
        assert_eq!(taken, Taken { used: coded.len() - 4, content: 11, then: Then::Done });
        for broken in [&b"x"[..], b"\r\n", b";\n", b"12345678901234567\r\n", b"1\r\naab", b"-1\r\n"] {
            assert_eq!(Body::chunked().take(broken).then, Then::Broken, "{broken:?}");
        }
        let endless = [b"0\r\n".to_vec(), vec![b'x'; MAX_LINE_BYTES + 1]].concat();
        assert_eq!(Body::chunked().take(&endless).then, Then::Broken);
    }

    #[test]
    fn what_is_missing_inside_a_chunk_is_skipped() {
        let mut body = Body::chunked();
        assert_eq!(body.skip(1), (0, Then::Broken));
        assert_eq!(body.take(b"a\r\n12").then, Then::More);
        assert_eq!(body.skip(8), (8, Then::More));
        assert_eq!(body.take(b"\r\n0\r\n\r\n").then, Then::Done);
        let mut body = Body::Length(10);
        assert_eq!(body.skip(4), (4, Then::More));
        assert_eq!(body.skip(7), (6, Then::Done));
    }
}
