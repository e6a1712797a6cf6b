//! TCP options (RFC 9293 section 3.1): maximum segment size, window scale and timestamps (RFC 7323), selective
//! acknowledgments (RFC 2018), Fast Open cookies (RFC 7413), signatures (RFC 2385, RFC 5925).
//!
//! Options are read as end hosts read them: what is unknown is skipped, an option that is known but has the wrong length
//! is ignored, and of two of a kind the later counts. A length that cannot be ends the reading.

use core::ops::Deref;

use super::packet::Packet;
use super::seq::SeqNum;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
/// RFC 2385.
const MD5_SIGNATURE: u8 = 19;
/// RFC 5925.
const AUTHENTICATION: u8 = 29;
const FAST_OPEN: u8 = 34;
/// RFC 4727 leaves the number to experiments, which tell themselves apart by the first two bytes (RFC 6994).
const EXPERIMENT: u8 = 254;
const EXPERIMENT_FAST_OPEN: [u8; 2] = [0xf9, 0x89];

/// RFC 7323 section 2.3: a larger shift count is to be taken for this one.
const MAX_WINDOW_SCALE: u8 = 14;

/// What the options of one TCP header say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size. Counts in a SYN only.
    pub mss: Option<u16>,
    /// Window scale, at most 14. Counts in a SYN only.
    pub window_scale: Option<u8>,
    /// Whether the sender understands selective acknowledgments. Counts in a SYN only.
    pub sack_permitted: bool,
    /// Timestamp value and echo reply.
    pub timestamps: Option<(u32, u32)>,
    /// What was received beyond the acknowledgment number.
    pub sack: SackBlocks,
    /// A Fast Open option with a cookie of that many bytes; 0 asks for a cookie.
    pub fast_open: Option<u8>,
    /// Whether an option had a length that cannot be. If it is that of a known option, only this option was ignored,
    /// otherwise all that followed.
    pub malformed: bool,
}

/// Up to four blocks of a selective acknowledgment, each from its first sequence number to the one behind its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SeqNum, SeqNum); 4],
    len: u8,
}

impl SackBlocks {
    /// The blocks in the data of a selective acknowledgment, unless it has no proper length.
    fn read(data: &[u8]) -> Option<Self> {
        let (chunks, rest) = data.as_chunks::<8>();
        let mut sack = Self { len: u8::try_from(chunks.len()).ok()?, ..Self::default() };
        if !rest.is_empty() || chunks.is_empty() || chunks.len() > sack.blocks.len() {
            return None;
        }
        for (block, chunk) in sack.blocks.iter_mut().zip(chunks) {
            let (left, right) = two_words(chunk);
            *block = (SeqNum(left), SeqNum(right));
        }
        Some(sack)
    }
}

impl Deref for SackBlocks {
    type Target = [(SeqNum, SeqNum)];

    fn deref(&self) -> &Self::Target {
        self.blocks.get(..self.len.into()).unwrap_or_default()
    }
}

impl TcpOptions {
    /// Reads the options of a TCP header: what stands between its 20th byte and the payload.
    #[must_use]
    pub fn parse(options: &[u8]) -> Self {
        let mut parsed = Self::default();
        let mut raw = RawOptions::new(options);
        for (kind, data) in raw.by_ref() {
            let understood = match (kind, data) {
                (MSS, &[high, low]) => {
                    parsed.mss = Some(u16::from_be_bytes([high, low]));
                    true
                }
                (WINDOW_SCALE, &[shift]) => {
                    parsed.window_scale = Some(shift.min(MAX_WINDOW_SCALE));
                    true
                }
                (SACK_PERMITTED, []) => {
                    parsed.sack_permitted = true;
                    true
                }
                (SACK, _) => SackBlocks::read(data).map(|sack| parsed.sack = sack).is_some(),
                (TIMESTAMPS, _) => data.try_into().map(|data| parsed.timestamps = Some(two_words(data))).is_ok(),
                (FAST_OPEN, cookie) => cookie_len(cookie).map(|len| parsed.fast_open = Some(len)).is_some(),
                (EXPERIMENT, _) if data.starts_with(&EXPERIMENT_FAST_OPEN) => {
                    let cookie = data.get(EXPERIMENT_FAST_OPEN.len()..).unwrap_or_default();
                    cookie_len(cookie).map(|len| parsed.fast_open = Some(len)).is_some()
                }
                (MSS | WINDOW_SCALE | SACK_PERMITTED, _) => false,
                _ => true,
            };
            parsed.malformed |= !understood;
        }
        parsed.malformed |= raw.malformed;
        parsed
    }
}

