//! The ways in which a record can contradict its file format.

use thiserror::Error;

use super::record::{MAX_BLOCK_BYTES, MAX_FRAME_BYTES};

/// How a record of a capture file contradicts the format. Reads as what follows "the record …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// The frame is longer than any real one.
    #[error("says that it holds {captured} bytes of a frame, the most is {MAX_FRAME_BYTES}")]
    FrameTooLong {
        /// The length it claims.
        captured: u32,
    },

    /// The block is too short for what a block of its type always has.
    #[error("is a block of {length} bytes, its type needs at least {least}")]
    BlockTooShort {
        /// The length it claims.
        length: u32,
        /// The length of the fixed fields.
        least: usize,
    },

    /// The block is longer than any real one.
    #[error("is a block of {length} bytes, the most is {MAX_BLOCK_BYTES}")]
    BlockTooLong {
        /// The length it claims.
        length: u32,
    },

    /// The block's length is not a multiple of four.
    #[error("is a block of {length} bytes, which is not a multiple of 4")]
    BlockUnaligned {
        /// The length it claims.
        length: u32,
    },

    /// The two lengths of the block, at its start and at its end, differ.
    #[error("is a block of {leading} bytes at its start, but of {trailing} at its end")]
    LengthMismatch {
        /// The length at its start.
        leading: u32,
        /// The length at its end.
        trailing: u32,
    },

    /// The section header has no byte order.
    #[error(
        "is a section header with the byte-order magic {:02x} {:02x} {:02x} {:02x}",
        magic[0], magic[1], magic[2], magic[3]
    )]
    ByteOrder {
        /// What stands in its place.
        magic: [u8; 4],
    },

    /// The section has a version other than 1.
    #[error("is a section header of version {major}.{minor}, known is 1")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },

    /// The section describes more interfaces than any real one.
    #[error("describes one interface too many, the most is {most}")]
    TooManyInterfaces {
        /// How many there may be.
        most: usize,
    },

    /// The frame belongs to an interface that the section has not described.
    #[error("is a frame of interface {interface}, but only {known} are described before it")]
    UnknownInterface {
        /// The interface it names, counted from 0.
        interface: u32,
        /// Number of interfaces described.
        known: usize,
    },

    /// The frame does not fit into its block.
    #[error("says that it holds {captured} bytes of a frame, but has room for {room}")]
    FrameBeyondBlock {
        /// The length it claims.
        captured: u32,
        /// Bytes that the block has for it.
        room: usize,
    },

    /// An option of an interface does not fit into its block.
    #[error("has an option {code} that runs past its end")]
    OptionBeyondBlock {
        /// The option.
        code: u16,
    },

    /// An option of an interface has another length than it must have.
    #[error("has an option {code} of {length} bytes, which must have {expected}")]
    OptionLength {
        /// The option.
        code: u16,
        /// Length of its value.
        length: usize,
        /// The length it must have.
        expected: usize,
    },
}
