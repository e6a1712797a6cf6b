//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks. Section headers, interface descriptions and the
//! three kinds of packet block are read; all other blocks are passed over.

use super::damage::Damage;
use super::record::{ByteOrder, Frame, MAX_BLOCK_BYTES, MAX_FRAME_BYTES, Parsed};

/// The first four bytes of a file: the type of a section header, which reads the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Type and length, before the body of a block.
const LEADING_LEN: usize = 8;
/// What surrounds the body of a block: type and length before it, the length again behind it.
const FRAMING_LEN: usize = 12;

/// The most interfaces in a section: a bound on the memory that a file can claim.
const MAX_INTERFACES: usize = 65_536;

/// A section as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Ng {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// The time of the last frame, for blocks that have none of their own.
    last_timestamp: u64,
}

#[derive(Debug)]
struct Interface {
    linktype: u32,
    /// The most bytes of a frame that were kept; 0 for all.
    snaplen: u32,
    clock: Clock,
}

impl Ng {
    /// Looks for a block at the start of `bytes`. Changes nothing unless it is whole and sound.
    #[inline]
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Parsed, Damage> {
        let Some(&block_type) = bytes.first_chunk::<4>() else { return Ok(Parsed::Needs(LEADING_LEN)) };
        let order = if block_type == MAGIC {
            let Some(header) = bytes.first_chunk::<12>() else { return Ok(Parsed::Needs(12)) };
            section_order(header)?
        } else {
            self.order
        };
        if bytes.len() < LEADING_LEN {
            return Ok(Parsed::Needs(LEADING_LEN));
        }
        let length = order.u32(bytes, 4);
        let len = check_length(length)?;
        if bytes.len() < len {
            return Ok(Parsed::Needs(len));
        }
        let trailing = order.u32(bytes, len - 4);
        if trailing != length {
            return Err(Damage::LengthMismatch { leading: length, trailing });
        }
        let body = &bytes[LEADING_LEN..len - 4];
        let frame = match order.u32(&block_type, 0) {
            0x0a0d_0d0a => {
                self.on_section(order, body)?;
                None
            }
            1 => {
                self.on_interface(body)?;
                None
            }
            2 => Some(self.packet(order.u16(at_least(body, 20)?, 0).into(), body)?),
            3 => Some(self.simple_packet(body)?),
            6 => Some(self.packet(order.u32(at_least(body, 20)?, 0), body)?),
            _ => None,
        };
        Ok(Parsed::Record { len, frame })
    }

    /// A section begins: the interfaces of the one before are forgotten. Its own length is not needed, blocks follow
    /// each other anyway.
    fn on_section(&mut self, order: ByteOrder, body: &[u8]) -> Result<(), Damage> {
        let body = at_least(body, 16)?;
        let (major, minor) = (order.u16(body, 4), order.u16(body, 6));
        if major != 1 {
            return Err(Damage::Version { major, minor });
        }
        self.order = order;
        self.interfaces.clear();
        Ok(())
    }

    /// The section gets one more interface.
    fn on_interface(&mut self, body: &[u8]) -> Result<(), Damage> {
        let body = at_least(body, 8)?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces { most: MAX_INTERFACES });
        }
        let (linktype, snaplen) = (self.order.u16(body, 0).into(), self.order.u32(body, 4));
        let clock = Clock::from_options(self.order, &body[8..])?;
        self.interfaces.push(Interface { linktype, snaplen, clock });
        Ok(())
    }

    /// The frame in the body of an enhanced packet block, or of the obsolete packet block, which differs only in how it
    /// says the interface. The body has the 20 bytes of fixed fields.
    #[inline]
    fn packet(&mut self, interface: u32, body: &[u8]) -> Result<Frame, Damage> {
        let Interface { linktype, ref clock, .. } = *self.interface(interface)?;
        let [high, low, captured, wire_len] = [4, 8, 12, 16].map(|at| self.order.u32(body, at));
        let timestamp = clock.nanos(u64::from(high) << 32 | u64::from(low));
        let frame = frame_in(body, 20, captured, wire_len, timestamp, linktype)?;
        self.last_timestamp = timestamp;
        Ok(frame)
    }

    /// The frame in the body of a simple packet block: it came in on interface 0, and since the block does not say
    /// when, it is given the time of the frame before it.
    fn simple_packet(&self, body: &[u8]) -> Result<Frame, Damage> {
        let wire_len = self.order.u32(at_least(body, 4)?, 0);
        let &Interface { linktype, snaplen, .. } = self.interface(0)?;
        let captured = if snaplen == 0 { wire_len } else { wire_len.min(snaplen) };
        frame_in(body, 4, captured, wire_len, self.last_timestamp, linktype)
    }

    #[inline]
    fn interface(&self, interface: u32) -> Result<&Interface, Damage> {
        let known = self.interfaces.len();
        self.interfaces.get(interface as usize).ok_or(Damage::UnknownInterface { interface, known })
    }
}