/// What a SYN offers, in the options that count nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SynOptions {
    /// Maximum segment size in bytes; 0 if it has none.
    pub mss: u16,
    /// Selective acknowledgments.
    pub sack_permitted: bool,
    /// The window scale and one more; 0 if there is none. So nothing is all zeros, which every packet is filled with.
    scale: u8,
}

impl SynOptions {
    /// Nothing.
    pub const NONE: Self = Self { mss: 0, sack_permitted: false, scale: 0 };

    /// Window scale, at most 14.
    #[must_use]
    pub fn window_scale(&self) -> Option<u8> {
        self.scale.checked_sub(1)
    }

    /// A scale as the option has it.
    fn set_window_scale(&mut self, shift: u8) {
        self.scale = shift.min(MAX_WINDOW_SCALE) + 1;
    }
}

/// Reads what matters to a flow into a packet that has nothing of it yet: nearly always timestamps alone, in the layout that
/// RFC 7323 appendix A recommends.
#[inline(always)]
pub(super) fn read_relevant(packet: &mut Packet, options: &[u8]) {
    match options {
        &[NOP, NOP, TIMESTAMPS, 10, ref data @ ..] if data.len() == 8 => {
            (packet.has_timestamps, packet.more) = (true, true);
            (packet.ts_val, packet.ts_ecr) = data.first_chunk().map(two_words).unwrap_or_default();
        }
        _ => read_anywhere(packet, options),
    }
}

/// The same, wherever it stands; as [`TcpOptions::parse`] reads it. Every SYN comes here.
#[inline(never)]
fn read_anywhere(packet: &mut Packet, options: &[u8]) {
    let mut rest = options;
    loop {
        while let Some(behind) = read_words(packet, rest) {
            rest = behind;
        }
        let Some(behind) = read_one(packet, rest) else { break };
        rest = behind;
    }
    packet.more = packet.has_timestamps || packet.signed;
}

/// Reads an option as senders lay out nearly all in a SYN: it fills whole words, if need be with what means nothing. What is left
/// then; `None`: it is not so, and nothing has changed.
#[inline(always)]
fn read_words<'a>(packet: &mut Packet, options: &'a [u8]) -> Option<&'a [u8]> {
    const MSS_OF: u32 = u32::from_be_bytes([MSS, 4, 0, 0]);
    const SCALE_OF: u32 = u32::from_be_bytes([NOP, WINDOW_SCALE, 3, 0]);
    const SACK_LAST: u32 = u32::from_be_bytes([NOP, NOP, SACK_PERMITTED, 2]);
    const SACK_FIRST: u32 = u32::from_be_bytes([SACK_PERMITTED, 2, NOP, NOP]);
    const SACK_AND_TIMESTAMPS: u32 = u32::from_be_bytes([SACK_PERMITTED, 2, TIMESTAMPS, 10]);
    const TIMESTAMPS_LAST: u32 = u32::from_be_bytes([NOP, NOP, TIMESTAMPS, 10]);

    let (word, rest) = options.split_first_chunk()?;
    match u32::from_be_bytes(*word) {
        word if word ^ MSS_OF <= 0xffff => packet.syn_options.mss = word as u16,
        word if word ^ SCALE_OF <= 0xff => packet.syn_options.set_window_scale(word as u8),
        SACK_FIRST | SACK_LAST => packet.syn_options.sack_permitted = true,
        word @ (SACK_AND_TIMESTAMPS | TIMESTAMPS_LAST) => {
            let (data, rest) = rest.split_first_chunk()?;
            packet.syn_options.sack_permitted |= word == SACK_AND_TIMESTAMPS;
            packet.has_timestamps = true;
            (packet.ts_val, packet.ts_ecr) = two_words(data);
            return Some(rest);
        }
        _ => return None,
    }
    Some(rest)
}

