//! A packet socket: its options, binding and statistics (packet(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{checked, size};

/// An instruction of the classic packet filter: operation, jumps if true and false, constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) struct Instruction {
    pub(in crate::io) code: u16,
    pub(in crate::io) if_true: u8,
    pub(in crate::io) if_false: u8,
    pub(in crate::io) constant: u32,
}

/// What a bound socket says about its interface.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Bound {
    /// Not positive once the interface is gone.
    pub(in crate::io) index: i32,
    /// ARPHRD_*.
    pub(in crate::io) hardware: u16,
    pub(in crate::io) mac: [u8; 6],
}

/// A packet socket for whole frames. It never blocks.
#[derive(Debug)]
pub(in crate::io) struct PacketSocket(OwnedFd);

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PacketSocket {
    /// A socket that receives nothing until it is bound.
    #[allow(unsafe_code)]
    pub(in crate::io) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket(2) takes numbers only.
        let fd = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the system has just given us this descriptor, so it is open and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets an option of packet sockets to a number.
    pub(in crate::io) fn set(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        self.set_raw(libc::SOL_PACKET, option, &value)
    }

    /// Asks for this much memory for frames that wait in the system to be received or sent: beyond the administrator's
    /// limit if the process may, else up to it. Returns whether it may.
    pub(in crate::io) fn buffers(&self, bytes: usize) -> io::Result<bool> {
        let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        let mut forced = true;
        for (force, ask) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
            if self.set_raw(libc::SOL_SOCKET, force, &bytes).is_err() {
                forced = false;
                self.set_raw(libc::SOL_SOCKET, ask, &bytes)?;
            }
        }
        Ok(forced)
    }

    /// Sees what is addressed to others too, for as long as the socket lives.
    pub(in crate::io) fn promiscuous(&self, index: i32) -> io::Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set_raw(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Receives nothing, although bound, until [`unmute`](Self::unmute).
    pub(in crate::io) fn mute(&self) -> io::Result<()> {
        const RETURN: u16 = 0x06;
        let nothing = [Instruction { code: RETURN, if_true: 0, if_false: 0, constant: 0 }];
        self.set_program(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &nothing)
    }

    /// Undoes [`mute`](Self::mute).
    pub(in crate::io) fn unmute(&self) -> io::Result<()> {
        self.set_raw(libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
    }

    /// Begins a group of sockets that share an interface's frames by a program, and returns its number.
    pub(in crate::io) fn begin_group(&self, program: &[Instruction]) -> io::Result<u16> {
        self.set_group(0, libc::PACKET_FANOUT_FLAG_UNIQUEID)?;
        self.set_program(libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)?;
        let group: libc::c_int = self.get(libc::SOL_PACKET, libc::PACKET_FANOUT)?;
        Ok((group & 0xffff) as u16)
    }

    /// Joins a group. Its members are numbered in the order in which they join.
    pub(in crate::io) fn join_group(&self, group: u16) -> io::Result<()> {
        self.set_group(group, 0)
    }

    fn set_group(&self, group: u16, flags: u32) -> io::Result<()> {
        let value = u32::from(group) | (libc::PACKET_FANOUT_CBPF | flags) << 16;
        self.set(libc::PACKET_FANOUT, value as libc::c_int)
    }

    /// Attaches to an interface, to all protocols.
    #[allow(unsafe_code)]
    pub(in crate::io) fn bind(&self, index: i32) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is a packet socket's, it lives across the call, and its size is the one given.
        let answer =
            unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), size::<libc::sockaddr_ll>()) };
        checked(answer).map(|_| ())
    }

    /// What the socket is bound to.
    #[allow(unsafe_code)]
    pub(in crate::io) fn bound(&self) -> io::Result<Bound> {
        let mut address = libc::sockaddr_ll {
            sll_family: 0,
            sll_protocol: 0,
            sll_ifindex: 0,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let mut len = size::<libc::sockaddr_ll>();
        // SAFETY: the system writes at most `len` bytes, which is the size of `address`, and any bytes are valid in it.
        let answer = unsafe { libc::getsockname(self.0.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
        checked(answer)?;
        let [a, b, c, d, e, f, ..] = address.sll_addr;
        Ok(Bound { index: address.sll_ifindex, hardware: address.sll_hatype, mac: [a, b, c, d, e, f] })
    }

    /// The error that waits on the socket, if any; it is forgotten by this.
    pub(in crate::io) fn take_error(&self) -> Option<io::Error> {
        match self.get::<libc::c_int>(libc::SOL_SOCKET, libc::SO_ERROR) {
            Ok(0) => None,
            Ok(error) => Some(io::Error::from_raw_os_error(error)),
            Err(error) => Some(error),
        }
    }

    /// Frames that found no room since the last call: the system forgets them by this.
    pub(in crate::io) fn take_drops(&self) -> u64 {
        self.get::<[u32; 3]>(libc::SOL_PACKET, libc::PACKET_STATISTICS).map_or(0, |[_all, drops, _]| drops.into())
    }

    /// Asks for a ring of `units` units as `mode` says, with `reserve` bytes before each frame.
    pub(in crate::io) fn set_ring(&self, geometry: Geometry, reserve: libc::c_int) -> io::Result<()> {
        let Geometry { block_bytes, blocks, slot_bytes, retire_ms } = geometry;
        self.set(libc::PACKET_RESERVE, reserve)?;
        let slots = (block_bytes / slot_bytes) * blocks;
        let Some(retire_ms) = retire_ms else {
            self.set(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V2 as libc::c_int)?;
            let request = libc::tpacket_req {
                tp_block_size: block_bytes,
                tp_block_nr: blocks,
                tp_frame_size: slot_bytes,
                tp_frame_nr: slots,
            };
            return self.set_raw(libc::SOL_PACKET, libc::PACKET_RX_RING, &request);
        };
        self.set(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V3 as libc::c_int)?;
        let request = libc::tpacket_req3 {
            tp_block_size: block_bytes,
            tp_block_nr: blocks,
            tp_frame_size: slot_bytes,
            tp_frame_nr: slots,
            tp_retire_blk_tov: retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        self.set_raw(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
    }

    #[allow(unsafe_code)]
    fn set_program(&self, level: libc::c_int, option: libc::c_int, program: &[Instruction]) -> io::Result<()> {
        let mut code: Vec<libc::sock_filter> = program
            .iter()
            .map(|&Instruction { code, if_true: jt, if_false: jf, constant: k }| libc::sock_filter { code, jt, jf, k })
            .collect();
        let len = libc::c_ushort::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let request = libc::sock_fprog { len, filter: code.as_mut_ptr() };
        // SAFETY: the request names `len` instructions, which live until `code` is dropped after the call; the system copies
        // them and checks the program.
        let answer = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), level, option, (&raw const request).cast(), size::<libc::sock_fprog>())
        };
        checked(answer).map(|_| ())
    }

    /// For values without pointers: the system reads nothing but the value.
    #[allow(unsafe_code)]
    fn set_raw<T: Copy>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        let value: *const T = value;
        // SAFETY: the system reads at most as many bytes as a `T` has, from a valid `T`.
        let answer = unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value.cast(), size::<T>()) };
        checked(answer).map(|_| ())
    }

    #[allow(unsafe_code)]
    fn get<T: Number>(&self, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
        let mut value = T::default();
        let mut len = size::<T>();
        // SAFETY: the system writes at most `len` bytes, the size of `value`, in which any bytes are valid (`Number`).
        let answer =
            unsafe { libc::getsockopt(self.0.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut len) };
        checked(answer).map(|_| value)
    }
}

/// Numbers and arrays of them: any bytes make one.
trait Number: Copy + Default {}
impl Number for libc::c_int {}
impl Number for [u32; 3] {}

/// The shape of a ring.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Geometry {
    /// Memory is allocated in blocks of so many bytes: a multiple of the page size and of `slot_bytes`.
    pub(in crate::io) block_bytes: u32,
    /// How many blocks.
    pub(in crate::io) blocks: u32,
    /// The room of one frame with its header, in a ring of slots.
    pub(in crate::io) slot_bytes: u32,
    /// In a ring of blocks, milliseconds after which one is handed over although it is not full. `None` makes it a ring
    /// of slots.
    pub(in crate::io) retire_ms: Option<u32>,
}