/// The byte order that a section header starts with.
fn section_order(header: &[u8; 12]) -> Result<ByteOrder, Damage> {
    let &[.., a, b, c, d] = header;
    match [a, b, c, d] {
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(ByteOrder::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(ByteOrder::Big),
        magic => Err(Damage::ByteOrder { magic }),
    }
}

/// The length of a block, if it is one that a block can have.
#[inline]
fn check_length(length: u32) -> Result<usize, Damage> {
    match length as usize {
        len if len < FRAMING_LEN => Err(Damage::BlockTooShort { length, least: FRAMING_LEN }),
        len if len % 4 != 0 => Err(Damage::BlockUnaligned { length }),
        len if len > MAX_BLOCK_BYTES => Err(Damage::BlockTooLong { length }),
        len => Ok(len),
    }
}

/// The body of a block, if it has the bytes that the block's type needs.
#[inline]
fn at_least(body: &[u8], needs: usize) -> Result<&[u8], Damage> {
    if body.len() < needs {
        // A body is part of a block whose length fits 32 bits.
        let length = (body.len() + FRAMING_LEN) as u32;
        return Err(Damage::BlockTooShort { length, least: needs + FRAMING_LEN });
    }
    Ok(body)
}

/// The frame that begins at `at` of a block's body.
#[inline]
fn frame_in(
    body: &[u8],
    at: usize,
    captured: u32,
    wire_len: u32,
    timestamp: u64,
    linktype: u32,
) -> Result<Frame, Damage> {
    let room = body.len() - at;
    if captured as usize > MAX_FRAME_BYTES {
        return Err(Damage::FrameTooLong { captured });
    }
    if captured as usize > room {
        return Err(Damage::FrameBeyondBlock { captured, room });
    }
    let start = LEADING_LEN + at;
    Ok(Frame { data: start..start + captured as usize, wire_len, timestamp, linktype })
}

/// How an interface counts time.
#[derive(Debug, PartialEq, Eq)]
struct Clock {
    unit: Unit,
    /// What is to be added, in nanoseconds.
    offset: i128,
}

#[derive(Debug, PartialEq, Eq)]
enum Unit {
    /// One tick is so many nanoseconds (as with all resolutions in common use).
    Nanos(u32),
    /// One second is so many ticks.
    PerSecond(u128),
}

impl Clock {
    /// Reads the options of an interface description.
    fn from_options(order: ByteOrder, mut options: &[u8]) -> Result<Self, Damage> {
        let mut clock = Self { unit: Unit::Nanos(1_000), offset: 0 };
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let next = 4 + length.next_multiple_of(4);
            if options.len() < next {
                return Err(Damage::OptionBeyondBlock { code });
            }
            let value = &options[4..4 + length];
            match code {
                0 => break,
                9 => match *value {
                    [resolution] => clock.unit = Unit::from_resolution(resolution),
                    _ => return Err(Damage::OptionLength { code, length, expected: 1 }),
                },
                14 if length != 8 => return Err(Damage::OptionLength { code, length, expected: 8 }),
                14 => {
                    let words = [order.u32(value, 0), order.u32(value, 4)].map(u64::from);
                    let [high, low] = if order == ByteOrder::Big { words } else { [words[1], words[0]] };
                    let seconds = (high << 32 | low) as i64;
                    clock.offset = i128::from(seconds) * 1_000_000_000;
                }
                _ => {}
            }
            options = &options[next..];
        }
        Ok(clock)
    }

    /// The time after so many ticks, in nanoseconds since 1970; one that does not fit becomes the nearest that does.
    #[inline]
    fn nanos(&self, ticks: u64) -> u64 {
        let since_offset = match self.unit {
            Unit::Nanos(nanos) => u128::from(ticks) * u128::from(nanos),
            Unit::PerSecond(ticks_per_second) => u128::from(ticks) * 1_000_000_000 / ticks_per_second,
        };
        // 64 bits of ticks times a billion are less than 2^94, and the offset is less than that.
        let nanos = since_offset as i128 + self.offset;
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

impl Unit {
    /// A resolution as files say it: the negative power of 2 if the highest bit is set, else of 10.
    fn from_resolution(resolution: u8) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        match resolution {
            0..=9 => Self::Nanos(10u32.pow(9 - exponent)),
            // A power of 10 beyond 128 bits makes zero of all ticks; so does the largest number in its place.
            10..=0x7f => Self::PerSecond(10u128.checked_pow(exponent).unwrap_or(u128::MAX)),
            0x80.. => Self::PerSecond(1 << exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions() {
        let nanos = |resolution, ticks| Clock { unit: Unit::from_resolution(resolution), offset: 0 }.nanos(ticks);
        assert_eq!(nanos(0, 7), 7_000_000_000);
        assert_eq!(nanos(6, 7), 7_000);
        assert_eq!(nanos(9, 7), 7);
        assert_eq!(nanos(12, 7_999), 7);
        assert_eq!(nanos(127, u64::MAX), 0);
        assert_eq!(nanos(0x80, 7), 7_000_000_000);
        assert_eq!(nanos(0x80 | 10, 512), 500_000_000);
        assert_eq!(nanos(0xff, u64::MAX), 0);
        assert_eq!(nanos(0, u64::MAX), u64::MAX);
        assert_eq!(nanos(0x80, u64::MAX), u64::MAX);
    }

    #[test]
    fn offsets_saturate() {
        let nanos = |offset, ticks| Clock { unit: Unit::Nanos(1), offset }.nanos(ticks);
        assert_eq!(nanos(5, 6), 11);
        assert_eq!(nanos(-5, 6), 1);
        assert_eq!(nanos(-7, 6), 0);
        assert_eq!(nanos(i128::from(i64::MIN) * 1_000_000_000, u64::MAX), 0);
        assert_eq!(nanos(i128::from(i64::MAX) * 1_000_000_000, u64::MAX), u64::MAX);
    }

    #[test]
    fn options() {
        let parse = |bytes: &[u8]| Clock::from_options(ByteOrder::Big, bytes);
        assert_eq!(parse(&[]), Ok(Clock { unit: Unit::Nanos(1_000), offset: 0 }));
        let both = [0, 9, 0, 1, 9, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
        assert_eq!(parse(&both), Ok(Clock { unit: Unit::Nanos(1), offset: ((1 << 32) + 2) * 1_000_000_000 }));
        // What follows the end of options, and fewer bytes than an option has, is padding.
        assert_eq!(parse(&[0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0]), parse(&[]));
        assert_eq!(parse(&[0, 9, 0]), parse(&[]));
        assert_eq!(parse(&[0, 2, 0, 5, 1, 2, 3, 4]), Err(Damage::OptionBeyondBlock { code: 2 }));
        assert_eq!(parse(&[0, 9, 0, 0]), Err(Damage::OptionLength { code: 9, length: 0, expected: 1 }));
        assert_eq!(parse(&[0, 14, 0, 4, 1, 2, 3, 4]), Err(Damage::OptionLength { code: 14, length: 4, expected: 8 }));
    }
}