/// Reads the first option, whatever it is. What is left then; `None`: there is nothing more to read.
#[inline(always)]
fn read_one<'a>(packet: &mut Packet, options: &'a [u8]) -> Option<&'a [u8]> {
    match options {
        [] | [END, ..] => None,
        [NOP, rest @ ..] => Some(rest),
        &[kind, length, ref rest @ ..] => {
            // A length counts its own byte and the kind's.
            let (data, rest) = rest.split_at_checked(usize::from(length).checked_sub(2)?)?;
            match (kind, data) {
                (MSS, &[high, low]) => packet.syn_options.mss = u16::from_be_bytes([high, low]),
                (WINDOW_SCALE, &[shift]) => packet.syn_options.set_window_scale(shift),
                (SACK_PERMITTED, []) => packet.syn_options.sack_permitted = true,
                (TIMESTAMPS, _) => {
                    if let Ok(data) = data.try_into() {
                        packet.has_timestamps = true;
                        (packet.ts_val, packet.ts_ecr) = two_words(data);
                    }
                }
                (MD5_SIGNATURE | AUTHENTICATION, _) => packet.signed = true,
                _ => {}
            }
            Some(rest)
        }
        [_] => None,
    }
}

fn two_words(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> (u32, u32) {
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// RFC 7413 section 2: a cookie has 4 to 16 bytes, an even number of them; an empty one is a request.
fn cookie_len(cookie: &[u8]) -> Option<u8> {
    let len = u8::try_from(cookie.len()).ok()?;
    matches!(len, 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16).then_some(len)
}

/// Kind and data of every option, up to the end of the list or a length that cannot be.
struct RawOptions<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl<'a> RawOptions<'a> {
    const fn new(options: &'a [u8]) -> Self {
        Self { rest: options, malformed: false }
    }
}

impl<'a> Iterator for RawOptions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.rest {
                [] | [END, ..] => return None,
                [NOP, ref rest @ ..] => self.rest = rest,
                // A length counts its own byte and the kind's.
                [kind, length, ref rest @ ..] if length >= 2 && rest.len() >= usize::from(length) - 2 => {
                    let (data, rest) = rest.split_at_checked(usize::from(length) - 2)?;
                    self.rest = rest;
                    return Some((kind, data));
                }
                _ => {
                    self.malformed = true;
                    self.rest = &[];
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_usual_syn() {
        let options = TcpOptions::parse(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]);
        let expected = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((1, 2)),
            ..TcpOptions::default()
        };
        assert_eq!(options, expected);
    }

    /// What matters of the options, in a packet that has nothing else.
    fn relevant(options: &[u8]) -> Packet {
        let mut packet = Packet::BLANK;
        read_relevant(&mut packet, options);
        packet
    }

    fn timestamps(packet: &Packet) -> Option<(u32, u32)> {
        packet.has_timestamps.then_some((packet.ts_val, packet.ts_ecr))
    }

    #[test]
    fn signatures_are_seen_wherever_they_stand() {
        let mut md5 = vec![1, 1, MD5_SIGNATURE, 18];
        md5.extend([7; 16]);
        assert!(relevant(&md5).signed);
        assert!(relevant(&[TIMESTAMPS, 10, 0, 0, 0, 1, 0, 0, 0, 2, AUTHENTICATION, 4, 0, 0]).signed);
        assert!(!relevant(&[1, 1, TIMESTAMPS, 10, 0, 0, 0, 19, 0, 0, 0, 29]).signed);
    }

    #[test]
    fn sack_blocks() {
        let mut bytes = vec![1, 1, 5, 18];
        bytes.extend([10u32, 20, u32::MAX, 5].iter().flat_map(|word| word.to_be_bytes()));
        let options = TcpOptions::parse(&bytes);
        assert_eq!(*options.sack, [(SeqNum(10), SeqNum(20)), (SeqNum(u32::MAX), SeqNum(5))]);
        assert!(!options.malformed);
    }

    #[test]
    fn fast_open_cookies() {
        assert_eq!(TcpOptions::parse(&[34, 2]).fast_open, Some(0));
        assert_eq!(TcpOptions::parse(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]).fast_open, Some(8));
        assert_eq!(TcpOptions::parse(&[254, 8, 0xf9, 0x89, 1, 2, 3, 4]).fast_open, Some(4));
        assert_eq!(TcpOptions::parse(&[254, 8, 0xf9, 0x88, 1, 2, 3, 4]), TcpOptions::default());
        assert!(TcpOptions::parse(&[34, 5, 1, 2, 3]).malformed);
    }

    #[test]
    fn window_scale_is_clamped() {
        assert_eq!(TcpOptions::parse(&[3, 3, 255]).window_scale, Some(14));
    }

    #[test]
    fn impossible_lengths_end_the_reading() {
        for bad in [&[8, 0][..], &[8, 1], &[8], &[8, 10, 0, 0], &[77, 0], &[77, 1], &[77, 255]] {
            let mut bytes = vec![3, 3, 2];
            bytes.extend(bad);
            bytes.extend([2, 4, 5, 0xb4]);
            let options = TcpOptions::parse(&bytes);
            assert!(options.malformed, "{bad:?}");
            assert_eq!((options.window_scale, options.mss), (Some(2), None), "{bad:?}");
        }
    }

    #[test]
    fn a_known_option_of_the_wrong_length_is_ignored_alone() {
        let options = TcpOptions::parse(&[2, 3, 5, 3, 3, 2]);
        assert_eq!((options.mss, options.window_scale, options.malformed), (None, Some(2), true));
    }

    #[test]
    fn nothing_counts_behind_the_end() {
        assert_eq!(TcpOptions::parse(&[0, 2, 4, 5, 0xb4]), TcpOptions::default());
    }

    /// Options, mostly well formed: random bytes alone rarely are.
    fn any_options() -> impl Strategy<Value = Vec<u8>> {
        let option = prop_oneof![
            Just(vec![NOP]),
            any::<[u8; 8]>().prop_map(|data| [&[TIMESTAMPS, 10], &data[..]].concat()),
            any::<[u8; 2]>().prop_map(|data| [&[MSS, 4], &data[..]].concat()),
            any::<u8>().prop_map(|shift| vec![WINDOW_SCALE, 3, shift]),
            Just(vec![SACK_PERMITTED, 2]),
            prop::collection::vec(any::<u8>(), 0..6),
            Just(vec![MD5_SIGNATURE, 2]),
            (0u8..10, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| {
                let length = data.len() as u8 + 2;
                [&[kind, length], &data[..]].concat()
            }),
        ];
        prop::collection::vec(option, 0..8).prop_map(|options| options.concat())
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = TcpOptions::parse(&bytes);
        }

        #[test]
        fn both_ways_to_read_agree(bytes in any_options()) {
            let all = TcpOptions::parse(&bytes);
            let packet = relevant(&bytes);
            let Packet { signed, syn_options: syn, .. } = packet;
            prop_assert_eq!(timestamps(&packet), all.timestamps);
            let is_signature = |(kind, _): (u8, _)| matches!(kind, MD5_SIGNATURE | AUTHENTICATION);
            prop_assert_eq!(signed, RawOptions::new(&bytes).any(is_signature));
            let TcpOptions { mss, window_scale, sack_permitted, .. } = all;
            prop_assert_eq!(
                (syn.mss, syn.window_scale(), syn.sack_permitted),
                (mss.unwrap_or(0), window_scale, sack_permitted)
            );
        }

        #[test]
        fn the_usual_layout_is_read(value: u32, echo: u32) {
            let mut bytes = vec![1, 1, 8, 10];
            bytes.extend(value.to_be_bytes().into_iter().chain(echo.to_be_bytes()));
            let mut anywhere = Packet::BLANK;
            read_anywhere(&mut anywhere, &bytes);
            prop_assert_eq!(timestamps(&anywhere), Some((value, echo)));
            prop_assert_eq!(anywhere, relevant(&bytes));
        }
    }
}
